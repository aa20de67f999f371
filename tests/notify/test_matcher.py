"""The matcher finds the same as comparing every filter with every article."""

import asyncio
import json
import os
import random
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.asyncio import Redis

import newswire.filters
from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures, Filter
from newswire.http.application import create_app
from newswire.text.analysis import DEFAULT, read_article
from newswire_notify.app import service
from newswire_notify.fanout.filter_features import FeatureKey
from newswire_notify.fanout.filter_index import SCAN_COUNT, FilterIndex, IndexedFilter
from newswire_notify.fanout.matcher import Matcher
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.models import SubscriptionCriteria
from tests.contract import spellings
from tests.contract.table import IN_LANGUAGES, SAVED_QUERIES, articles, articles_in_languages
from tests.notify.conftest import Desk, Receiver, published, until

SETS = int(os.environ.get("NEWSWIRE_FILTER_SETS", "60"))
"""Sets of filters that are compared; some thousands take a minute."""
ALL = ("published", "updated", "corrected", "retracted")
WORDS = "ferry harbour storm bridge council tram museum river winter timetable orchestra bakery lantern".split()


def naive(filters: dict[str, Filter], article: ArticlePublished) -> set[str]:
    features = ArticleFeatures.of(article)
    return {digest for digest, filter_ in filters.items() if filter_.matches(features)}


def random_filter(chance: random.Random) -> Filter:
    fields: dict[str, Any] = {}
    for name, values in (
        ("publishers", ["harbour-post", "valley-times"]),
        ("categories", ["Transport", "Culture", "-Sports"]),
        ("topics", ["Ferries", "Économie", "-Rain"]),
        ("authors", ["Ada Lindqvist", "tomas ruiz"]),
        ("languages", ["en", "de", "-fr"]),
    ):
        if chance.random() < 0.25:
            fields[name] = chance.sample(values, chance.randint(1, 2))
    if chance.random() < 0.15:
        fields["metadata"] = {"desk": chance.choice(["coast", "city"])}
    if chance.random() < 0.6:

        def word() -> str:
            return chance.choice(WORDS)

        fields["query"] = " ".join(
            chance.choice(
                [
                    word(),
                    f"-{word()}",
                    f'"{word()} {word()}"',
                    f'"{word()} {word()} {word()}"',
                    f'-"{word()} {word()}"',
                    f'("{word()} {word()}" {word()}) OR {word()}',
                    f"{word()} OR {word()}",
                    f"{word()} OR -{word()}",
                    f"title:{word()}",
                    f"-({word()} {word()})",
                    f"({word()} {word()}) OR topic:{word()}",
                    "author:ada",
                ]
            )
            for _ in range(chance.randint(1, 3))
        )
    return Filter.model_validate(fields)


def random_article(chance: random.Random, number: int) -> ArticlePublished:
    return published(
        f"a{number}",
        publisher=chance.choice(["Harbour-Post", "valley-times"]),
        title=" ".join(chance.choices(WORDS, k=4)),
        text=" ".join(chance.choices(WORDS, k=chance.randint(0, 8))),
        category=chance.choice(["Transport", "culture", "Sports", None]),
        topics=chance.sample(["Ferries", "economie", "Rain"], chance.randint(0, 2)),
        authors=[{"name": name} for name in chance.sample(["ADA LINDQVIST", "Tomás Ruiz"], chance.randint(0, 2))],
        language=chance.choice(["en", "de", "fr", "und"]),
        metadata=chance.choice([{}, {"desk": "coast"}, {"desk": "city"}]),
    )


@settings(max_examples=SETS, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_index_equals_exhaustive_comparison(seed: int) -> None:
    chance = random.Random(seed)
    index = FilterIndex()
    filters: dict[str, Filter] = {}
    for number in range(30):
        filter_ = random_filter(chance)
        filters[filter_.digest()] = filter_
        index.add(filter_.digest(), filter_, ALL)
        if number % 7 == 0:
            gone = chance.choice(list(filters))
            del filters[gone]
            index.remove(gone)
        article = random_article(chance, number)
        assert set(index.match(article)) == naive(filters, article)
    assert len(index) == len(filters)
    for digest in list(filters):
        index.remove(digest)
    assert len(index) == 0
    assert index.match(random_article(chance, 0)) == []


@pytest.mark.parametrize("seed", range(0, 400, 40))
def test_a_filter_by_itself_is_found_by_the_features_that_it_needs(seed: int) -> None:
    index = FilterIndex()
    for number in range(seed, seed + 40):
        chance = random.Random(number)
        filter_, article = random_filter(chance), random_article(chance, number)
        index.add("only", filter_, ALL)
        assert index.match(article) == ["only"] * filter_.matches(ArticleFeatures.of(article))
        index.remove("only")


def test_the_text_is_analysed_only_where_a_filter_searches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    analysed: list[str] = []

    def read(article: ArticlePublished) -> Any:
        analysed.append(article.id)
        return read_article(article)

    monkeypatch.setattr(newswire.filters, "read_article", read)
    index = FilterIndex()
    index.add("by category", Filter(categories=["Transport"]), ALL)
    index.add("by author", Filter(query="author:lindqvist"), ALL)
    assert index.match(published("a1")) == ["by category"]
    assert not index.searches_text(published("a1"))
    index.add("by text", Filter(query="ferry"), ALL)
    assert set(index.match(published("a2"))) == {"by category", "by text"}
    assert index.searches_text(published("a2"))
    index.remove("by text")
    index.add("by title", Filter(query='title:"river winter"'), ALL)
    assert index.searches_text(published("a2"))
    index.remove("by title")
    assert not index.searches_text(published("a2"))
    assert index.match(published("a3")) == ["by category"]
    assert analysed == ["a2"]


async def test_every_replica_equals_exhaustive_comparison(desk: Desk) -> None:
    chance = random.Random(7)
    first = Matcher(desk.redis, desk.keys)
    held: dict[str, Filter] = {}
    for number in range(60):
        filter_ = random_filter(chance)
        held[(await desk.subscribe("http://127.0.0.1/1", filter_.model_dump(exclude_defaults=True))).id] = filter_
        if number % 3 == 0:
            gone = chance.choice(list(held))
            del held[gone]
            await desk.subscriptions.remove("reader", gone)
        await first.catch_up()
        if number % 20 == 19:
            late = Matcher(desk.redis, desk.keys)
            await late.catch_up()
            for matcher in (first, late):
                for at in range(20):
                    article = random_article(chance, at)
                    meant = {
                        SubscriptionCriteria(filter_, ALL).digest()
                        for filter_ in held.values()
                        if filter_.matches(ArticleFeatures.of(article))
                    }
                    assert set(matcher.match(article)) == meant


SPELLINGS = (spellings.articles(), [(q, expected) for q, expected in spellings.QUERIES if not q.endswith("*")])
"""Saved searches do not support prefixes."""


@pytest.mark.parametrize("table", [(articles(), SAVED_QUERIES), (articles_in_languages(), IN_LANGUAGES), SPELLINGS])
def test_the_shared_query_table(table: tuple[list[ArticlePublished], list[tuple[str, list[str]]]]) -> None:
    read, queries = table
    index = FilterIndex()
    for number, (query, _) in enumerate(queries):
        index.add(str(number), Filter.model_construct(query=query), ALL)  # including unwise ones
    found = {article.id: set(index.match(article)) for article in read}
    for number, (query, expected) in enumerate(queries):
        assert sorted(name for name, digests in found.items() if str(number) in digests) == sorted(expected), query


def test_only_candidates_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    index = FilterIndex()
    for number in range(2000):
        index.add(str(number), Filter(query=f"ferry rareword{number}"), ALL)
    verified = 0
    wants = IndexedFilter.matches

    def counting(self: IndexedFilter, has: set[FeatureKey], features: ArticleFeatures) -> bool:
        nonlocal verified
        verified += 1
        return wants(self, has, features)

    monkeypatch.setattr(IndexedFilter, "matches", counting)
    assert index.match(published("a1", title="The ferry and rareword7")) == ["7"]
    assert verified <= 2


def test_a_phrase_is_verified_only_where_its_words_are_consecutive(monkeypatch: pytest.MonkeyPatch) -> None:
    index = FilterIndex()
    for word in WORDS[2:]:
        index.add(word, Filter(query=f'"harbour {word}"'), ALL)
    index.add("excluded", Filter(query='ferry -"winter harbour"'), ALL)
    index.add("long", Filter(query='"winter harbour storm"'), ALL)
    index.add("joined", Filter(query='"covid-19 rules"'), ALL)
    verified = 0
    wants = IndexedFilter.matches

    def counting(self: IndexedFilter, has: set[FeatureKey], features: ArticleFeatures) -> bool:
        nonlocal verified
        verified += 1
        return wants(self, has, features)

    monkeypatch.setattr(IndexedFilter, "matches", counting)
    every = " ".join(WORDS[2:])
    assert set(index.match(published("a1", title=f"Winter harbour {every}", text=""))) == {"storm", "long"}
    assert index.match(published("a2", title="Storm in the harbour in winter", text=f"{every} covid rules 19")) == []
    assert verified == 2
    assert index.match(published("a3", title="Ferry to a winter harbour", text="harbour storm ferry")) == ["storm"]
    assert set(index.match(published("a4", title="Ferry", text="winter harbour storm"))) == {"storm", "long"}
    assert set(index.match(published("a5", title="Ferry", text="COVID19 rules"))) == {"excluded", "joined"}
    for digest in [*WORDS[2:], "long"]:
        index.remove(digest)
    assert index.match(published("a6", title="Winter harbour storm")) == []
    assert set(index.match(published("a7", title="Ferry", text="COVID-19 rules"))) == {"excluded", "joined"}


def test_a_filter_moves_to_its_rarest_feature() -> None:
    index = FilterIndex()
    for number in range(20):
        index.add(f"crowd{number}", Filter(query=f"lantern word{number}"), ALL)
    index.add("one", Filter(query="ferry lantern"), ALL)
    for number in range(40):
        assert index.match(published(f"a{number}", title="A ferry and nothing else")) == []
    moved = index._languages[DEFAULT]._filters["one"]
    assert (set(moved.under), moved.reindexed_at) == ({"lantern"}, 1)  # it was a candidate of the first article only
    assert index.match(published("b", title="A ferry with a lantern")) == ["one"]


def test_kinds() -> None:
    index = FilterIndex()
    index.add("corrections", Filter(), ["corrected", "retracted"])
    assert index.match(published("a1")) == []
    assert index.match(published("a1", 2, kind="corrected")) == ["corrections"]


async def test_it_follows_the_subscriptions(desk: Desk) -> None:
    matcher = Matcher(desk.redis, desk.keys)
    await matcher.catch_up()
    first = await desk.subscribe("http://127.0.0.1/1", {"query": "ferry"})
    twin = await desk.subscribe("http://127.0.0.1/2", {"query": "FERRY"})
    await matcher.catch_up()
    assert len(matcher.index) == 1
    assert len(matcher.match(published("a1"))) == 1
    await desk.subscriptions.remove("reader", first.id)
    await matcher.catch_up()
    assert len(matcher.index) == 1
    await desk.subscriptions.remove("reader", twin.id)
    await matcher.catch_up()
    assert len(matcher.index) == 0


async def test_it_reloads_after_changes_were_trimmed_or_the_server_was_flushed(desk: Desk) -> None:
    await desk.subscribe("http://127.0.0.1/1", {"query": "ferry"})
    matcher = Matcher(desk.redis, desk.keys)
    await matcher.catch_up()
    await desk.subscribe("http://127.0.0.1/2", {"query": "harbour"})
    await desk.subscribe("http://127.0.0.1/3", {"query": "storm"})
    await desk.redis.xtrim(desk.keys.deliveries.key("filters", "changes"), maxlen=1, approximate=False)
    await matcher.catch_up()
    assert len(matcher.index) == 3
    await desk.redis.delete(desk.keys.deliveries.key("filters", "changes"))
    await desk.subscribe("http://127.0.0.1/4", {"query": "tram"})
    await matcher.catch_up()
    assert len(matcher.index) == 4
    async for key in desk.redis.scan_iter(f"*{desk.keys.namespace}*"):
        await desk.redis.delete(key)
    await desk.subscribe("http://127.0.0.1/5", {"query": "museum"})
    await matcher.catch_up()
    assert len(matcher.index) == 1


async def test_loading_many_filters_does_not_block_the_event_loop(desk: Desk) -> None:
    filters = {
        f"digest{n}": json.dumps({"filter": {"query": f"word{n}"}, "events": ["published"]}) for n in range(2000)
    }
    await desk.redis.hset(desk.keys.deliveries.key("filters"), mapping=filters)
    matcher = Matcher(desk.redis, desk.keys)
    turns, reasons = 0, set()

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            reasons.add(await matcher.check())
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    await matcher.load(asyncio.Event())
    running.cancel()
    assert await matcher.check() is None
    assert len(matcher.index) == 2000
    assert turns > 2 * 2000 / SCAN_COUNT  # while they are loaded, and again while they are indexed
    assert "the filters of subscriptions have not been loaded yet" in reasons
    assert any("being loaded" in reason for reason in reasons if reason)


async def test_a_start_prepares_the_languages_of_past_articles(desk: Desk) -> None:
    await desk.subscribe("http://127.0.0.1/1", {"query": "ferry"})
    await desk.publish("a1", language="de")
    later = Matcher(desk.redis, desk.keys)
    await later.load(asyncio.Event())
    assert set(later.index.languages) == {DEFAULT, "de"}


async def test_it_is_not_ready_while_it_reloads(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    matcher = Matcher(desk.redis, desk.keys)
    await matcher.load(asyncio.Event())
    await desk.subscribe("http://127.0.0.1/1", {"query": "ferry"})
    await desk.subscribe("http://127.0.0.1/2", {"query": "harbour"})
    await desk.redis.delete(desk.keys.deliveries.key("filters", "changes"))
    reasons = []
    prepare = FilterIndex.prepare

    async def noting(self: FilterIndex, language: str) -> None:
        reasons.append(await matcher.check())
        await prepare(self, language)

    monkeypatch.setattr(FilterIndex, "prepare", noting)
    await matcher.catch_up()
    assert len(matcher.index) == 2
    assert reasons
    assert None not in reasons
    assert await matcher.check() is None


async def test_a_process_is_ready_and_consumes_only_once_the_filters_are_loaded(
    redis: Redis, redis_url: str, desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.subscribe(f"{receiver.url}/a")
    await desk.put("a1")
    may_load = asyncio.Event()
    catch_up = Matcher.catch_up

    async def held(self: Matcher) -> None:
        await may_load.wait()
        await catch_up(self)

    monkeypatch.setattr(Matcher, "catch_up", held)
    settings = NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=desk.keys.namespace,
        allow_volatile=True,
        webhook_allow_private=True,
    )
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(service(settings))
        app = create_app([own], settings, redis=redis)
        stopping: asyncio.Event = app.state.stopping
        loops = [asyncio.ensure_future(loop(stopping)) for loop in own.loops.values()]
        stack.push_async_callback(asyncio.wait, loops)
        stack.callback(stopping.set)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
        )

        async def waits_for_nothing_else() -> bool:
            checks = (await http.get("/status")).json()["checks"]
            return {name for name, said in checks.items() if said != "ok"} == {"notify: filters", "notify: consumer"}

        await until(waits_for_nothing_else)
        refused = await http.get("/status")
        assert refused.status_code == 503
        assert "the filters of subscriptions have not been loaded yet" in refused.text
        assert (await http.get("/healthz")).status_code == 200
        assert not receiver.got
        may_load.set()
        await until(lambda: receiver.events("/a") == ["a1.1"])

        async def ready() -> bool:
            return (await http.get("/status")).status_code == 200

        await until(ready)

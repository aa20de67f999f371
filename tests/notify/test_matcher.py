"""The matcher finds what comparing every filter with every article finds."""

import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newswire.events import ArticlePublished
from newswire.filters import Facts, Filter
from newswire_notify.matcher import Filed, Index, Matcher
from newswire_notify.subscriptions import Wish
from tests.contract.table import IN_LANGUAGES, SAVED_QUERIES, articles, articles_in_languages
from tests.notify.conftest import Desk, published

SETS = int(os.environ.get("NEWSWIRE_FILTER_SETS", "60"))
"""Sets of filters that are compared; some thousands take a minute."""
ALL = ("published", "updated", "corrected", "retracted")
WORDS = "ferry harbour storm bridge council tram museum river winter timetable orchestra bakery lantern".split()


def naive(filters: dict[str, Filter], article: ArticlePublished) -> set[str]:
    facts = Facts.of(article)
    return {digest for digest, filter_ in filters.items() if filter_.matches(facts)}


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
def test_the_index_finds_what_comparing_everything_finds(seed: int) -> None:
    chance = random.Random(seed)
    index = Index()
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


async def test_every_replica_finds_what_comparing_everything_finds(desk: Desk) -> None:
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
                        Wish(filter_, ALL).digest() for filter_ in held.values() if filter_.matches(Facts.of(article))
                    }
                    assert set(matcher.match(article)) == meant


@pytest.mark.parametrize("table", [(articles(), SAVED_QUERIES), (articles_in_languages(), IN_LANGUAGES)])
def test_the_shared_table_of_queries(table: tuple[list[ArticlePublished], list[tuple[str, list[str]]]]) -> None:
    read, queries = table
    index = Index()
    for number, (query, _) in enumerate(queries):
        index.add(
            str(number), Filter.model_construct(query=query), ALL
        )  # also those that a subscriber is advised against
    found = {article.id: set(index.match(article)) for article in read}
    for number, (query, expected) in enumerate(queries):
        assert sorted(name for name, digests in found.items() if str(number) in digests) == sorted(expected), query


def test_only_filters_that_can_match_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index()
    for number in range(2000):
        index.add(str(number), Filter(query=f"ferry rareword{number}"), ALL)
    verified = 0
    wants = Filed.wants

    def counting(self: Filed, has: set[str], facts: Facts) -> bool:
        nonlocal verified
        verified += 1
        return wants(self, has, facts)

    monkeypatch.setattr(Filed, "wants", counting)
    assert index.match(published("a1", title="The ferry and rareword7")) == ["7"]
    assert verified <= 2


def test_a_filter_moves_to_what_turns_out_to_be_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index()
    for number in range(20):
        index.add(f"crowd{number}", Filter(query=f"lantern word{number}"), ALL)
    index.add("one", Filter(query="ferry lantern"), ALL)
    came_up = 0
    wants = Filed.wants

    def counting(self: Filed, has: set[str], facts: Facts) -> bool:
        nonlocal came_up
        came_up += 1
        return wants(self, has, facts)

    monkeypatch.setattr(Filed, "wants", counting)
    for number in range(40):
        assert index.match(published(f"a{number}", title="A ferry and nothing else")) == []
    assert 0 < came_up < 10
    assert index.match(published("b", title="A ferry with a lantern")) == ["one"]


def test_kinds() -> None:
    index = Index()
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


async def test_it_begins_anew_when_changes_were_trimmed_or_the_server_was_emptied(desk: Desk) -> None:
    await desk.subscribe("http://127.0.0.1/1", {"query": "ferry"})
    matcher = Matcher(desk.redis, desk.keys)
    await matcher.catch_up()
    await desk.subscribe("http://127.0.0.1/2", {"query": "harbour"})
    await desk.subscribe("http://127.0.0.1/3", {"query": "storm"})
    await desk.redis.xtrim(desk.keys.deliveries.key("subscriptions", "changes"), maxlen=1, approximate=False)
    await matcher.catch_up()
    assert len(matcher.index) == 3
    await desk.redis.delete(desk.keys.deliveries.key("subscriptions", "changes"))
    await desk.subscribe("http://127.0.0.1/4", {"query": "tram"})
    await matcher.catch_up()
    assert len(matcher.index) == 4
    async for key in desk.redis.scan_iter(f"*{desk.keys.namespace}*"):
        await desk.redis.delete(key)
    await desk.subscribe("http://127.0.0.1/5", {"query": "museum"})
    await matcher.catch_up()
    assert len(matcher.index) == 1

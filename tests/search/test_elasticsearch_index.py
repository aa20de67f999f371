"""Behaviour of the Elasticsearch index alone."""

import asyncio
import math
import time
from dataclasses import replace
from typing import NoReturn

import elasticsearch
import orjson
import pytest
from elasticsearch import AsyncElasticsearch

from newswire.filters import Filter
from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.elasticsearch import languages, writing
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.mapping import MAPPING_NUMBER, fields_of, index_settings
from newswire_search.index.models import SnapshotExpiredError
from newswire_search.index.snapshots import SNAPSHOT_MAX_SECONDS, Snapshots
from newswire_search.query.autocomplete import completions
from tests.search.conftest import Opener, client_of
from tests.search.samples import found, publish, put, request, retract, search
from tests.servers.elasticsearch import ElasticsearchServer


async def test_two_namespaces_on_one_server_do_not_see_each_other(
    open_elasticsearch_index: Opener, namespace: str
) -> None:
    ours, theirs = open_elasticsearch_index(namespace), open_elasticsearch_index(f"{namespace}-articles")
    await put(ours, publish("a1", "Ferry"))
    await put(theirs, publish("a1", "Airship"), publish("b1", "Ferry pilot"))
    assert await found(ours, "ferry") == ["a1"]
    assert await found(ours, "airship") == []
    assert await found(theirs, "ferry") == ["b1"]
    await put(theirs, retract("a1", 1))
    assert await found(ours) == ["a1"]
    assert await ours.get("b1") is None


def test_the_lines_of_a_bulk_request_hold_the_article_and_its_fields() -> None:
    id_ = 'a "quoted" id: ü'
    made = publish(id_, "L’été", "U.S. ferries", version=3, topics=["Ferries"], rating=7)
    (lines,) = writing._bulk_bodies([made, retract(id_, 4)])
    action, document, removal, tombstone = map(orjson.loads, lines)
    assert action == {"index": {"_id": id_, "version": 3, "version_type": "external"}}
    stored = dict(made.document)
    text, body = stored.pop("text"), stored.pop("body")
    assert document == {
        "id": id_,
        "version": 3,
        "retracted": False,
        "article": stored,
        "text_stored": text,
        "body_stored": body,
        **fields_of(made.article),
    }
    assert stored["rating"] == 7
    assert removal == {"index": {"_id": id_, "version": 4, "version_type": "external_gte"}}
    assert tombstone == {"id": id_, "version": 4, "retracted": True}


async def test_a_batch_is_visible_only_once_all_of_it_is(elasticsearch_index: ElasticsearchIndex) -> None:
    await put(elasticsearch_index, publish("a1", "Ferry"), publish("a2", "Ferry"))
    correction = publish("a1", "Airship", version=2)
    waiting = asyncio.create_task(elasticsearch_index.until_visible([correction, publish("a2")]))
    await asyncio.wait([waiting], timeout=3 * writing.VISIBLE_POLL_SECONDS)
    assert not waiting.done(), "the last one is visible, the first is not even written"
    await elasticsearch_index.write([correction])
    await waiting
    assert await found(elasticsearch_index, "airship") == ["a1"]


@pytest.mark.parametrize(("text", "body"), [(True, True), (True, False), (False, True), (False, False)])
async def test_only_requested_members_are_returned(
    elasticsearch_index: ElasticsearchIndex, text: bool, body: bool
) -> None:
    await put(elasticsearch_index, publish("a1", "Ferry"), publish("a2", "Ferry"))
    asked = request("ferry", limit=1, with_text=text, with_body=body)
    first = await elasticsearch_index.search(asked)
    second = await elasticsearch_index.search(replace(asked, after=first.next))
    for article in (*first.articles, *second.articles):
        assert ("text" in article, "body" in article) == (text, body)
    assert {article["id"] for page in (first, second) for article in page.articles} == {"a1", "a2"}


async def test_next_search_finds_a_new_language_of_another_process(
    open_elasticsearch_index: Opener, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "LANGUAGES_TTL_SECONDS", 0.0)
    ours, theirs = open_elasticsearch_index(namespace), open_elasticsearch_index(namespace)
    await put(ours, publish("a1", "Ferry"))
    assert await found(theirs, "ferry") == ["a1"]
    await put(ours, publish("b1", "Ein Haus am Hafen", language="de", topics=["Häfen"]))
    assert await found(theirs, "Häuser") == ["b1"]
    assert [each.value for each in await completions(theirs, "häf", Filter(query="Häuser"), 1)] == ["Häfen"]


async def test_index_has_an_alias_and_its_mapping_number_in_its_name(
    elasticsearch_index: ElasticsearchIndex, elasticsearch: ElasticsearchServer, namespace: str
) -> None:
    await put(elasticsearch_index, publish("a1", metadata={"desk": "night"}, topics=["Sea"]))
    async with client_of(elasticsearch) as client:
        (name, made), *others = dict(await client.indices.get(index=elasticsearch_index.alias)).items()
        stored = (await client.get(index=elasticsearch_index.alias, id="a1"))["_source"]
    assert not others
    assert name.startswith(f"{namespace}-articles-{MAPPING_NUMBER}-")
    assert made["mappings"]["dynamic"] == "strict"
    assert made["settings"]["index"]["number_of_replicas"] == "0"
    assert set(stored) == {"id", "version", "retracted", "article"}


async def test_tombstone_contains_no_text(
    elasticsearch_index: ElasticsearchIndex, elasticsearch: ElasticsearchServer, namespace: str
) -> None:
    await put(elasticsearch_index, publish("a1", "Ferry"))
    await put(elasticsearch_index, retract("a1", 1))
    async with client_of(elasticsearch) as client:
        answer = await client.get(index=elasticsearch_index.alias, id="a1")
    assert answer["_source"] == {"id": "a1", "version": 1, "retracted": True}
    assert answer["_version"] == 1


async def test_deleted_index_is_created_again(
    elasticsearch_index: ElasticsearchIndex, elasticsearch: ElasticsearchServer, namespace: str
) -> None:
    await put(elasticsearch_index, publish("a1", "Ferry"))
    async with client_of(elasticsearch) as client:
        for use in (
            lambda: elasticsearch_index.write([publish("a2", "Boat")]),
            lambda: search(elasticsearch_index, "ferry"),
            lambda: search(elasticsearch_index),
            lambda: elasticsearch_index.search_all([request("ferry"), request("boat")]),
            lambda: elasticsearch_index.search_with_partial_matches(request("ferry boat")),
            lambda: elasticsearch_index.get("a1"),
            elasticsearch_index.check,
        ):
            (name,) = await client.indices.get(index=elasticsearch_index.alias)
            await client.indices.delete(index=name)
            await use()
            (again,) = dict(await client.indices.get(index=elasticsearch_index.alias)).values()
            assert again["mappings"]["dynamic"] == "strict"
    await put(elasticsearch_index, publish("a1", "Ferry"))
    assert await found(elasticsearch_index, "ferry") == ["a1"]


@pytest.mark.parametrize(
    ("q", "limit", "expected"),
    [
        ("ferry boat", 20, 1),  # results and partial matches
        ("ferry harbour", 2, 2),  # more than a page has all words: they are counted
        ("ferry", 2, 1),
        ('the of "harbour ferry"', 20, 2),  # one after the other
    ],
)
async def test_number_of_searches_for_a_page(
    elasticsearch_index: ElasticsearchIndex, elasticsearch: ElasticsearchServer, q: str, limit: int, expected: int
) -> None:
    await put(elasticsearch_index, publish("b1", "Boat"), *(publish(f"a{n}", "Harbour ferry") for n in range(4)))
    elasticsearch_index.languages.read_at = math.inf

    async with client_of(elasticsearch) as client:

        async def searched() -> int:
            stats = await client.indices.stats(index=elasticsearch_index.alias, metric="search")
            count: int = stats["_all"]["primaries"]["search"]["query_total"]
            return count

        before = await searched()
        await elasticsearch_index.search_with_partial_matches(request(q, limit=limit))
        assert await searched() == before + expected


async def test_a_search_is_answered_although_the_languages_cannot_be_read(
    elasticsearch_index: ElasticsearchIndex, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await put(elasticsearch_index, publish("a1", "Die Fähren", language="de"))
    known = elasticsearch_index.languages
    known.known = {"en"}  # another process has written the article
    asked: list[str] = []

    async def refuse(**_: object) -> NoReturn:
        asked.append("languages")
        raise elasticsearch.ConnectionTimeout("the node is busy")

    with monkeypatch.context() as patched:
        patched.setattr(elasticsearch_index.client, "search", refuse)
        with pytest.raises(DependencyUnavailableError):
            await found(elasticsearch_index, "Fähre")  # nothing is known: articles would be missing
    assert await found(elasticsearch_index, "Fähre") == ["a1"]
    monkeypatch.setattr(elasticsearch_index.client, "search", refuse)
    known.read_at -= 2 * languages.LANGUAGES_TTL_SECONDS
    assert await found(elasticsearch_index, "Fähre") == ["a1"]
    assert len(asked) == 2
    assert "could not read the languages" in caplog.text


async def test_a_server_that_is_down_is_unavailable() -> None:
    client = AsyncElasticsearch("http://127.0.0.1:1", request_timeout=2, max_retries=0)
    index = ElasticsearchIndex(client, "nowhere", index_settings(1, 0, 200))
    with pytest.raises(DependencyUnavailableError, match="Elasticsearch"):
        await index.write([publish("a1")])
    with pytest.raises(DependencyUnavailableError):
        await search(index, "ferry")
    with pytest.raises(DependencyUnavailableError):
        await index.search_all([request("ferry"), request("boat")])
    with pytest.raises(DependencyUnavailableError):
        await index.search_with_partial_matches(request("ferry boat"))
    with pytest.raises(DependencyUnavailableError):
        await index.get("a1")
    assert "Elasticsearch" in (await index.check() or "")
    await index.close()


async def test_large_batch_is_sent_in_several_requests(
    elasticsearch_index: ElasticsearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "BULK_BYTES", 5000)
    results = await elasticsearch_index.write([publish(f"a{n}", "Ferry", "word " * 100) for n in range(40)])
    assert [result.value for result in results if not hasattr(result, "reason")] == ["applied"] * 40


async def test_a_reader_s_oldest_snapshot_is_closed_for_a_new_one_and_no_other_reader_s(
    elasticsearch_index: ElasticsearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elasticsearch_index._search, "snapshots", Snapshots(4, 2))
    await put(elasticsearch_index, *(publish(f"a{n}", "Ferry") for n in range(3)))
    asked = request("ferry", limit=1)
    second = replace(asked, after=(await elasticsearch_index.search(asked)).next)
    other = await elasticsearch_index.search(replace(second, snapshot_owner="other"))
    pages = [await elasticsearch_index.search(second) for _ in range(3)]
    assert len((await elasticsearch_index.search(replace(asked, after=other.next))).articles) == 1
    with pytest.raises(SnapshotExpiredError):
        await elasticsearch_index.search(replace(asked, after=pages[0].next))
    assert len((await elasticsearch_index.search(replace(asked, after=pages[1].next))).articles) == 1


async def test_a_page_without_a_next_one_opens_no_snapshot(elasticsearch_index: ElasticsearchIndex) -> None:
    await put(elasticsearch_index, publish("a1", "Ferry"), publish("a2", "Ferry"))
    await elasticsearch_index.search(request("ferry", limit=2))
    await elasticsearch_index.search(request(limit=1))
    assert len(elasticsearch_index._search.snapshots) == 0


async def test_snapshot_expires_however_often_it_is_used(
    elasticsearch_index: ElasticsearchIndex,
) -> None:
    await put(elasticsearch_index, *(publish(f"a{n}", "Ferry") for n in range(4)))
    asked = request("ferry", limit=1)
    first = await elasticsearch_index.search(asked)
    assert first.next is not None
    long_ago = time.time() - SNAPSHOT_MAX_SECONDS
    second = await elasticsearch_index.search(
        replace(asked, after=replace(first.next, snapshot_opened_at=long_ago + 60))
    )
    assert second.next is not None
    assert second.next.snapshot_opened_at == long_ago + 60  # renewing moves no end
    with pytest.raises(SnapshotExpiredError):
        await elasticsearch_index.search(replace(asked, after=replace(second.next, snapshot_opened_at=long_ago)))

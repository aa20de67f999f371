"""Erased articles are hidden, however far behind the index is."""

import asyncio
from pathlib import Path

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.models import Retracted
from newswire_search.index.port import ArticleIndex
from newswire_search.query.erased_versions import ErasedVersions
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from tests.search.samples import ids, publish, put, request


async def on_record(redis: Redis, keys: Keyspace, article_id: str, *versions: int) -> None:
    await redis.hset(keys.article(article_id), "status", "published")
    for version in versions:
        await redis.hset(keys.version(article_id, version), "document", "{}")


async def test_article_is_hidden_once_its_record_is_erased(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    await put(embedded_index, publish("a1", "Ferry sinks"), publish("a2", "Ferry floats"))
    await on_record(redis, keys, "a1", 1)
    await on_record(redis, keys, "a2", 1)
    readable = RetractionFilteredIndex(embedded_index, redis, keys)
    assert (await readable.search(request("ferry"))).total == 2
    await redis.delete(keys.version("a1", 1))
    page = await readable.search(request("ferry"))
    assert ids(page) == ["a2"]
    assert page.total == 1
    assert await readable.get("a1") == Retracted("a1", 1)
    assert (await readable.get("a2") or {})["title"] == "Ferry floats"  # type: ignore[index]


async def test_searches_that_run_together_hide_an_erased_article(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    await put(embedded_index, publish("a1", "Ferry sinks"), publish("a2", "Ferry floats"))
    await on_record(redis, keys, "a1", 1)
    await on_record(redis, keys, "a2", 1)
    readable = RetractionFilteredIndex(embedded_index, redis, keys)
    await redis.delete(keys.version("a1", 1))
    pages = await readable.search_all([request("ferry"), request("sinks"), request("floats")])
    assert [(ids(page), page.total) for page in pages] == [(["a2"], 1), ([], 0), (["a2"], 1)]
    assert await readable.search_all([]) == []


async def test_partial_matches_hide_an_erased_article(index: ArticleIndex, redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    articles = {"a1": "Ferry sinks", "a2": "Ferry floats", "a3": "Ferry", "a4": "Ferry floats"}
    await put(index, *(publish(id_, title) for id_, title in articles.items()))
    for id_ in articles:
        await on_record(redis, keys, id_, 1)
    readable = RetractionFilteredIndex(index, redis, keys)
    for id_ in ("a3", "a4"):
        await redis.delete(keys.version(id_, 1))
    found = await readable.search_with_partial_matches(request("ferry floats"))
    assert [(ids(page), page.total) for page in found if page] == [(["a2"], 1), (["a1"], 1)]
    assert await readable.search_with_partial_matches(request("ferry")) == (
        await readable.search(request("ferry")),
        None,
    )


async def test_article_is_not_counted_once_it_is_retracted(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    await put(embedded_index, *(publish(f"a{n}", "Ferry", topics=[f"t{n}"]) for n in range(5)))
    for n in range(5):
        await on_record(redis, keys, f"a{n}", 1)
    readable = RetractionFilteredIndex(embedded_index, redis, keys)
    await redis.zadd(keys.unindexed_retractions, {"a3.1": 1, "a4.1": 2})
    await redis.delete(keys.version("a3", 1), keys.version("a4", 1))
    page = await readable.search(request("ferry", limit=1))
    assert page.total == 3
    assert sorted(value.value for value in page.facets["topic"]) == ["t0", "t1", "t2"]
    assert [day.count for day in await readable.days(request())] == [3]
    await on_record(redis, keys, "a3", 2)  # published again: of that, nothing is hidden
    await put(embedded_index, publish("a3", "Ferry", topics=["new"], version=2))
    assert (await readable.search(request("ferry", limit=1))).total == 4


async def test_erased_version_stays_hidden_after_republication(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    await put(embedded_index, publish("a1", "Ferry sinks"))
    await on_record(redis, keys, "a1", 2)
    assert ids(await RetractionFilteredIndex(embedded_index, redis, keys).search(request("ferry"))) == []


async def test_index_answers_alone_without_records_or_redis(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, tmp_path: Path
) -> None:
    await put(embedded_index, publish("a1", "Ferry sinks"))
    readable = RetractionFilteredIndex(embedded_index, redis, Keyspace(namespace))
    assert ids(await readable.search(request("ferry"))) == ["a1"]
    nowhere = Redis(unix_socket_path=str(tmp_path / "nobody.sock"))
    assert ids(
        await RetractionFilteredIndex(embedded_index, nowhere, Keyspace(namespace)).search(request("ferry"))
    ) == ["a1"]
    await nowhere.aclose()


async def test_pages_that_wait_together_share_a_command(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    await put(embedded_index, publish("a1", "Ferry sinks"), publish("a2", "Ferry floats"))
    await on_record(redis, keys, "a1", 1)
    await on_record(redis, keys, "a2", 1)
    erased = ErasedVersions(redis, keys)

    async def commands() -> int:
        return int((await redis.info("commandstats")).get("cmdstat_exists", {"calls": 0})["calls"])

    before = await commands()
    pages = [[("a1", 1)], [("a2", 1), ("a1", 1)], [("a2", 1)], []]
    assert await asyncio.gather(*map(erased.among, pages)) == [set()] * 4
    assert await commands() == before + 1
    await redis.delete(keys.version("a1", 1))
    assert await asyncio.gather(*map(erased.among, pages)) == [{("a1", 1)}, {("a1", 1)}, set(), set()]
    assert await erased.among([("a2", 1), ("a1", 1)]) == {("a1", 1)}


async def test_a_version_that_is_erased_while_others_wait_is_hidden(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    await on_record(redis, keys, "a1", 1)
    erased = ErasedVersions(redis, keys)
    early = asyncio.create_task(erased.among([("a1", 1)]))
    await asyncio.sleep(0)  # its command is on the way
    await redis.delete(keys.version("a1", 1))
    assert await erased.among([("a1", 1)]) == {("a1", 1)}
    await early

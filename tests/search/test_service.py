"""The search service: from the stream into the index, and onto the outcomes stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.article import Article
from newswire.events import FIELD, INDEXED, PUBLISHED, RETRACTED, ArticleIndexed, ArticleRetracted, decode, event
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.messaging.messages import Message, RejectedMessagesError
from newswire.observability import metrics
from newswire_search.app import index_admin_for, service
from newswire_search.index.mapping import MAPPING, MAPPING_NUMBER
from newswire_search.index.models import (
    Operation,
    Publish,
    RejectedOperation,
    Retract,
    WriteStatus,
)
from newswire_search.index.port import ArticleIndex
from newswire_search.indexing.handlers import index_articles
from newswire_search.indexing.indexed_events import IndexedEventPublisher
from newswire_search.maintenance.reindexing import reindex
from newswire_search.settings import SearchSettings
from tests.search.conftest import Opener
from tests.search.samples import article
from tests.servers.elasticsearch import ElasticsearchServer

DEADLINE = 60.0


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Poll until a condition is true."""
    async with asyncio.timeout(DEADLINE):
        while not (result := await condition()):
            await asyncio.sleep(0.02)
        return result


def published(sent: Article) -> bytes:
    return event(
        PUBLISHED, sent, id_=f"{sent.id}.{sent.version}", source="https://news.example", subject=sent.id
    ).to_json()


def retracted(article_id: str, version: int) -> bytes:
    tombstone = ArticleRetracted.model_validate(
        {"id": article_id, "version": version, "publisher": "The Harbour Post", "retracted_at": "2026-03-05T00:00:00Z"}
    )
    name = f"{article_id}.{version}.retracted"
    return event(RETRACTED, tombstone, id_=name, source="https://news.example", subject=article_id).to_json()


@pytest.fixture(params=["embedded", "elasticsearch"])
def settings(request: pytest.FixtureRequest, redis_url: str, namespace: str, tmp_path: Path) -> SearchSettings:
    common: dict[str, Any] = {"redis_url": SecretStr(redis_url), "namespace": namespace, "data_dir": tmp_path}
    if request.param == "embedded":
        return SearchSettings(index="embedded", **common)
    server: ElasticsearchServer = request.getfixturevalue("elasticsearch")
    return SearchSettings(
        index="elasticsearch",
        elasticsearch_url=server.url,
        elasticsearch_username=server.username,
        elasticsearch_password=SecretStr(server.password) if server.password else None,
        **common,
    )


@asynccontextmanager
async def running(settings: SearchSettings, redis: Redis) -> AsyncIterator[httpx.AsyncClient]:
    async with service(settings) as search:
        app = create_app([search], settings, redis=redis)
        stopping: asyncio.Event = app.state.stopping
        loops = [asyncio.ensure_future(run(stopping)) for run in search.loops.values()]
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://news.example") as client:
            yield client
        stopping.set()
        await asyncio.gather(*loops)


async def test_stream_events_are_indexed_and_their_outcomes_published(settings: SearchSettings, redis: Redis) -> None:
    keys = Keyspace(settings.namespace)
    before = metrics.indexed._value.get()
    async with running(settings, redis) as client:
        await redis.xadd(keys.stream, {FIELD: published(article("a1", "Ferry"))})
        await redis.xadd(keys.stream, {FIELD: b"poison"})
        await redis.xadd(keys.stream, {FIELD: published(article("a2", "Ferry", version=2))})

        async def total() -> int:
            answer = await client.get("/v1/search?q=ferry")
            return int(answer.json()["total"]) if answer.status_code == 200 else -1  # 503 until the index is made

        await until(lambda: _equal(total, 2))
        outcomes = await until(lambda: _entries(redis, keys.outcomes, 2))
        assert {(outcome.id, outcome.version) for outcome in outcomes} == {("a1", 1), ("a2", 2)}
        assert {outcome.index for outcome in outcomes} == {settings.index}
        assert all(outcome.latency_ms >= 0 for outcome in outcomes)
        assert await redis.xlen(keys.dead_letters("search")) == 1
        assert metrics.indexed._value.get() >= before + 2

        await redis.xadd(keys.stream, {FIELD: retracted("a2", 2)})
        await until(lambda: _equal(total, 1))
        await until(lambda: _entries(redis, keys.outcomes, 3))
        ready = await until(lambda: _ready(client))
        assert set(ready["checks"]) == {"search: index", "search: redis", "search: consumer"}


async def test_service_reports_a_consumer_that_does_not_run_and_still_answers(
    settings: SearchSettings, redis: Redis
) -> None:
    async with service(settings) as search:
        app = create_app([search], settings, redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://news.example") as client:
            answer = await client.get("/status")
            assert (await client.get("/readyz")).status_code == 200
    assert answer.status_code == 503
    assert "consumer" in answer.json()["detail"]


async def _equal(ask: Callable[[], Awaitable[int]], expected: int) -> bool:
    return await ask() == expected


async def _entries(redis: Redis, stream: str, count: int) -> list[ArticleIndexed]:
    entries = await redis.xrange(stream)
    if len(entries) < count:
        return []
    made = []
    for _, fields in entries:
        envelope, payload = decode(fields)
        assert envelope.type == INDEXED
        assert isinstance(payload, ArticleIndexed)
        made.append(payload)
    return made


async def _ready(client: httpx.AsyncClient) -> dict[str, Any] | None:
    answer = await client.get("/status")
    return answer.json() if answer.status_code == 200 else None


class _Recording:
    """An index that returns prepared results."""

    name = "embedded"

    def __init__(self, answers: list[WriteStatus | RejectedOperation]) -> None:
        self.answers = answers
        self.written: list[Operation] = []

    async def write(self, operations: list[Operation]) -> list[WriteStatus | RejectedOperation]:
        self.written += operations
        return self.answers

    async def until_visible(self, operations: list[Operation]) -> None:
        pass


def _received(entry_id: str, raw: bytes, *, redelivered: bool = False) -> Message:
    envelope, payload = decode({FIELD.encode(): raw})
    return Message(entry_id, envelope, payload, redelivered)


async def test_only_rejected_operations_fail(redis: Redis, namespace: str) -> None:
    index: Any = _Recording(
        [WriteStatus.APPLIED, RejectedOperation("too odd"), WriteStatus.SUPERSEDED, WriteStatus.SUPERSEDED]
    )
    keys = Keyspace(namespace)
    publisher = IndexedEventPublisher(redis, keys, _as_index(index), "https://news.example/search")
    batch = [
        _received("1-0", published(article("a1"))),
        _received("2-0", published(article("a2"))),
        _received("3-0", published(article("a3"))),
        _received("4-0", retracted("a4", 7), redelivered=True),
    ]
    with pytest.raises(RejectedMessagesError) as caught:
        await index_articles(batch, index, publisher)
    assert caught.value.reasons == {"2-0": "index: too odd"}
    assert isinstance(index.written[0], Publish)
    assert index.written[3] == Retract("a4", 7)

    stopping = asyncio.Event()
    stopping.set()
    await publisher.run(stopping)
    # a3 was already there and nothing is said of it; a4 may have been written by a process that died before it spoke.
    assert [outcome.id for outcome in await _entries(redis, keys.outcomes, 2)] == ["a1", "a4"]


def _as_index(index: Any) -> ArticleIndex:
    made: ArticleIndex = index
    return made


async def test_index_of_another_release_is_reported_and_not_written(
    redis_url: str, redis: Redis, namespace: str, elasticsearch: ElasticsearchServer, open_elasticsearch_index: Opener
) -> None:
    index = open_elasticsearch_index(namespace)
    old = f"{namespace}-articles-{MAPPING_NUMBER + 1}-000001"
    await index.client.indices.create(index=old, mappings=MAPPING, settings=index.target.settings)
    keys = Keyspace(namespace)
    settings = SearchSettings(
        redis_url=SecretStr(redis_url), namespace=namespace, index="elasticsearch", elasticsearch_url=elasticsearch.url
    )
    async with running(settings, redis) as client:
        await redis.xadd(keys.stream, {FIELD: published(article("a1", "Ferry"))})
        answer = await client.get("/status")
        assert answer.status_code == 503
        assert "run `newswire reindex`" in answer.text
        assert (await client.get("/v1/search?q=ferry")).status_code == 503
        # Nothing has been taken from the stream: a replica of the release that made the index may still take it.
        assert await redis.xinfo_groups(keys.stream) == []
        assert list(await index.target.names()) == [old]
        assert (await index.client.count(index=old))["count"] == 0

        await reindex(redis, keys, index_admin_for(index), lambda *_: None)

        async def is_found() -> bool:
            return bool((await client.get("/v1/search?q=ferry")).json().get("total"))

        await until(is_found)
        assert (await index.client.count(index=old))["count"] == 0

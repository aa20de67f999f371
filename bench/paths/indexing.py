"""Stream → index, in documents per second: the search service, compared with a bulk load of the same documents from memory."""

import asyncio
import time
from typing import Any

from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_streaming_bulk
from redis.asyncio import Redis

from bench.articles import repeated
from bench.figures import Figure, Goal, compared
from bench.publishing import append, events, versions
from bench.servers import KEYS, service, valkey
from bench.setting import Setting
from newswire.article import Article
from newswire.storage.redis_client import open_redis
from newswire_search.app import GROUP
from newswire_search.index.elasticsearch.stored_articles import source_members
from newswire_search.index.mapping import MAPPING, fields_of, index_settings

FLOOR_INDEX = "bench-floor"


async def measure(setting: Setting) -> list[Figure]:
    """Return the figures of both indexes."""
    count = setting.some(6000)
    embedded = {"NEWSWIRE_DATA_DIR": str(setting.folder / "embedded")}
    server = setting.elasticsearch()
    credentials = (server.username, server.password or "") if server.username else None
    async with AsyncElasticsearch(server.url, basic_auth=credentials, request_timeout=60) as client:
        await client.indices.create(index=FLOOR_INDEX, mappings=MAPPING, settings=index_settings(1, 0, 200))
        production, floors = [], []
        with (
            valkey(setting.folder / "indexing") as url,
            service("search", server.environment() | {"NEWSWIRE_REDIS_URL": url}, setting.folder / "indexing.log"),
        ):
            async with open_redis(url) as redis:
                await stream_to_index(redis, entries(setting, 500, "warm"))
                for number in setting.steps("stream → Elasticsearch", range(setting.rounds)):
                    floors.append(await bulk(client, documents(setting, count, f"floor{number}x")))
                    production.append(await stream_to_index(redis, entries(setting, count, f"ours{number}x")))
        await client.indices.delete(index=FLOOR_INDEX)
    with (
        valkey(setting.folder / "embedding") as url,
        service("search", embedded | {"NEWSWIRE_REDIS_URL": url}, setting.folder / "embedding.log"),
    ):
        async with open_redis(url) as redis:
            await stream_to_index(redis, entries(setting, 500, "warm"))
            laptop = [
                await stream_to_index(redis, entries(setting, count, f"ours{number}x"))
                for number in setting.steps("stream → embedded index", range(setting.rounds))
            ]
    return [
        compared(
            "stream → Elasticsearch", "documents/s", list(zip(production, floors, strict=True)), Goal("at least", 0.85)
        ),
        compared(
            "stream → embedded index (floor: Elasticsearch's)", "documents/s", list(zip(laptop, floors, strict=True))
        ),
    ]


def entries(setting: Setting, count: int, mark: str) -> list[bytes]:
    """Return events of new articles."""
    return events(versions(repeated(setting.articles, count, mark), "bench"))


def documents(setting: Setting, count: int, mark: str) -> list[dict[str, Any]]:
    """Return prepared index actions of new articles."""
    actions = []
    for version in versions(repeated(setting.articles, count, mark), "bench"):
        fields = fields_of(Article.model_validate(version.document))
        members = source_members(version.document)
        source = {"id": version.id, "version": 1, "retracted": False, **members, **fields}
        actions.append({"_id": version.id, "version": 1, "version_type": "external", "_source": source})
    return actions


async def bulk(client: AsyncElasticsearch, actions: list[dict[str, Any]]) -> float:
    """Load documents; return the documents per second."""
    began = time.perf_counter()
    async for _ in async_streaming_bulk(client, actions, index=FLOOR_INDEX):
        pass
    return len(actions) / (time.perf_counter() - began)


async def stream_to_index(redis: "Redis", sent: list[bytes]) -> float:
    """Add events to the stream; return the events per second that the search service has handled."""
    began = time.perf_counter()
    last = await append(redis, sent)
    while await redis.get(KEYS.checkpoint(GROUP)) != last.encode():
        await asyncio.sleep(0.005)
    return len(sent) / (time.perf_counter() - began)

"""Reads the stored data of an installation: records, stream, groups, dead letters, deliveries and index."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_scan
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.events import FIELD
from newswire.keys import Keyspace
from newswire.messaging.groups import GROUPS
from newswire.storage.article_records import unpack

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the article stream."""

    id: str
    event: str
    article: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """The state of a consumer group. ``checkpoint`` is stored separately."""

    pending: int
    last_delivered: str
    checkpoint: str | None


@dataclass(frozen=True, slots=True)
class Indexed:
    """The document of an article in the index."""

    version: int
    retracted: bool


@dataclass
class Readback:
    """One reading of everything. Articles by id, versions by (id, number), deliveries by ``webhook-id``."""

    heads: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Status and version."""
    documents: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)
    last_entry: str = "0-0"
    groups: dict[str, Group] = field(default_factory=dict)
    dead_letters: dict[str, list[str]] = field(default_factory=dict)
    """Group → the reason of each dead letter."""
    deliveries: dict[str, Mapping[str, str]] = field(default_factory=dict)
    due: dict[str, list[str]] = field(default_factory=dict)
    in_flight: dict[str, list[str]] = field(default_factory=dict)
    endpoints: list[str] = field(default_factory=list)
    removed_until: dict[str, float] = field(default_factory=dict)
    """Subscription → the time (seconds since the epoch) up to which its history was removed, if any was."""
    expired_before: float = 0.0
    """Deliveries that ended before this time may have expired, in seconds since the epoch."""
    index: dict[str, Indexed] = field(default_factory=dict)


async def read_back(redis: "Redis", keys: Keyspace, index: dict[str, Indexed]) -> Readback:
    """Read everything in Redis; `read_index` reads the index before."""
    found = Readback(index=index)
    found.listed = {raw.decode() for raw in await redis.zrange(keys.articles, 0, -1)}
    await _records(redis, keys, found)
    await _stream(redis, keys, found)
    await read_deliveries(redis, keys, found)
    return found


async def read_index(client: AsyncElasticsearch, alias: str) -> dict[str, Indexed]:
    """Read every document of an index directly from Elasticsearch."""
    await client.indices.refresh(index=alias)
    hits = async_scan(client, index=alias, size=PAGE, query={"_source": ["version", "retracted"]})
    return {hit["_id"]: Indexed(hit["_source"]["version"], hit["_source"]["retracted"]) async for hit in hits}


async def _records(redis: "Redis", keys: Keyspace, found: Readback) -> None:
    versions: list[tuple[str, int]] = []
    async for page in _pages(redis, keys.article("*")):
        names = [name.removeprefix(keys.article("")) for name in page]
        async with redis.pipeline(transaction=False) as pipe:
            for name in names:
                article, _, rest = name.partition(":")
                if not rest:
                    pipe.hmget(keys.article(article), "status", "version")
                elif rest.startswith("v:"):
                    pipe.hmget(keys.article(name), "document", "entry")
                else:
                    pipe.exists(keys.article(name))
            values = await pipe.execute()
        for name, value in zip(names, values, strict=True):
            article, _, rest = name.partition(":")
            if not rest and value[0] is not None:
                found.heads[article] = value[0].decode(), int(value[1])
            elif rest.startswith("v:") and value[0] is not None:
                versions.append((article, int(rest[2:])))
                found.documents[versions[-1]] = json.loads(unpack(value[0]))


async def _stream(redis: "Redis", keys: Keyspace, found: Readback) -> None:
    after = "-"
    while page := await redis.xrange(keys.stream, after, count=PAGE):
        for entry_id, fields in page:
            try:
                said = json.loads(fields[FIELD.encode()])
                entry = Entry(entry_id.decode(), said["id"], said["subject"], said["data"])
            except (KeyError, ValueError):
                entry = Entry(entry_id.decode(), "", "", {})
            found.entries.append(entry)
        after = f"({found.entries[-1].id}"
    try:
        found.last_entry = (await redis.xinfo_stream(keys.stream))["last-generated-id"].decode()
        groups = await redis.xinfo_groups(keys.stream)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        groups = []
    for info in groups:
        name = info["name"].decode()
        checkpoint = await redis.get(keys.checkpoint(name))
        found.groups[name] = Group(
            info["pending"], info["last-delivered-id"].decode(), checkpoint.decode() if checkpoint else None
        )
    for name in (group.name for group in GROUPS):
        letters = await redis.xrange(keys.dead_letters(name))
        found.dead_letters[name] = [fields[b"error"].decode() for _, fields in letters]


async def read_deliveries(redis: "Redis", keys: Keyspace, found: Readback) -> None:
    """Read all stored deliveries."""
    async for page in _pages(redis, keys.deliveries.key("delivery", "*")):
        names = [name for name in page if not name.endswith(":attempts")]
        async with redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(name)
            values = await pipe.execute()
        for name, fields in zip(names, values, strict=True):
            found.deliveries[name.removeprefix(keys.deliveries.key("delivery", ""))] = {
                key.decode(): value.decode("utf-8", "replace") for key, value in fields.items()
            }
    for kind, kept in (("due", found.due), ("paused", found.due), ("in_flight", found.in_flight)):
        async for page in _pages(redis, keys.deliveries.key(kind, "*")):
            for name in page:
                ids = [raw.decode() for raw in await redis.zrange(name, 0, -1)]
                kept[name.removeprefix(keys.deliveries.key(kind, ""))] = ids
    async for page in _pages(redis, keys.deliveries.key("history", "*")):
        for name in page:
            if until := await redis.hget(name, "removed_until"):
                found.removed_until[name.removeprefix(keys.deliveries.key("history", ""))] = int(until) / 1000
    found.endpoints = [raw.decode() for raw in await redis.zrange(keys.deliveries.key("endpoints"), 0, -1)]


async def _pages(redis: "Redis", pattern: str) -> Any:
    cursor = 0
    while True:
        cursor, page = await redis.scan(cursor, match=pattern, count=PAGE)
        if page:
            yield sorted({name.decode() for name in page})
        if not cursor:
            return

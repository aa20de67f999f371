"""Redis keys in a backup that need no special treatment: each is read and restored by its Redis type."""

from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.backup_file import Record, raw, text
from newswire_operations.stores import Stores

PAGE_SIZE = 500
_TYPES = frozenset(("hash", "string", "set", "zset", "list"))


async def read_all_except(redis: Redis, keys: Keyspace, excluded: frozenset[str]) -> AsyncIterator[Record]:
    """Read every key of the namespace except those excluded by their name, or by its part before the first or second colon.

    Keys of deliveries have the same prefix if the namespace is a hash tag; they are excluded, too, when records are read.
    """
    prefix, apart = keys.key(""), keys.deliveries.key("")
    page: list[str] = []
    async for raw_name in redis.scan_iter(f"{prefix}*", count=PAGE_SIZE):
        name = raw_name.decode()
        if name.startswith(apart):
            continue
        rest = name.removeprefix(prefix)
        parts = rest.split(":", 2)
        if not excluded.isdisjoint((rest, parts[0], ":".join(parts[:2]))):
            continue
        page.append(name)
        if len(page) == PAGE_SIZE:
            for record in await read_keys(redis, keys, page):
                yield record
            page = []
    for record in await read_keys(redis, keys, page):
        yield record


async def read_keys(redis: Redis, keys: Keyspace, names: list[str]) -> list[Record]:
    """Read the keys of these names. Keys that do not exist, and streams, are omitted."""
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.type(name)
            pipe.pttl(name)
        about = await pipe.execute()
    kinds = [(name, kind.decode(), ttl) for name, kind, ttl in zip(names, about[::2], about[1::2], strict=True)]
    readable = [(name, kind, ttl) for name, kind, ttl in kinds if kind in _TYPES]
    async with redis.pipeline(transaction=False) as pipe:
        for name, kind, _ in readable:
            match kind:
                case "hash":
                    pipe.hgetall(name)
                case "string":
                    pipe.get(name)
                case "set":
                    pipe.smembers(name)
                case "zset":
                    pipe.zrange(name, 0, -1, withscores=True)
                case _:
                    pipe.lrange(name, 0, -1)
        values = await pipe.execute()
    return [
        {
            "record": "key",
            "name": name.removeprefix(keys.key("")),
            "type": kind,
            "ttl_ms": ttl if ttl > 0 else None,
            "value": _encode(kind, value),
        }
        for (name, kind, ttl), value in zip(readable, values, strict=True)
        if value  # the key may have expired between the two reads
    ]


def _encode(kind: str, value: Any) -> Any:
    match kind:
        case "hash":
            return [[text(field), text(content)] for field, content in value.items()]
        case "string":
            return text(value)
        case "zset":
            return [[text(member), score] for member, score in value]
        case _:
            return [text(member) for member in value]


async def restore_keys(stores: Stores, records: list[Record]) -> None:
    """Write keys. If a key occurs twice, the later record wins."""
    for which, (redis, keys) in stores.by_name.items():
        async with redis.pipeline(transaction=False) as pipe:
            for record in records:
                if record["store"] == which:
                    _restore_key(pipe, keys.key(record["name"]), record)
            await pipe.execute()


def _restore_key(pipe: Redis, name: str, record: Record) -> None:
    value = record["value"]
    pipe.delete(name)
    match record["type"]:
        case "hash":
            pipe.hset(name, mapping={raw(field): raw(content) for field, content in value})
        case "string":
            pipe.set(name, raw(value))
        case "set":
            pipe.sadd(name, *map(raw, value))
        case "zset":
            pipe.zadd(name, {raw(member): score for member, score in value})
        case _:
            pipe.rpush(name, *map(raw, value))
    if record["ttl_ms"]:
        pipe.pexpire(name, record["ttl_ms"])

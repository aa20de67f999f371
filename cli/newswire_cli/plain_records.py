"""Records of every kind as their type in Redis has them: read for a backup, and restored."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from newswire_cli.store import Store

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from newswire.keys import Keyspace
    from newswire.storage.backup_file import Record

PAGE = 500


async def all_but(redis: "Redis", keys: "Keyspace", kinds: frozenset[str]) -> AsyncIterator["Record"]:
    """Read every record of the namespace, but those of which the name, or its part before the first or second colon, is given."""
    prefix = keys.key("")
    page: list[str] = []
    async for raw_name in redis.scan_iter(f"{prefix}*", count=PAGE):
        name = raw_name.decode()
        rest = name.removeprefix(prefix)
        parts = rest.split(":", 2)
        if not kinds.isdisjoint((rest, parts[0], ":".join(parts[:2]))):
            continue
        page.append(name)
        if len(page) == PAGE:
            for record in await named(redis, keys, page):
                yield record
            page = []
    for record in await named(redis, keys, page):
        yield record


async def named(redis: "Redis", keys: "Keyspace", names: list[str]) -> list["Record"]:
    """Read the records of these names; one that is not there, or a stream, is left out."""
    from newswire.storage.backup_file import text

    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.type(name)
            pipe.pttl(name)
        about = await pipe.execute()
    kinds = [(name, kind.decode(), left) for name, kind, left in zip(names, about[::2], about[1::2], strict=True)]
    readable = [(name, kind, left) for name, kind, left in kinds if kind in ("hash", "string", "set", "zset", "list")]
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
    records = []
    for (name, kind, left), value in zip(readable, values, strict=True):
        match kind:
            case _ if not value:  # it went between the two reads
                continue
            case "hash":
                content: Any = [[text(field), text(held)] for field, held in value.items()]
            case "string":
                content = text(value)
            case "zset":
                content = [[text(member), score] for member, score in value]
            case _:
                content = [text(member) for member in value]
        records.append(
            {
                "record": "key",
                "name": name.removeprefix(keys.key("")),
                "type": kind,
                "ttl_ms": left if left > 0 else None,
                "value": content,
            }
        )
    return records


async def put_back(store: Store, records: list["Record"]) -> None:
    """Write records; of one that comes twice the later holds."""
    from newswire.storage.backup_file import raw

    for which, (redis, keys) in store.places.items():
        async with redis.pipeline(transaction=False) as pipe:
            for record in records:
                if record["store"] != which:
                    continue
                name, value = keys.key(record["name"]), record["value"]
                pipe.delete(name)
                match record["type"]:
                    case "hash":
                        pipe.hset(name, mapping={raw(field): raw(held) for field, held in value})
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
            await pipe.execute()

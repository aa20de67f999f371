"""Subscriptions and deliveries for a backup: what waits goes on waiting, what has ended is not told again.

What is kept of a subscription beside its own record (who is asked about which filter) is made anew from those records.
"""

import time
from collections.abc import AsyncIterator, Sequence

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.backup_file import Record, raw, text
from newswire_notify.deliveries.queue import delivery_functions

PAGE = 500
TRANSIENT = frozenset(
    "due held leased overtaken pending endpoints delivery deliveries endings history histories fanout "
    "progress progressed answers answered clock "
    "subscribers formers subscriptions usage filters expanding backlogs".split()
)
"""What names begin with whose records are no part of a backup: they are made anew, or last for a moment."""


async def deliveries(redis: "Redis", keys: Keyspace) -> AsyncIterator[Record]:
    """Read the deliveries that wait, are under way or were given up."""
    for kind in ("due", "held", "leased"):
        async for name in redis.scan_iter(keys.deliveries.key(kind, "*"), count=PAGE):
            waiting = await redis.zrange(name, 0, -1, withscores=True)
            for at in range(0, len(waiting), PAGE):
                for record in await _read(redis, keys, waiting[at : at + PAGE]):
                    yield record
    dead = await redis.zrange(keys.deliveries.key("deliveries", "dead"), 0, -1, withscores=True)
    for at in range(0, len(dead), PAGE):
        for record in await _read(redis, keys, dead[at : at + PAGE]):
            yield record


async def unfinished(redis: "Redis", keys: Keyspace) -> list[str]:
    """Return the names of the records by which the expansion of large audiences goes on where it was."""
    expanding = await redis.zrange(keys.deliveries.key("expanding"), 0, -1)
    names = [keys.deliveries.key("fanout", event.decode()) for event in expanding]
    return [keys.deliveries.key("expanding"), *names, *(f"{name}:plan" for name in names)]


async def restore_deliveries(redis: "Redis", keys: Keyspace, records: Sequence[Record]) -> None:
    """Put deliveries back into their queues, those that are not subscribed to any more left out."""
    async with redis.pipeline(transaction=False) as pipe:
        for record in records:
            pipe.hget(keys.deliveries.key("subscription", record["fields"]["subscription"]), "status")
        statuses = await pipe.execute()
    async with redis.pipeline(transaction=False) as pipe:
        for record, status in zip(records, statuses, strict=True):
            if status:
                _put_back(pipe, keys, record, paused=status != b"active")
        await pipe.execute()


async def attach_subscriptions(redis: "Redis", keys: Keyspace) -> int:
    """Make all that is looked up of subscriptions from their records; return how many there are."""
    functions, own = delivery_functions(redis, keys), keys.deliveries
    count = 0
    # Places of subscriptions are counted; those from now on come after all that were ever counted before the backup.
    await redis.set(own.key("subscriptions", "seq"), int(time.time() * 1000))
    async for page in _pages(redis, own.key("subscription", "")):
        await functions.call_all([("attach", (), [own.key(""), name]) for name in page])
        count += len(page)
    async for page in _pages(redis, own.key("backlog", "")):
        for name in page:
            if await redis.hget(own.key("backlog", name), "state") != b"done":
                await redis.zadd(own.key("backlogs"), {name: 0})
    return count


async def _pages(redis: "Redis", beginning: str) -> AsyncIterator[list[str]]:
    """Go through what the names of records end with that begin in this way."""
    cursor = 0
    while True:
        cursor, found = await redis.scan(cursor, match=f"{beginning}*", count=PAGE)
        if found:
            yield [name.decode().removeprefix(beginning) for name in found]
        if cursor == 0:
            return


async def _read(redis: "Redis", keys: Keyspace, found: list[tuple[bytes, float]]) -> list[Record]:
    async with redis.pipeline(transaction=False) as pipe:
        for delivery_id, _ in found:
            pipe.hgetall(keys.deliveries.key("delivery", delivery_id.decode()))
            pipe.lrange(keys.deliveries.key("delivery", delivery_id.decode(), "attempts"), 0, -1)
        answers = await pipe.execute()
    async with redis.pipeline(transaction=False) as pipe:
        for fields in answers[::2]:
            pipe.hget(keys.deliveries.key("fanout", fields.get(b"event", b"").decode()), "envelope")
        envelopes = await pipe.execute()
    records = []
    for (delivery_id, due), fields, attempts, envelope in zip(
        found, answers[::2], answers[1::2], envelopes, strict=True
    ):
        if fields:
            kept = {b"envelope": envelope or b""} | fields
            records.append(
                {
                    "record": "delivery",
                    "id": delivery_id.decode(),
                    "due": int(due),
                    "fields": {name.decode(): text(value) for name, value in kept.items()},
                    "attempts": [text(attempt) for attempt in attempts],
                }
            )
    return records


def _put_back(pipe: "Redis", keys: Keyspace, record: Record, *, paused: bool) -> None:
    fields = {name: raw(value) for name, value in record["fields"].items()}
    delivery, subscription = record["id"], fields["subscription"].decode()
    name = keys.deliveries.key("delivery", delivery)
    dead = fields["state"] == b"dead"
    if not dead:
        fields["state"] = b"waiting"
    pipe.hset(name, mapping=fields)
    if record["attempts"]:
        pipe.rpush(f"{name}:attempts", *(raw(attempt) for attempt in record["attempts"]))
    pipe.zadd(keys.deliveries.key("deliveries", subscription), {delivery: int(fields["created"])})
    if dead:
        pipe.zadd(keys.deliveries.key("deliveries", "dead"), {delivery: record["due"]})
        return
    now = int(time.time() * 1000)
    due = now if record["fields"]["state"] == "delivering" else record["due"]
    pipe.hset(keys.deliveries.key("pending", subscription), fields["article"], delivery)
    pipe.zadd(keys.deliveries.key("held" if paused else "due", subscription), {delivery: due})
    if not paused:
        pipe.zadd(keys.deliveries.key("endpoints"), {subscription: due}, lt=True)

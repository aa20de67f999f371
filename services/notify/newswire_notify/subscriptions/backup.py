"""Backup and restore of subscriptions and deliveries. Waiting deliveries keep waiting; ended ones are not sent again.

Memberships and lists are not part of a backup: they are rebuilt from the records of the subscriptions.
"""

import time
from collections.abc import AsyncIterator, Sequence

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.backup_file import Record, raw, text
from newswire.storage.redis_functions import Call
from newswire_notify.deliveries.queue import delivery_functions

PAGE = 500
TRANSIENT = frozenset(
    "due paused in_flight superseded_in_flight pending endpoints delivery deliveries endings history histories event_plan "
    "progress progressed responses response_log clock "
    "memberships past_memberships membership_seq subscriptions usage filters expanding backfills"
    " hub:changed hub:claimed".split()
)
"""Names, or first parts, of the keys that a backup leaves out: they are rebuilt, or live only briefly."""


async def deliveries(redis: "Redis", keys: Keyspace) -> AsyncIterator[Record]:
    """Read the deliveries that wait, are in flight or are dead."""
    for kind in ("due", "paused", "in_flight"):
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
    """Return the keys of unfinished expansions, which continue after a restore."""
    expanding = await redis.zrange(keys.deliveries.key("expanding"), 0, -1)
    names = [keys.deliveries.key("event_plan", event.decode()) for event in expanding]
    return [keys.deliveries.key("expanding"), *names, *(f"{name}:digests" for name in names)]


_RENAMED_RECORDS = {"told": "article_recipients", "fanout": "event_plan", "backlog": "backfill"}
_RENAMED_FIELDS = {
    "subscription": {
        "after": "after_entry",
        "backlog": "backfill",
        "backlogs": "backfill_count",
        "disabled": "disabled_at",
        "formers": "past_memberships",
        "left": "left_seq",
        "left_at": "left_entry",
        "paused": "paused_at",
        "previous": "former_secrets",
        "seq": "joined_seq",
    },
    "article_recipients": {"moment": "membership_seq"},
    "event_plan": {"moment": "membership_seq", "at": "cursor"},
    "backfill": {
        "at": "cursor",
        "again": "mode",
        "first": "first_seq",
        "last": "last_seq",
        "looked_at": "examined",
        "upto": "end_entry",
    },
}
_RENAMED_MODES = {"0": "missed", "1": "all", "told": "recipients"}


def current_record(record: Record) -> Record:
    """Return a plain record of a backup with the names of this release: backups of earlier releases hold the former ones."""
    if record["store"] != "deliveries":
        return record
    kind, colon, rest = record["name"].partition(":")
    kind = _RENAMED_RECORDS.get(kind, kind)
    value = record["value"]
    if kind == "event_plan" and record["type"] == "list":
        rest = rest.removesuffix(":plan").removesuffix(":digests") + ":digests"
    if record["type"] == "hash" and kind in _RENAMED_FIELDS:
        fields = [(_renamed(kind, name), held) for name, held in value]
        value = [[name, _RENAMED_MODES.get(held, held) if name == "mode" else held] for name, held in fields]
    return record | {"name": f"{kind}{colon}{rest}", "value": value}


def _renamed(kind: str, field: str) -> str:
    return _RENAMED_FIELDS[kind].get(field, field)


async def restore_deliveries(redis: "Redis", keys: Keyspace, records: Sequence[Record]) -> None:
    """Enqueue deliveries again, except those of deleted subscriptions."""
    async with redis.pipeline(transaction=False) as pipe:
        for record in records:
            pipe.hget(keys.deliveries.key("subscription", record["fields"]["subscription"]), "status")
        statuses = await pipe.execute()
    async with redis.pipeline(transaction=False) as pipe:
        for record, status in zip(records, statuses, strict=True):
            if status:
                _restore_record(pipe, keys, record, paused=status != b"active")
        await pipe.execute()


async def attach_subscriptions(redis: "Redis", keys: Keyspace) -> int:
    """Rebuild memberships and lists from the records of subscriptions; return how many there are."""
    functions, own = delivery_functions(redis, keys), keys.deliveries
    count = 0
    # New sequence numbers must come after all those before the backup.
    await redis.set(own.key("membership_seq"), int(time.time() * 1000))
    async for page in _pages(redis, own.key("subscription", "")):
        await functions.call_all([Call("rebuild_lookups", (), {"prefix": own.key(""), "id": name}) for name in page])
        count += len(page)
    async for page in _pages(redis, own.key("backfill", "")):
        for name in page:
            if await redis.hget(own.key("backfill", name), "state") != b"done":
                await redis.zadd(own.key("backfills"), {name: 0})
    return count


async def _pages(redis: "Redis", beginning: str) -> AsyncIterator[list[str]]:
    """Yield the remainders of the keys that have this prefix."""
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
            pipe.hget(keys.deliveries.key("event_plan", fields.get(b"event", b"").decode()), "envelope")
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


def _restore_record(pipe: "Redis", keys: Keyspace, record: Record, *, paused: bool) -> None:
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
    pipe.zadd(keys.deliveries.key("paused" if paused else "due", subscription), {delivery: due})
    if not paused:
        pipe.zadd(keys.deliveries.key("endpoints"), {subscription: due}, lt=True)

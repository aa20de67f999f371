"""Dead deliveries: operators list, retry or drop them. They never contain article text.

The audit log records each act, right after it: it may be on another Redis (``records``) than the deliveries.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, record
from newswire_notify.deliveries.queue import Queue, read_attempt
from newswire_notify.deliveries.service import NotReplayableError, replay


@dataclass(frozen=True, slots=True)
class DeadDelivery:
    """A delivery whose attempts all failed."""

    id: str
    subscription: str
    event: str
    article: str
    version: int
    attempts: int
    error: str | None
    ended: datetime


class DeadDeliveryNotFoundError(NotReplayableError):
    """There is no dead delivery with this id."""


async def list_dead(
    redis: "Redis", keys: Keyspace, limit: int = 1000, after: tuple[int, str] | None = None
) -> list[DeadDelivery]:
    """Return dead deliveries, oldest first; ``after``: only those that ended after this time (ms) and id.

    ``redis`` is the delivery Redis.
    """
    name, first = keys.deliveries.key("deliveries", "dead"), 0
    if after is not None:
        rank = await redis.zrank(name, after[1])
        first = await redis.zcount(name, "-inf", after[0]) if rank is None else rank + 1
    ids: list[bytes] = await redis.zrange(name, first, first + limit - 1)
    async with redis.pipeline(transaction=False) as pipe:
        for delivery_id in ids:
            pipe.hgetall(keys.deliveries.key("delivery", delivery_id.decode()))
            pipe.lindex(keys.deliveries.key("delivery", delivery_id.decode(), "attempts"), -1)
        found = await pipe.execute()
    rows = zip(ids, found[::2], found[1::2], strict=True)
    return [_dead(delivery_id.decode(), fields, last) for delivery_id, fields, last in rows if fields]


async def retry(queue: Queue, records: "Redis", delivery_id: str, *, by: Actor) -> None:
    """Enqueue a dead delivery again, due now.

    Raises:
        DeadDeliveryNotFoundError: no dead delivery has this id.
        NotReplayableError: its subscription is deleted or disabled, or a later version supersedes it.
    """
    if not await replay(queue, delivery_id, state="dead"):
        raise DeadDeliveryNotFoundError(f"there is no dead delivery {delivery_id}")
    subscription = await queue.redis.hget(queue.keys.deliveries.key("delivery", delivery_id), "subscription")
    await _record(records, queue.keys, by, Act.DEAD_LETTER_RETRIED, delivery_id, subscription)


async def drop(redis: "Redis", records: "Redis", keys: Keyspace, delivery_id: str, *, by: Actor) -> bool:
    """Delete a dead delivery; return whether it existed."""
    key = keys.deliveries.key("delivery", delivery_id)
    if not await redis.zrem(keys.deliveries.key("deliveries", "dead"), delivery_id):
        return False
    if subscription := await redis.hget(key, "subscription"):
        await redis.zrem(keys.deliveries.key("deliveries", subscription.decode()), delivery_id)
    await redis.delete(key, f"{key}:attempts")
    await _record(records, keys, by, Act.DEAD_LETTER_DROPPED, delivery_id, subscription)
    return True


async def _record(
    records: "Redis", keys: Keyspace, by: Actor, act: Act, delivery_id: str, subscription: bytes | None
) -> None:
    details = {"group": "deliveries", "subscription": subscription and subscription.decode()}
    await record(records, keys, by, act, "dead_letter", delivery_id, **details)


def _dead(delivery_id: str, fields: dict[bytes, bytes], last: bytes | None) -> DeadDelivery:
    record = last or fields.get(b"first")
    attempt = read_attempt(record) if record else {}
    return DeadDelivery(
        id=delivery_id,
        subscription=fields[b"subscription"].decode(),
        event=fields[b"event"].decode(),
        article=fields[b"article"].decode(),
        version=int(fields[b"version"]),
        attempts=int(fields[b"attempt"]),
        error=attempt.get("error"),
        ended=datetime.fromtimestamp(int(fields[b"ended"]) / 1000, UTC),
    )

"""Deliveries as their subscriber may see them, and operations on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from newswire.article import Status
from newswire.keys import Keyspace
from newswire.timestamps import from_epoch_ms, rfc3339_ms
from newswire_notify.deliveries.queue import Queue, read_attempt

EXAMINED_PER_CALL = 500
"""Deliveries that one call looks at: each blocks the server for some µs."""
MAX_EXAMINED = 2500
"""Deliveries looked at for one page, however few of them match: about 25 ms."""
END_OF_TIME_MS = 10**15
ADVICE = {
    413: 'the endpoint rejects bodies of this size; subscribe with "content": "summary", or raise its limit',
    401: "the endpoint requires credentials; send them in the channel's headers",
    404: "nothing exists at this URL; change the channel's url",
}
"""The remedy for a response status, for the owner of the endpoint."""


class State(StrEnum):
    """State of a delivery."""

    WAITING = "waiting"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    DEAD = "dead"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Filter of a list of deliveries; times are ms since the epoch."""

    state: State | None = None
    article: str | None = None
    since: int | None = None
    until: int | None = None
    after: tuple[int, str] | None = None
    """The last delivery of the previous page: its creation time and id."""


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries of a subscription, newest first, and the position after which there may be more."""

    rows: list[dict[str, Any]]
    next: tuple[int, str] | None


class NotReplayableError(Exception):
    """A delivery cannot be sent again; the message says why."""


async def replay(queue: Queue, delivery_id: str, *, subscription: str = "", state: str = "") -> bool:
    """Send a delivery again now, with the same id; return whether it exists (in ``state``, where given).

    Raises:
        NotReplayableError: its subscription is deleted or disabled, or a later version supersedes it.
    """
    match await queue.call("replay", id=delivery_id, subscription=subscription, state=state, keep=queue.keep_ms):
        case b"UNSUBSCRIBED":
            raise NotReplayableError("its subscription is deleted or disabled")
        case b"SUPERSEDED":
            raise NotReplayableError("a later version of its article supersedes it")
        case answer:
            return bool(answer == b"OK")


class Deliveries:
    """The deliveries of one namespace."""

    def __init__(self, queue: Queue, records: "Redis", keys: Keyspace) -> None:
        self._queue = queue
        self._redis = queue.redis
        self._records = records
        self._keys = keys

    async def of(self, subscription_id: str, limit: int, wanted: DeliveryFilter | None = None) -> DeliveryPage:
        """Return a page of a subscription's deliveries, newest first: fewer than ``limit`` where many did not match."""
        wanted = wanted or DeliveryFilter()
        after, examined = wanted.after, 0
        ids: list[str] = []
        while examined < MAX_EXAMINED and len(ids) <= limit:
            found, position = await self._queue.call(
                "list_deliveries",
                subscription=subscription_id,
                after=[] if after is None else [str(after[0]), after[1]],
                examine=EXAMINED_PER_CALL,
                limit=limit + 1 - len(ids),
                state=wanted.state or "",
                article=wanted.article or "",
                since=wanted.since or 0,
                until=END_OF_TIME_MS if wanted.until is None else wanted.until,
            )
            ids += [raw.decode() for raw in found]
            examined += EXAMINED_PER_CALL
            after = (int(position[0]), position[1].decode()) if position else None
            if after is None:
                break
        rows = await self._read(subscription_id, ids[:limit])
        if len(ids) > limit:
            return DeliveryPage(rows, _place_of(rows[-1]) if rows else None)
        return DeliveryPage(rows, after)

    async def get(self, subscription_id: str, delivery_id: str) -> dict[str, Any] | None:
        """Return one delivery of a subscription, or None."""
        rows = await self._read(subscription_id, [delivery_id])
        return rows[0] if rows else None

    async def attempts(self, subscription_id: str, delivery_id: str) -> list[dict[str, Any]] | None:
        """Return the last attempts of a delivery, oldest first, with their responses; None where it does not exist."""
        found = await self.get(subscription_id, delivery_id)
        if found is None:
            return None
        answers = await self._answers(found["article"])
        return [_answered(delivery_id, attempt, answers) for attempt in found["attempts"]]

    async def replay(self, subscription_id: str, delivery_id: str) -> bool:
        """Send a delivery again; return whether the subscription owns it.

        Raises:
            NotReplayableError: it cannot be sent again.
        """
        return await replay(self._queue, delivery_id, subscription=subscription_id)

    async def cancel(self, subscription_id: str, delivery_id: str) -> bool | None:
        """Cancel a delivery; return whether it had not ended, or None where the subscription does not own it."""
        answer = await self._queue.call(
            "cancel", id=delivery_id, subscription=subscription_id, keep=self._queue.keep_ms
        )
        return None if answer == b"MISSING" else bool(answer == b"OK")

    async def _read(self, subscription_id: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for delivery_id in ids:
                pipe.hgetall(self._queue.key("delivery", delivery_id))
                pipe.lrange(self._queue.key("delivery", delivery_id, "attempts"), 0, -1)
                pipe.zscore(self._queue.key("due", subscription_id), delivery_id)
            found = await pipe.execute()
        rows = zip(ids, found[::3], found[1::3], found[2::3], strict=True)
        own = subscription_id.encode()
        return [_shown(*row) for row in rows if row[1].get(b"subscription") == own]

    async def _answers(self, article: str) -> dict[bytes, bytes]:
        """Return the responses of endpoints to an article. None once it is retracted: a response may quote the article."""
        if await self._records.hget(self._keys.article(article), "status") == Status.RETRACTED.encode():
            return {}
        found: dict[bytes, bytes] = await self._redis.hgetall(self._queue.key("responses", article))
        return found


def _shown(delivery_id: str, fields: dict[bytes, bytes], attempts: list[bytes], due: float | None) -> dict[str, Any]:
    first = [fields[b"first"]] if b"first" in fields else []
    return {
        "id": delivery_id,
        "event": fields[b"event"].decode(),
        "type": fields[b"type"].decode(),
        "article": fields[b"article"].decode(),
        "version": int(fields[b"version"]),
        "reason": fields[b"reason"].decode(),
        "state": fields[b"state"].decode(),
        "created_at": rfc3339_ms(from_epoch_ms(int(fields[b"created"]))),
        "due_at": rfc3339_ms(from_epoch_ms(due)) if due is not None else None,
        "ended_at": rfc3339_ms(from_epoch_ms(int(fields[b"ended"]))) if b"ended" in fields else None,
        "attempts": [_attempt(read_attempt(attempt)) for attempt in [*first, *attempts]],
    }


def _place_of(row: dict[str, Any]) -> tuple[int, str]:
    return round(datetime.fromisoformat(row["created_at"]).timestamp() * 1000), row["id"]


def _attempt(attempt: dict[str, Any]) -> dict[str, Any]:
    return attempt | {
        "time": rfc3339_ms(from_epoch_ms(attempt["time"] * 1000)),
        "advice": ADVICE.get(attempt["status"]),
    }


def _answered(delivery_id: str, attempt: dict[str, Any], answers: dict[bytes, bytes]) -> dict[str, Any]:
    answer = answers.get(f"{delivery_id}|{attempt['attempt']}".encode())
    return attempt | {"answer": answer.decode() if answer is not None else None}

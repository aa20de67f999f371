"""What became of deliveries, as their subscriber may see it, and what may be done to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from newswire.article import Status
from newswire.functions import Argument
from newswire.keyspace import Keyspace
from newswire_notify.queue import Queue, read_attempt

PAGE = 100
ADVICE = {
    413: 'the endpoint takes nothing as large as this; subscribe with "content": "summary", or let it take more',
    401: "the endpoint wants credentials; send them by the channel's headers",
    404: "there is nothing at this address; change the channel's url",
}
"""What the owner of an endpoint can do about a status that it answers."""


class State(StrEnum):
    """What a delivery is doing, or how it has ended."""

    WAITING = "waiting"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    DEAD = "dead"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries of a subscription are to be listed; times are ms since the epoch."""

    state: State | None = None
    article: str | None = None
    since: int | None = None
    after: tuple[int, str] | None = None
    """The last one of the page before: when it was made, and its id."""


class NotReplayed(Exception):
    """A delivery cannot be sent again; the message says why."""


async def replay(
    queue: Queue, delivery_id: str, *, subscription: str = "", state: str = "", keep: float = 7 * 86_400
) -> bool:
    """Send a delivery again, with the id that it has: as due now. Return whether there is one, of this state where asked.

    Raises:
        NotReplayed: its subscription is gone, a later version of its article has taken its place, or it was too long ago.
    """
    arguments: list[Argument] = [queue.prefix, delivery_id, subscription, state, queue.now, int(keep * 1000)]
    match await queue.functions.call("replay", [], arguments):
        case b"UNSUBSCRIBED":
            raise NotReplayed("its subscription is gone or disabled")
        case b"SUPERSEDED":
            raise NotReplayed("a later version of its article has taken its place")
        case b"FORGOTTEN":
            raise NotReplayed("it was so long ago that what it said is kept no more")
        case answer:
            return bool(answer == b"OK")


class Deliveries:
    """The deliveries of one namespace."""

    def __init__(self, queue: Queue, records: "Redis", keys: Keyspace, *, keep: float = 7 * 86_400) -> None:
        self._queue = queue
        self._redis = queue.redis
        self._records = records
        self._keys = keys
        self._keep = keep

    async def of(self, subscription_id: str, limit: int, wanted: Wanted | None = None) -> list[dict[str, Any]]:
        """Return a subscription's newest deliveries, newest first."""
        wanted = wanted or Wanted()
        found = await self._redis.zrange(
            self._queue.key("deliveries", subscription_id), 0, -1, desc=True, withscores=True
        )
        places = [(int(created), raw.decode()) for raw, created in found]
        places = [
            place
            for place in places
            if (wanted.since is None or place[0] >= wanted.since) and (wanted.after is None or place < wanted.after)
        ]
        rows: list[dict[str, Any]] = []
        for at in range(0, len(places), PAGE):
            rows += [
                row
                for row in await self._read(subscription_id, [identity for _, identity in places[at : at + PAGE]])
                if wanted.state in (None, row["state"]) and wanted.article in (None, row["article"])
            ]
            if len(rows) >= limit:
                break
        return rows[:limit]

    async def get(self, subscription_id: str, delivery_id: str) -> dict[str, Any] | None:
        """Return one delivery, or None where the subscription has no such one."""
        rows = await self._read(subscription_id, [delivery_id])
        return rows[0] if rows else None

    async def attempts(self, subscription_id: str, delivery_id: str) -> list[dict[str, Any]] | None:
        """Return the last attempts to make a delivery, oldest first, and what was answered; None where there is no such one."""
        found = await self.get(subscription_id, delivery_id)
        if found is None:
            return None
        answers = await self._answers(found["article"])
        return [_answered(delivery_id, attempt, answers) for attempt in found["attempts"]]

    async def replay(self, subscription_id: str, delivery_id: str) -> bool:
        """Send a delivery again; return whether the subscription has it.

        Raises:
            NotReplayed: it cannot be sent again.
        """
        return await replay(self._queue, delivery_id, subscription=subscription_id, keep=self._keep)

    async def cancel(self, subscription_id: str, delivery_id: str) -> bool | None:
        """Try a delivery no more; return whether it had not ended, or None where the subscription has no such one."""
        arguments: list[Argument] = [
            self._queue.prefix,
            delivery_id,
            subscription_id,
            self._queue.now,
            int(self._keep * 1000),
        ]
        answer = await self._queue.functions.call("cancel", [], arguments)
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
        """Return what endpoints answered to an article, unless it is retracted: an answer may quote what it was sent."""
        if await self._records.hget(self._keys.article(article), "status") == Status.RETRACTED.encode():
            return {}
        found: dict[bytes, bytes] = await self._redis.hgetall(self._queue.key("answers", article))
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
        "created_at": _moment(int(fields[b"created"])),
        "due_at": _moment(due) if due is not None else None,
        "ended_at": _moment(int(fields[b"ended"])) if b"ended" in fields else None,
        "attempts": [_attempt(read_attempt(attempt)) for attempt in [*first, *attempts]],
    }


def _attempt(attempt: dict[str, Any]) -> dict[str, Any]:
    return attempt | {"time": _moment(attempt["time"] * 1000), "advice": ADVICE.get(attempt["status"])}


def _answered(delivery_id: str, attempt: dict[str, Any], answers: dict[bytes, bytes]) -> dict[str, Any]:
    answer = answers.get(f"{delivery_id}|{attempt['attempt']}".encode())
    return attempt | {"answer": answer.decode() if answer is not None else None}


def _moment(milliseconds: float) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

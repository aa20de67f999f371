"""The queue of deliveries: one per endpoint, so that none waits for another's.

Every step is one Redis function (``deliveries.lua``). A claim is a lease; its attempt number is the fencing token that
`Queue.settle` checks, so a worker that lost its lease changes nothing any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.functions import Argument, FunctionLibrary
from newswire.keyspace import Keyspace

FANOUT_KEPT_MS = 8 * 86_400_000


class Outcome(StrEnum):
    """How an attempt ended, as the queue has to know it."""

    DELIVERED = "delivered"
    RETRY = "retry"
    DEAD = "dead"
    GONE = "gone"
    """The endpoint asked never to be called again: dead, and its subscription is disabled."""
    CANCELLED = "cancelled"
    RELEASED = "released"
    """Not tried at all: to be claimed by somebody else at once."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed delivery."""

    id: str
    attempt: int
    failures: int
    event: str
    type: str
    article: str
    version: int
    reason: str
    subscription: str
    url: str
    secret: str
    content: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """What happened at one attempt, as subscribers may see it. ``error`` names the stage that failed."""

    time: float
    attempt: int
    status: int | None
    latency_ms: float
    error: str | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of an attempt, to be written down."""

    job: Job
    outcome: Outcome
    due: float
    attempt: Attempt | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the expansion of an event got."""

    enqueued: int
    left: int
    matched: int
    previously_matched: int
    announced: bool


@dataclass(frozen=True, slots=True)
class Event:
    """What the queue must know of an event to hand it out."""

    id: str
    type: str
    article: str
    version: int
    entry_id: str
    retracted: bool
    envelope: bytes


class Queue:
    """The queue of one namespace. Times are seconds since the epoch."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        *,
        per_endpoint: int = 8,
        keep: float = 7 * 86_400,
        keep_dead: float = 30 * 86_400,
    ) -> None:
        self.redis = redis
        self.keys = keys
        self.functions = FunctionLibrary.packaged(redis, keys.namespace, "newswire_notify", "deliveries")
        self.prefix = keys.key("")
        self._per_endpoint = per_endpoint
        self._keep = _ms(keep)
        self._keep_dead = _ms(keep_dead)

    async def begin(self, event: Event, digests: Sequence[str], now: float) -> None:
        """Decide, once and for all, who is told of an event: those of the matched digests and those told before."""
        arguments: list[Argument] = [
            event.id,
            event.type,
            "retracted" if event.retracted else "published",
            event.article,
            event.version,
            event.entry_id,
            event.envelope,
            _ms(now),
            FANOUT_KEPT_MS,
            *digests,
        ]
        await self._call("begin", arguments)

    async def expand(self, event_id: str, chunk: int, now: float) -> Progress:
        """Enqueue the next chunk of an event's deliveries."""
        enqueued, left, matched, previously, announced = await self._call(
            "expand", [event_id, chunk, _ms(now), self._keep]
        )
        return Progress(enqueued, left, matched, previously, announced == b"1")

    async def announced(self, event_id: str) -> None:
        """Remember that the world has been told how many deliveries an event makes."""
        await self.redis.hset(self.prefix + f"fanout:{event_id}", "announced", "1")

    async def claim(self, now: float, lease: float, limit: int) -> list[Job]:
        """Lease up to ``limit`` deliveries that are due, no more per endpoint than it may have in flight."""
        found = await self._call("claim", [_ms(now), _ms(lease), limit, self._per_endpoint, self._keep])
        return [_job(fields) for fields in found]

    async def settle(self, ended: Sequence[Settled], now: float) -> list[str | None]:
        """Write down how attempts ended; return each delivery's state, or None where the lease had been lost."""
        if not ended:
            return []
        first, *rest = ended  # the first call loads the functions where a new server lacks them
        states = [await self._call("settle", self._settlement(first, now))]
        if rest:
            name = self.functions.full_name("settle")
            async with self.redis.pipeline(transaction=False) as pipe:
                for item in rest:
                    pipe.fcall(name, 0, self.prefix, *self._settlement(item, now))
                states += await pipe.execute()
        return [state.decode() if state else None for state in states]

    def _settlement(self, item: Settled, now: float) -> list[Argument]:
        record, answer = "", ""
        if item.attempt is not None:
            shown = {
                "time": round(item.attempt.time, 3),
                "attempt": item.attempt.attempt,
                "status": item.attempt.status,
                "latency_ms": round(item.attempt.latency_ms, 1),
                "error": item.attempt.error,
            }
            record, answer = orjson.dumps(shown).decode(), item.attempt.answer
        return [
            item.job.id, item.job.attempt, item.outcome.value, _ms(now), self._per_endpoint, self._keep,
            self._keep_dead, _ms(item.due), record, answer,
        ]  # fmt: skip

    async def next_due(self) -> float | None:
        """Return when some endpoint has work next."""
        head: list[Any] = await self.redis.zrange(self.prefix + "endpoints", 0, 0, withscores=True)
        return float(head[0][1]) / 1000 if head else None

    async def _call(self, name: str, arguments: list[Argument]) -> Any:
        return await self.functions.call(name, [], [self.prefix, *arguments])


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _job(fields: list[Any]) -> Job:
    (
        identity,
        attempt,
        failures,
        event,
        type_,
        article,
        version,
        reason,
        subscription,
        url,
        secret,
        content,
        envelope,
    ) = fields
    return Job(
        identity.decode(), attempt, failures, event.decode(), type_.decode(), article.decode(), version, reason.decode(),
        subscription.decode(), url.decode(), secret.decode(), content.decode(), envelope,
    )  # fmt: skip

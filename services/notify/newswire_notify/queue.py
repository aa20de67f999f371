"""The queue of deliveries: one per endpoint, so that none waits for another's.

Every step is one Redis function (``queue.lua`` and what builds on it). A claim is a lease; its attempt number is the fencing
token that `Queue.settle` checks, so a worker that lost its lease changes nothing any more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.functions import Argument, Call, FunctionLibrary
from newswire.keyspace import Keyspace

FANOUT_KEPT_MS = 8 * 86_400_000
PARTS = ("queue", "subscribing", "fan_out", "claiming", "backlog")
"""What ``deliveries.lua`` builds upon: files of one library, each by its job, in the order in which they need each other."""


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
    """The end of an attempt, to be written down. ``wait`` is in seconds, for a retry."""

    job: Job
    outcome: Outcome
    wait: float
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
    """The queue of one namespace. The time is that of its server, on which all workers agree, unless a clock is given."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        *,
        per_endpoint: int = 8,
        keep: float = 7 * 86_400,
        keep_dead: float = 30 * 86_400,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.redis = redis
        self.keys = keys
        self.functions = FunctionLibrary.packaged(redis, keys.namespace, "newswire_notify", "deliveries", *PARTS)
        self.prefix = keys.key("")
        self._per_endpoint = per_endpoint
        self._keep = _ms(keep)
        self._keep_dead = _ms(keep_dead)
        self._clock = clock

    def key(self, *parts: str) -> str:
        """Return the name of one of the queue's records."""
        return self.prefix + ":".join(parts)

    @property
    def now(self) -> Argument:
        """What the functions take for the time: ms since the epoch, or '' for the server's own."""
        return _ms(self._clock()) if self._clock else ""

    async def begin(
        self, plans: Sequence[tuple[Event, Sequence[str]]], as_of: int, chunk: int
    ) -> list[Progress | None]:
        """Decide, once and for all, who is told of events: those of the matched digests and those told before.

        The first chunk of each event's deliveries is enqueued in the same round trip. ``as_of`` is the number of the change of
        filters that was known when they were matched (`Matcher.changes`). Of an event for which there was a later one by now,
        nothing is decided (None): it is to be matched again.
        """
        calls: list[Call] = []
        for event, digests in plans:
            calls.append(("begin", (), self._decision(event, as_of, digests)))
            calls.append(("expand", (), self._expansion(event.id, chunk)))
        answers = await self._call_all(calls)
        return [
            None if begun == -1 else _progress(expanded)
            for begun, expanded in zip(answers[::2], answers[1::2], strict=True)
        ]

    def _decision(self, event: Event, as_of: int, digests: Sequence[str]) -> list[Argument]:
        return [
            self.prefix,
            event.id,
            event.type,
            "retracted" if event.retracted else "published",
            event.article,
            event.version,
            event.entry_id,
            event.envelope,
            self.now,
            FANOUT_KEPT_MS,
            as_of,
            *digests,
        ]

    async def expand(self, event_id: str, chunk: int) -> Progress:
        """Enqueue the next chunk of an event's deliveries."""
        return _progress(await self.functions.call("expand", (), self._expansion(event_id, chunk)))

    def _expansion(self, event_id: str, chunk: int) -> list[Argument]:
        return [self.prefix, event_id, chunk, self.now, self._keep]

    async def announced(self, event_ids: Sequence[str]) -> None:
        """Remember that the world has been told how many deliveries events make."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for event_id in event_ids:
                pipe.hset(self.prefix + f"fanout:{event_id}", "announced", "1")
            await pipe.execute()

    async def claim(self, lease: float, limit: int) -> list[Job]:
        """Lease, for so many seconds, up to ``limit`` deliveries that are due, no more per endpoint than it may have in flight."""
        _, jobs = await self.exchange([], lease, limit)
        return jobs

    async def settle(self, ended: Sequence[Settled]) -> list[str | None]:
        """Write down how attempts ended; return each delivery's state, or None where the lease had been lost."""
        states, _ = await self.exchange(ended, 0.0, 0)
        return states

    async def exchange(self, ended: Sequence[Settled], lease: float, limit: int) -> tuple[list[str | None], list[Job]]:
        """Settle what ended, then claim: one round trip for both, and one wait for the server's disk."""
        calls: list[Call] = [("settle", (), [self.prefix, *self._settlement(item)]) for item in ended]
        if limit > 0:
            arguments = [self.prefix, self.now, _ms(lease), limit, self._per_endpoint, self._keep]
            calls.append(("claim", (), arguments))
        answers = await self._call_all(calls)
        jobs = answers.pop() if limit > 0 else []
        return [state.decode() if state else None for state in answers], [_job(fields) for fields in jobs]

    def _settlement(self, item: Settled) -> list[Argument]:
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
            item.job.id, item.job.attempt, item.outcome.value, self.now, self._per_endpoint, self._keep,
            self._keep_dead, _ms(item.wait), record, answer,
        ]  # fmt: skip

    async def next_wait(self) -> float | None:
        """Return in how many seconds some endpoint has work next, or None where none has."""
        wait: int | None = await self._call("next_wait", [self.now])
        return None if wait is None else wait / 1000

    async def _call_all(self, calls: Sequence[Call]) -> list[Any]:
        answers = await self.functions.call_all(calls) if calls else []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _call(self, name: str, arguments: list[Argument]) -> Any:
        return await self.functions.call(name, [], [self.prefix, *arguments])


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _progress(answer: list[Any]) -> Progress:
    enqueued, left, matched, previously, announced = answer
    return Progress(enqueued, left, matched, previously, announced == b"1")


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

"""The queue of deliveries: one per endpoint, so that none waits for another's.

Every step is one Redis function (``queue.lua`` and what builds on it). A claim is a lease; its attempt number is the fencing
token that `Queue.settle` checks, so a worker that lost its lease changes nothing any more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, NamedTuple, TypeAlias

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import Argument, Call, FunctionLibrary
from newswire_notify.deliveries.retention import Retention
from newswire_notify.settings import NotifySettings

Documents: TypeAlias = Mapping[tuple[str, int], bytes]
"""Versions of articles (id, version) as they are stored; empty for one that is erased."""
ATTEMPT = ("time", "attempt", "status", "latency_ms", "error")
"""What the record of an attempt holds, in this order: the first one's is kept with its delivery, which has it stay small."""
PARTS = ("queue", "history", "usage", "subscribing", "fan_out", "claiming", "endpoints", "backlog")
"""What ``deliveries.lua`` builds upon: files of one library, each by its job, in the order in which they need each other."""


class Outcome(StrEnum):
    """How an attempt ended, as the queue has to know it."""

    DELIVERED = "delivered"
    RETRY = "retry"
    HELD = "held"
    """To be tried again, and nothing else be sent to this endpoint before: it asked for a pause."""
    DEAD = "dead"
    GONE = "gone"
    """The endpoint asked never to be called again: dead, and its subscription is disabled."""
    CANCELLED = "cancelled"
    RELEASED = "released"
    """Not tried at all: to be claimed by somebody else at once."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where deliveries of a subscription go, and how. Holds secrets: never to be logged or shown."""

    subscription: str
    url: str
    secret: str = field(repr=False)
    previous: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """Secrets that still sign, each until its time (seconds since the epoch)."""
    content: str = "full"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    entitlement: str | None = None
    """What may be sent there, as JSON, where that is not all."""
    verified_origin: str | None = None
    """The origin to which it has consented, and that deliveries name."""


class Job(NamedTuple):
    """A claimed delivery."""

    id: str
    attempt: int
    failures: int
    event: str
    type: str
    article: str
    version: int
    reason: str
    endpoint: Endpoint
    envelope: bytes


class Attempt(NamedTuple):
    """What happened at one attempt, as subscribers may see it. ``error`` names the stage that failed."""

    time: float
    attempt: int
    status: int | None
    latency_ms: float
    error: str | None = None
    answer: str = ""


class Settled(NamedTuple):
    """The end of an attempt, to be written down. ``wait`` is in seconds, for a retry."""

    job: Job
    outcome: Outcome
    wait: float
    attempt: Attempt | None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What came of settling and claiming. ``wait``: in how many seconds some endpoint has work next, None where none has."""

    states: list[str | None]
    """Of each settled delivery, in their order; None where the lease had been lost."""
    wait: float | None
    jobs: list[Job]
    documents: Documents
    """What they tell of, as it stood on record at the moment of the claim; empty where the records are on another server."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the expansion of an event got."""

    enqueued: int
    left: int
    matched: int
    previously_matched: int
    announced: bool


@dataclass(frozen=True, slots=True)
class Expanded:
    """An event after a chunk of its deliveries was enqueued."""

    event: str
    envelope: bytes
    article: str
    version: int
    progress: Progress


class Turn(Enum):
    """What came of asking whose turn it is."""

    NONE = "nothing is left to be expanded"
    FULL = "the queue is long enough"
    TAKEN = "a chunk was enqueued"


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
    """The queue of one namespace. The time is that of its server, on which all workers agree, unless a clock is given.

    ``beside_records``: the records are on the same server, and what is claimed is read there in the same step.
    """

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        *,
        retention: Retention,
        per_endpoint: int = 8,
        opens_after: int = 5,
        disables_after: float = 5 * 86_400,
        clock: Callable[[], float] | None = None,
        beside_records: bool = False,
    ) -> None:
        self.redis = redis
        self.keys = keys
        self.prefix = keys.deliveries.key("")
        self.functions = delivery_functions(redis, keys)
        self.retention = retention
        self.keep_ms = _ms(retention.ended)
        self._per_endpoint = per_endpoint
        self._keep_dead = _ms(retention.dead)
        self._opens_after = opens_after
        self._disables_after = _ms(disables_after)
        self._clock = clock
        self._articles = keys.article("") if beside_records else ""

    @classmethod
    def from_settings(cls, redis: "Redis", keys: Keyspace, settings: NotifySettings) -> "Queue":
        """Make the queue that the settings describe: the one way in which services and commands make it."""
        return cls(
            redis,
            keys,
            retention=settings.retention,
            per_endpoint=settings.webhook_concurrency_per_endpoint,
            opens_after=settings.webhook_circuit_opens_after,
            disables_after=settings.webhook_disabled_after.total_seconds(),
            beside_records=settings.delivery_url == settings.redis_url,
        )

    def key(self, *parts: str) -> str:
        """Return the name of one of the queue's records."""
        return self.prefix + ":".join(parts)

    @property
    def now(self) -> Argument:
        """What the functions take for the time: ms since the epoch, or '' for the server's own."""
        return _ms(self._clock()) if self._clock else ""

    async def begin(
        self,
        plans: Sequence[tuple[Event, Sequence[str]]],
        as_of: int,
        chunk: int,
        *,
        lease: float = 0.0,
        limit: int = 0,
    ) -> tuple[list[Progress | None], Exchanged]:
        """Decide, once and for all, who is told of events: those of the matched digests and those told before.

        In the same round trip the first chunk of each event's deliveries is enqueued, and what is due is claimed. ``as_of`` is the
        number of the change of filters that was known when they were matched (`Matcher.changes`). Of an event for which there was
        a later one by now, nothing is decided (None): it is to be matched again.
        """
        calls: list[Call] = []
        for event, digests in plans:
            calls.append(("begin", (), self._decision(event, as_of, digests)))
            calls.append(("expand", (), self._expansion(event.id, chunk)))
        if limit > 0:
            calls.append(("exchange", (), [self.prefix, *self._exchange([], lease, limit)]))
        answers = await self._call_all(calls)
        claimed = _exchanged(answers.pop() if limit > 0 else [[], None])
        progress = [
            None if begun == -1 else _progress(expanded)
            for begun, expanded in zip(answers[::2], answers[1::2], strict=True)
        ]
        return progress, claimed

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
            _ms(self.retention.decisions),
            as_of,
            *digests,
        ]

    async def take_turn(self, chunk: int, backlog: int) -> Expanded | Turn:
        """Enqueue a chunk of the event whose turn it is, unless ``backlog`` endpoints have work due already."""
        answer = await self._call("take_turn", [chunk, backlog, self.now, self.keep_ms, _ms(self.retention.decisions)])
        if answer is None:
            return Turn.NONE
        if answer == b"FULL":
            return Turn.FULL
        event, envelope, article, version, *progress = answer
        return Expanded(event.decode(), envelope, article.decode(), version, _progress(progress))

    def _expansion(self, event_id: str, chunk: int) -> list[Argument]:
        return [self.prefix, event_id, chunk, self.now, self.keep_ms, _ms(self.retention.decisions)]

    async def announced(self, event_ids: Sequence[str]) -> None:
        """Remember that the world has been told how many deliveries events make."""
        await self._call("announced", list(event_ids))

    async def claim(self, lease: float, limit: int) -> list[Job]:
        """Lease, for so many seconds, up to ``limit`` deliveries that are due, no more per endpoint than it may have in flight."""
        return (await self.exchange([], lease, limit)).jobs

    async def settle(self, ended: Sequence[Settled]) -> list[str | None]:
        """Write down how attempts ended; return each delivery's state, or None where the lease had been lost."""
        return (await self.exchange(ended, 0.0, 0)).states

    async def exchange(self, ended: Sequence[Settled], lease: float, limit: int) -> Exchanged:
        """Settle what ended, then claim: one call for both, and one wait for the server's disk."""
        return _exchanged(await self._call("exchange", self._exchange(ended, lease, limit)))

    def _exchange(self, ended: Sequence[Settled], lease: float, limit: int) -> list[Argument]:
        return [
            self.now,
            self._per_endpoint,
            self.keep_ms,
            self._keep_dead,
            self._opens_after,
            self._disables_after,
            orjson.dumps([_settlement(item) for item in ended]) if ended else "",
            _ms(lease),
            limit,
            self._articles,
        ]

    async def _call_all(self, calls: Sequence[Call]) -> list[Any]:
        answers = await self.functions.call_all(calls) if calls else []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _call(self, name: str, arguments: list[Argument]) -> Any:
        return await self.functions.call(name, [], [self.prefix, *arguments])


def delivery_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the library of the queue's Redis functions."""
    route = [keys.deliveries.key("endpoints")]
    return FunctionLibrary.packaged(
        redis, keys.namespace, "newswire_notify.deliveries", "deliveries", *PARTS, route=route
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _progress(answer: list[Any]) -> Progress:
    enqueued, left, matched, previously, announced = answer
    return Progress(enqueued, left, matched, previously, announced == b"1")


def read_attempt(record: bytes) -> dict[str, Any]:
    """Read the record of one attempt, as it was settled."""
    return dict(zip(ATTEMPT, orjson.loads(record), strict=True))


def _settlement(item: Settled) -> tuple[str, int, str, int, str, str]:
    record, answer = "", ""
    if (made := item.attempt) is not None:
        values = (round(made.time, 3), made.attempt, made.status, round(made.latency_ms, 1), made.error)
        record, answer = orjson.dumps(values).decode(), made.answer
    return item.job.id, item.job.attempt, item.outcome.value, _ms(item.wait), record, answer


def _exchanged(answer: list[Any]) -> Exchanged:
    states, wait, jobs, endpoints, envelopes = (*answer, [], [], [])[:5]
    to = {found.subscription: found for found in map(_endpoint, endpoints)}
    said = {event: envelope for event, envelope, *_ in envelopes}
    documents = {
        (article.decode(), int(version)): document for _, _, article, version, *read in envelopes for document in read
    }
    return Exchanged(
        states=[state.decode() if state else None for state in states],
        wait=None if wait is None else wait / 1000,
        jobs=[
            Job(
                identity.decode(),
                attempt,
                failures,
                event.decode(),
                type_.decode(),
                article.decode(),
                version,
                reason.decode(),
                to[subscription.decode()],
                said[event],
            )
            for identity, attempt, failures, event, type_, article, version, reason, subscription in jobs
        ],
        documents=documents,
    )


def former_secrets(stored: bytes) -> tuple[tuple[str, float], ...]:
    """Read the secrets that a subscription had before, each with the time until which it signs (seconds since the epoch)."""
    return tuple((secret, until / 1000) for secret, until in orjson.loads(stored))


def _endpoint(fields: list[bytes]) -> Endpoint:
    subscription, url, secret, previous, content, headers, entitlement, verified_origin = fields
    return Endpoint(
        subscription.decode(),
        url.decode(),
        secret.decode(),
        former_secrets(previous or b"[]"),
        content.decode(),
        orjson.loads(headers or b"{}"),
        entitlement.decode() or None,
        verified_origin.decode() or None,
    )

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
ATTEMPT_FIELDS = ("time", "attempt", "status", "latency_ms", "error")
"""What the record of an attempt holds, in this order: the first one's is kept with its delivery, which has it stay small."""
LUA_PARTS = ("queue", "history", "usage", "subscribing", "fan_out", "claiming", "endpoints", "backfill")
"""What ``deliveries.lua`` builds upon: files of one library, one per topic, in the order in which they need each other."""


class AttemptOutcome(StrEnum):
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


class ClaimedDelivery(NamedTuple):
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


class AttemptResult(NamedTuple):
    """The end of an attempt, to be written down. ``wait`` is in seconds, for a retry."""

    delivery: ClaimedDelivery
    outcome: AttemptOutcome
    wait: float
    attempt: Attempt | None


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    """What came of settling and claiming. ``wait``: in how many seconds some endpoint has work next, None where none has."""

    states: list[str | None]
    """Of each settled delivery, in their order; None where the lease had been lost."""
    wait: float | None
    deliveries: list[ClaimedDelivery]
    documents: Documents
    """What they tell of, as it stood on record at the moment of the claim; empty where the records are on another server."""


@dataclass(frozen=True, slots=True)
class ExpansionProgress:
    """How far the expansion of an event got."""

    enqueued: int
    left: int
    matched: int
    previously_matched: int
    announced: bool


@dataclass(frozen=True, slots=True)
class ExpandedEvent:
    """An event after a chunk of its deliveries was enqueued."""

    event: str
    envelope: bytes
    article: str
    version: int
    progress: ExpansionProgress


class ExpansionTurn(Enum):
    """What came of asking whose turn it is."""

    NOTHING_LEFT = "nothing is left to be expanded"
    QUEUE_FULL = "the queue is long enough"
    EXPANDED = "a chunk was enqueued"


@dataclass(frozen=True, slots=True)
class PlannedEvent:
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
        plans: Sequence[tuple[PlannedEvent, Sequence[str]]],
        as_of: int,
        chunk: int,
        *,
        lease: float = 0.0,
        limit: int = 0,
    ) -> tuple[list[ExpansionProgress | None], ClaimBatch]:
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

    def _decision(self, event: PlannedEvent, as_of: int, digests: Sequence[str]) -> list[Argument]:
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

    async def take_turn(self, chunk: int, max_due_endpoints: int) -> ExpandedEvent | ExpansionTurn:
        """Enqueue a chunk of the event whose turn it is, unless ``max_due_endpoints`` endpoints have work due already."""
        answer = await self._call(
            "take_turn", [chunk, max_due_endpoints, self.now, self.keep_ms, _ms(self.retention.decisions)]
        )
        if answer is None:
            return ExpansionTurn.NOTHING_LEFT
        if answer == b"FULL":
            return ExpansionTurn.QUEUE_FULL
        event, envelope, article, version, *progress = answer
        return ExpandedEvent(event.decode(), envelope, article.decode(), version, _progress(progress))

    def _expansion(self, event_id: str, chunk: int) -> list[Argument]:
        return [self.prefix, event_id, chunk, self.now, self.keep_ms, _ms(self.retention.decisions)]

    async def announced(self, event_ids: Sequence[str]) -> None:
        """Remember that the world has been told how many deliveries events make."""
        await self._call("announced", list(event_ids))

    async def claim(self, lease: float, limit: int) -> list[ClaimedDelivery]:
        """Lease, for so many seconds, up to ``limit`` deliveries that are due, no more per endpoint than it may have in flight."""
        return (await self.exchange([], lease, limit)).deliveries

    async def settle(self, ended: Sequence[AttemptResult]) -> list[str | None]:
        """Write down how attempts ended; return each delivery's state, or None where the lease had been lost."""
        return (await self.exchange(ended, 0.0, 0)).states

    async def exchange(self, ended: Sequence[AttemptResult], lease: float, limit: int) -> ClaimBatch:
        """Settle what ended, then claim: one call for both, and one wait for the server's disk."""
        return _exchanged(await self._call("exchange", self._exchange(ended, lease, limit)))

    def _exchange(self, ended: Sequence[AttemptResult], lease: float, limit: int) -> list[Argument]:
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
        redis, keys.namespace, "newswire_notify.deliveries", "deliveries", *LUA_PARTS, route=route
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _progress(answer: list[Any]) -> ExpansionProgress:
    enqueued, left, matched, previously, announced = answer
    return ExpansionProgress(enqueued, left, matched, previously, announced == b"1")


def read_attempt(record: bytes) -> dict[str, Any]:
    """Read the record of one attempt, as it was settled."""
    return dict(zip(ATTEMPT_FIELDS, orjson.loads(record), strict=True))


def _settlement(item: AttemptResult) -> tuple[str, int, str, int, str, str]:
    record, answer = "", ""
    if (made := item.attempt) is not None:
        values = (round(made.time, 3), made.attempt, made.status, round(made.latency_ms, 1), made.error)
        record, answer = orjson.dumps(values).decode(), made.answer
    return item.delivery.id, item.delivery.attempt, item.outcome.value, _ms(item.wait), record, answer


def _exchanged(answer: list[Any]) -> ClaimBatch:
    states, wait, deliveries, endpoints, envelopes = (*answer, [], [], [])[:5]
    to = {found.subscription: found for found in map(_endpoint, endpoints)}
    said = {event: envelope for event, envelope, *_ in envelopes}
    documents = {
        (article.decode(), int(version)): document for _, _, article, version, *read in envelopes for document in read
    }
    return ClaimBatch(
        states=[state.decode() if state else None for state in states],
        wait=None if wait is None else wait / 1000,
        deliveries=[
            ClaimedDelivery(
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
            for identity, attempt, failures, event, type_, article, version, reason, subscription in deliveries
        ],
        documents=documents,
    )


def read_former_secrets(stored: bytes) -> tuple[tuple[str, float], ...]:
    """Read the secrets that a subscription had before, each with the time until which it signs (seconds since the epoch)."""
    return tuple((secret, until / 1000) for secret, until in orjson.loads(stored))


def _endpoint(fields: list[bytes]) -> Endpoint:
    subscription, url, secret, previous, content, headers, entitlement, verified_origin = fields
    return Endpoint(
        subscription.decode(),
        url.decode(),
        secret.decode(),
        read_former_secrets(previous or b"[]"),
        content.decode(),
        orjson.loads(headers or b"{}"),
        entitlement.decode() or None,
        verified_origin.decode() or None,
    )

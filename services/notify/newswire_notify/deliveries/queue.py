"""The queue of deliveries: one queue per endpoint, so that no endpoint delays another.

Every step is one Redis function (``queue.lua`` and the files that build on it). A claim is a lease. Its attempt number is the
fencing token that `Queue.settle` checks, so that a worker that lost its lease cannot change the delivery.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FLAT_FIELDS, FunctionLibrary, LuaSource
from newswire_notify.deliveries.attempt_decisions import CircuitPolicy, decide_settlement
from newswire_notify.deliveries.models import (
    AttemptResult,
    ClaimBatch,
    ClaimedDelivery,
    Endpoint,
    ExpandedEvent,
    ExpansionProgress,
    ExpansionTurn,
    PlannedEvent,
)
from newswire_notify.deliveries.retention import Retention
from newswire_notify.settings import NotifySettings

ATTEMPT_FIELDS = ("time", "attempt", "status", "latency_ms", "error")
"""Fields of the record of an attempt, in order. The first record is stored inside the delivery, which keeps small deliveries
small."""
DEAD_MARGIN_MS = 86_400_000
"""How much longer than their retention the records of dead deliveries last: their subscription is known when they are removed."""
MAX_DELIVERIES_PER_CALL = 1000
"""Deliveries that one call enqueues, or as many more as one event has in its first chunk. Each blocks the server for some µs."""
DEFAULT_CIRCUIT = CircuitPolicy()
LUA = LuaSource(
    "newswire_notify.deliveries",
    "deliveries",
    (
        FLAT_FIELDS,
        "queue",
        "history",
        "usage",
        "subscribing",
        "fan_out",
        "endpoint_health",
        "claiming",
        "endpoints",
        "backfill",
        "delivery_lists",
    ),
)
"""One library: each file may use the functions of those before it."""


class Queue:
    """The queue of one namespace. Its time is that of the Redis server, on which all workers agree, unless a clock is given.

    ``beside_records``: the records are on the same server, and the same step also reads the versions that are claimed, and
    announces the events that are planned.
    """

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        *,
        retention: Retention,
        per_endpoint: int = 8,
        circuit: CircuitPolicy = DEFAULT_CIRCUIT,
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
        self._keep_responses = max(self.keep_ms, self._keep_dead)
        self._circuit = circuit.arguments()
        self._clock = clock
        self._articles = keys.article("") if beside_records else ""
        self._outcomes = keys.outcomes if beside_records else ""

    @classmethod
    def from_settings(cls, redis: "Redis", keys: Keyspace, settings: NotifySettings) -> "Queue":
        """Create the queue from the settings; services and commands create it only in this way."""
        return cls(
            redis,
            keys,
            retention=settings.retention,
            per_endpoint=settings.webhook_concurrency_per_endpoint,
            circuit=CircuitPolicy(
                opens_after=settings.webhook_circuit_opens_after,
                disables_after=settings.webhook_disabled_after.total_seconds(),
            ),
            beside_records=settings.delivery_url == settings.redis_url,
        )

    def key(self, *parts: str) -> str:
        """Return a key of the queue."""
        return self.prefix + ":".join(parts)

    @property
    def now_ms(self) -> int | None:
        """The time in ms since the epoch; None where it is that of the server."""
        return _ms(self._clock()) if self._clock else None

    async def call(self, function: str, **arguments: Any) -> Any:
        """Call a function of the queue; prefix and time are added to its arguments."""
        return await self.functions.call(function, [], self._arguments(arguments))

    def _arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        now = self.now_ms
        return {"prefix": self.prefix} | ({} if now is None else {"now": now}) | arguments

    async def plan_and_claim(
        self,
        plans: Sequence[tuple[PlannedEvent, Sequence[str]]],
        as_of: int,
        chunk: int,
        *,
        ended: Sequence[AttemptResult] = (),
        lease: float = 0.0,
        limit: int = 0,
        announced: Sequence[str] = (),
    ) -> tuple[list[ExpansionProgress | None], ClaimBatch]:
        """Plan the recipients of events, once per event: the matched digests and earlier recipients.

        The same round trip marks events as ``announced``, enqueues the first chunk of each event, announces the events that have no
        more, if the stream of outcomes is on the same server, settles the results of attempts that have ``ended`` and claims due
        deliveries.
        ``as_of`` is the number of the last filter change that the matcher knew (`Matcher.changes`). An event is not planned (None)
        where filters have changed since: it must be matched again. Fewer results than events mean that the rest is left to another
        call, because `MAX_DELIVERIES_PER_CALL` were enqueued.
        """
        arguments = {
            "events": [_plan_arguments(event, digests) for event, digests in plans],
            "as_of": as_of,
            "announced": announced,
            "outcomes": self._outcomes,
            "budget": MAX_DELIVERIES_PER_CALL,
        } | self._expansion_arguments(chunk)
        arguments["turn"] = self._settle_and_claim_arguments(ended, lease, limit)
        texts = [event.envelope for event, _ in plans]
        if self._outcomes:
            texts += [event.announcement for event, _ in plans]
        planned, claimed = await self.functions.call("fan_out", [], self._arguments(arguments), texts)
        progress = [None if found == -1 else _read_progress(found) for found in planned]
        return progress, _read_claim_batch(claimed)

    async def expand_next(self, chunk: int, max_due_endpoints: int) -> ExpandedEvent | ExpansionTurn:
        """Expand the next event by one chunk, unless ``max_due_endpoints`` endpoints have due work."""
        answer = await self.call(
            "expand_next_event", max_due_endpoints=max_due_endpoints, **self._expansion_arguments(chunk)
        )
        if answer is None:
            return ExpansionTurn.NOTHING_LEFT
        if answer == b"QUEUE_FULL":
            return ExpansionTurn.QUEUE_FULL
        event, envelope, article, version, *progress = answer
        return ExpandedEvent(event.decode(), envelope, article.decode(), version, _read_progress(progress))

    def _expansion_arguments(self, chunk: int) -> dict[str, Any]:
        return {"chunk": chunk, "keep": self.keep_ms, "keep_plan": _ms(self.retention.decisions)}

    async def mark_announced(self, event_ids: Sequence[str]) -> None:
        """Mark events whose number of deliveries was published."""
        await self.call("mark_announced", events=event_ids)

    async def claim(self, lease: float, limit: int) -> list[ClaimedDelivery]:
        """Claim up to ``limit`` due deliveries for ``lease`` seconds, within the concurrency limit of each endpoint."""
        return (await self.settle_and_claim([], lease, limit)).deliveries

    async def settle(self, ended: Sequence[AttemptResult]) -> list[str | None]:
        """Record the results of attempts; return the state of each delivery, or None where its lease was lost."""
        return (await self.settle_and_claim(ended, 0.0, 0)).states

    async def settle_and_claim(self, ended: Sequence[AttemptResult], lease: float, limit: int) -> ClaimBatch:
        """Settle results, then claim: one call for both, and one wait for the server's disk."""
        return _read_claim_batch(
            await self.call("settle_and_claim", **self._settle_and_claim_arguments(ended, lease, limit))
        )

    def _settle_and_claim_arguments(self, ended: Sequence[AttemptResult], lease: float, limit: int) -> dict[str, Any]:
        return {
            "per_endpoint": self._per_endpoint,
            "keep": self.keep_ms,
            "keep_dead": self._keep_dead + DEAD_MARGIN_MS,
            "keep_responses": self._keep_responses,
            "history_bytes": self.retention.history_bytes,
            "circuit": self._circuit,
            "results": [_result_arguments(item) for item in ended],
            "lease": _ms(lease),
            "limit": limit,
            "articles": self._articles,
        }


def delivery_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the library of the queue's Redis functions."""
    route = [keys.deliveries.key("endpoints")]
    return FunctionLibrary.packaged(redis, keys.namespace, LUA, route=route)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _plan_arguments(event: PlannedEvent, digests: Sequence[str]) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "kind": "retracted" if event.retracted else "published",
        "article": event.article,
        "version": event.version,
        "entry": event.entry_id,
        "digests": digests,
    }


def _read_progress(answer: list[Any]) -> ExpansionProgress:
    enqueued, left, matched, previously, announced = answer
    return ExpansionProgress(enqueued, left, matched, previously, announced == b"1")


def read_attempt(record: bytes) -> dict[str, Any]:
    """Read the stored record of an attempt."""
    return dict(zip(ATTEMPT_FIELDS, orjson.loads(record), strict=True))


def _result_arguments(item: AttemptResult) -> dict[str, Any]:
    record, answer = "", ""
    if (made := item.attempt) is not None:
        values = (round(made.time, 3), made.attempt, made.status, round(made.latency_ms, 1), made.error)
        record, answer = orjson.dumps(values).decode(), made.answer
    return {
        "delivery": item.delivery.id,
        "attempt": item.delivery.attempt,
        **decide_settlement(item.delivery, item.outcome),
        "wait": _ms(item.wait),
        "record": record,
        "response": answer,
    }


def _read_claim_batch(answer: list[Any]) -> ClaimBatch:
    states, wait, deliveries, endpoints, envelopes, blocked = answer if len(answer) == 6 else (*answer, [], [], [], 0)
    to = {fields[0]: _read_endpoint(*fields) for fields in endpoints}
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
                to[subscription],
                said[event],
            )
            for identity, attempt, failures, event, type_, article, version, reason, subscription in deliveries
        ],
        documents=documents,
        blocked=blocked == 1,
    )


def read_former_secrets(stored: bytes) -> tuple[tuple[str, float], ...]:
    """Read the former secrets of a subscription, each with its end (seconds since the epoch)."""
    return tuple((secret, until / 1000) for secret, until in orjson.loads(stored))


@lru_cache(maxsize=16_384)
def _read_endpoint(
    subscription: bytes,
    url: bytes,
    secret: bytes,
    previous: bytes,
    content: bytes,
    headers: bytes,
    entitlement: bytes,
    verified_origin: bytes,
) -> Endpoint:
    """Read an endpoint; the same fields are read for one delivery after another."""
    return Endpoint(
        subscription.decode(),
        url.decode(),
        secret.decode(),
        read_former_secrets(previous) if previous else (),
        content.decode(),
        orjson.loads(headers) if headers else {},
        entitlement.decode() or None,
        verified_origin.decode() or None,
    )

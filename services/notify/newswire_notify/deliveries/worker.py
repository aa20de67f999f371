"""The delivery worker: claims due deliveries, sends them, records the results."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import takewhile
from typing import Protocol

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.credentials import read_entitlement
from newswire.concurrency.backoff import delay_after, pause
from newswire.events import PUBLISHED, ArticlePublished
from newswire.filters import ArticleFeatures
from newswire.keys import Keyspace
from newswire.observability import metrics
from newswire.storage.article_records import unpack
from newswire_notify.deliveries.attempt_decisions import decide_outcome
from newswire_notify.deliveries.models import AttemptOutcome, AttemptResult, ClaimBatch, ClaimedDelivery, Documents
from newswire_notify.deliveries.queue import Queue
from newswire_notify.fanout.record_events import rebuilt_envelopes
from newswire_notify.webhooks.rendering import Content, render
from newswire_notify.webhooks.sending import SendResult

log = logging.getLogger(__name__)

MAX_IDLE_SECONDS = 0.25
"""The longest wait before a worker checks for deliveries that other processes enqueued."""
SETTLE_DELAY_SECONDS = 0.001
"""How long results wait for others: those settled together share one wait for the disk."""
DRAIN_SECONDS = 4.0
SLOW_ATTEMPT_SECONDS = 1.0
"""An attempt that takes longer no longer counts towards the concurrency, so that hanging endpoints do not block others."""
MAX_SLOW_FACTOR = 8
"""Limit of all attempts in flight, as a multiple of the concurrency."""


class Post(Protocol):
    """Sends one delivery."""

    async def __call__(self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None) -> SendResult:
        """Make one attempt."""
        ...


class Worker:
    """Sends deliveries concurrently. Any number of workers may share one queue."""

    def __init__(
        self,
        queue: Queue,
        records: "Redis",
        keys: Keyspace,
        post: Post,
        site: str,
        *,
        concurrency: int = 64,
        lease: float = 60.0,
        clock: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.running = False
        self._queue = queue
        self._records = records
        self._keys = keys
        self._post = post
        self._site = site
        self._concurrency = concurrency
        self.lease = lease
        self._clock = clock
        self._uniform = uniform
        self._wakeup = asyncio.Event()
        self._in_flight: dict[asyncio.Task[None], float] = {}
        """Start of each attempt on the event loop's clock, oldest first."""
        self._results: list[AttemptResult] = []
        self._settling = asyncio.Lock()
        self._wait: float | None = None
        self._reserved = 0
        self._drained = False
        self._beginning: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Check the queue at once."""
        self._wakeup.set()

    async def check(self) -> str | None:
        """Return why nothing is delivered, or None: a readiness check."""
        return None if self.running else "the delivery worker is not running"

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until stopping is set; then finish the attempts in flight, and release the rest."""
        failures = 0
        self._drained = False
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                try:
                    await self.step()
                    failures, self.running = 0, True
                    await self._wait_for_work(stop)
                except (RedisError, OSError) as error:
                    self.running = False
                    log.warning("cannot reach the delivery queue", extra={"reason": str(error)})
                    await pause(stopping, delay_after(failures))
                    failures += 1
            await self._drain()
        finally:
            stop.cancel()
            self.running = False

    async def step(self) -> int:
        """Settle results, claim due deliveries and start sending them; return how many were claimed."""
        claimed = await self._exchange(self.free_slots)
        if claimed.deliveries:
            await self.begin(claimed)
        return len(claimed.deliveries)

    def reserve(self) -> int:
        """Reserve slots for deliveries that the fan-out claims for this worker; none while it is busy and claims by itself."""
        places = self.free_slots
        if not self.running or places <= self._concurrency // 2:
            return 0
        self._reserved += places
        return places

    def take(self, claimed: ClaimBatch | None, reserved: int) -> None:
        """Start sending what was claimed for the reserved slots."""
        self._reserved -= reserved
        if claimed is None or not claimed.deliveries or self._drained:
            return
        if claimed.documents:
            self._send(claimed.deliveries, claimed.documents)
        else:
            task = asyncio.create_task(self.begin(claimed))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def until_idle(self) -> None:
        """Deliver everything that is due, and wait until it has ended."""
        while await self.step() or self._in_flight or self._results:
            if self._in_flight:
                await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)

    @property
    def free_slots(self) -> int:
        """How many deliveries may start now."""
        since = asyncio.get_running_loop().time() - SLOW_ATTEMPT_SECONDS
        quick = sum(1 for _ in takewhile(lambda began: began > since, reversed(self._in_flight.values())))
        free = min(self._concurrency - quick, MAX_SLOW_FACTOR * self._concurrency - len(self._in_flight))
        return max(0, free - self._reserved)

    async def _wait_for_work(self, stop: "asyncio.Task[bool]") -> None:
        """Sleep until an attempt has ended, or a delivery is due or was enqueued."""
        wait = (
            MAX_IDLE_SECONDS
            if self._wait is None or not self.free_slots
            else min(max(self._wait, 0.001), MAX_IDLE_SECONDS)
        )
        news = asyncio.create_task(self._wakeup.wait())
        await asyncio.wait({news, stop}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        if self._in_flight and len(self._results) < self._concurrency // 2:
            await asyncio.sleep(SETTLE_DELAY_SECONDS)
        self._wakeup.clear()

    async def begin(self, claimed: ClaimBatch) -> None:
        """Start sending what was claimed; release it if the articles cannot be read."""
        deliveries, documents = claimed.deliveries, claimed.documents
        try:
            documents = documents or await self._documents(deliveries)
            if lacking := [delivery for delivery in deliveries if not delivery.envelope]:
                found = await rebuilt_envelopes(self._records, self._keys, self._site, lacking, documents)
                deliveries = [
                    delivery if delivery.envelope else delivery._replace(envelope=found.get(delivery.event, b""))
                    for delivery in deliveries
                ]
        except (RedisError, OSError) as error:
            log.warning("cannot read articles", extra={"reason": str(error)})
            self._results += [AttemptResult(delivery, AttemptOutcome.RELEASED, 0.0, None) for delivery in deliveries]
            return
        self._send(deliveries, documents)

    def _send(self, deliveries: Sequence[ClaimedDelivery], stored: Documents) -> None:
        documents = {version: _unpacked(document) for version, document in stored.items() if document}
        is_entitled = lru_cache(maxsize=None)(_is_entitled)
        began = asyncio.get_running_loop().time()
        for delivery in deliveries:
            document = documents.get((delivery.article, delivery.version)) if delivery.type == PUBLISHED else None
            if (
                not delivery.envelope
                or (delivery.type == PUBLISHED and document is None)
                # The entitlement may have narrowed while the delivery waited. Retractions are always sent.
                or (document is not None and not is_entitled(delivery.endpoint.entitlement, document))
            ):
                self._results.append(AttemptResult(delivery, AttemptOutcome.CANCELLED, 0.0, None))
                continue
            content = (
                delivery.endpoint.content if delivery.version else Content.FULL
            )  # a notice is not about an article
            body = _rendered(delivery.envelope, document, content, delivery.reason)
            task = asyncio.create_task(self._deliver(delivery, body, _origin(delivery.envelope)[0]))
            self._in_flight[task] = began
            task.add_done_callback(self._in_flight.pop)

    async def _documents(self, deliveries: Sequence[ClaimedDelivery]) -> Documents:
        """Read each distinct version once."""
        wanted = list({(delivery.article, delivery.version) for delivery in deliveries if delivery.type == PUBLISHED})
        async with self._records.pipeline(transaction=False) as pipe:
            for article, version in wanted:
                pipe.hget(self._keys.version(article, version), "document")
            found = await pipe.execute()
        return {version: stored or b"" for version, stored in zip(wanted, found, strict=True)}

    async def _deliver(self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None) -> None:
        try:
            sent = await self._post(delivery, body, traceparent)
        except asyncio.CancelledError:
            self._results.append(AttemptResult(delivery, AttemptOutcome.RELEASED, 0.0, None))
            raise
        outcome, wait = decide_outcome(delivery, sent, self._uniform)
        if outcome is not AttemptOutcome.DELIVERED:
            log.info(
                "delivery failed",
                extra={
                    "delivery": delivery.id,
                    "attempt": delivery.attempt,
                    "outcome": outcome.value,
                    "error": sent.attempt.error,
                },
            )
        self._results.append(AttemptResult(delivery, outcome, wait, sent.attempt))
        if outcome is AttemptOutcome.DELIVERED:
            now, published = self._clock(), _origin(delivery.envelope)[1]
            metrics.publish_to_delivered.observe(max(0.0, now - (published or now)))
        self._wakeup.set()

    async def _exchange(self, free: int) -> ClaimBatch:
        async with self._settling:
            ended, self._results = self._results, []
            try:
                answer = await self._queue.settle_and_claim(ended, self.lease, free)
            except BaseException:
                self._results = ended + self._results  # settling twice is harmless: the second time the lease is gone
                raise
        self._wait = answer.wait
        counts = Counter(
            "retried" if state == "waiting" else state
            for item, state in zip(ended, answer.states, strict=True)
            if state and not (state == "waiting" and item.outcome is AttemptOutcome.RELEASED)
        )
        for outcome, count in counts.items():
            metrics.deliveries.labels(outcome).inc(count)
        return answer

    async def _drain(self) -> None:
        self.running = False
        # Wait for claims on behalf of this worker that are under way: started after the drain, they would never be settled.
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while self._reserved and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        if self._beginning:
            await asyncio.wait(self._beginning)
        if self._in_flight:
            _, late = await asyncio.wait(self._in_flight, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._drained = True
        try:
            await self._exchange(0)
        except (RedisError, OSError) as error:
            log.warning("cannot release leases; they will expire", extra={"reason": str(error)})


# An event goes to many endpoints, a few of them in each claim. The stored bytes, which are read each time, are the cache key.
_unpacked = lru_cache(maxsize=32)(unpack)
_rendered = lru_cache(maxsize=32)(render)


def _is_entitled(entitlement: str | None, document: bytes) -> bool:
    """Return whether an entitlement admits a version."""
    if entitlement is None:
        return True
    return read_entitlement(entitlement).matches(ArticleFeatures.of(ArticlePublished.model_validate_json(document)))


@lru_cache(maxsize=256)
def _origin(envelope: bytes) -> tuple[str | None, float | None]:
    """Return the trace of an event, and its time."""
    event = orjson.loads(envelope)
    moment = event.get("time")
    return event.get("traceparent"), datetime.fromisoformat(moment).timestamp() if moment else None

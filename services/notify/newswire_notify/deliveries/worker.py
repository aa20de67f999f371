"""The delivery worker: claims due deliveries, sends them, records the results."""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache, partial
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

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
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive, Numbered
from newswire_notify.deliveries.archived_documents import read_archived
from newswire_notify.deliveries.attempt_decisions import decide_outcome
from newswire_notify.deliveries.models import AttemptOutcome, AttemptResult, ClaimBatch, ClaimedDelivery, Documents
from newswire_notify.deliveries.queue import Queue
from newswire_notify.fanout.record_events import rebuilt_envelopes
from newswire_notify.webhooks.rendering import Content, render
from newswire_notify.webhooks.sending import SendResult, Unsent

log = logging.getLogger(__name__)

MAX_IDLE_SECONDS = 0.25
"""The longest wait before a worker checks for deliveries that other processes enqueued."""
SETTLE_DELAY_SECONDS = 0.001
"""How long results wait for others: those settled together share one wait for the disk."""
CARRIED_DELAY_SECONDS = 0.03
"""How long results wait for the next call of the fan-out, which settles them, while it calls often."""
FREQUENT_SECONDS = 0.05
"""The fan-out calls often where its last calls were closer than this."""
BLOCKED_SECONDS = 0.05
"""How long results do not wait after deliveries were found that wait for them."""
DRAIN_SECONDS = 4.0
UNAVAILABLE_SECONDS = 30.0
"""How long deliveries are postponed whose texts are in an archive that cannot be read."""
SLOW_ATTEMPT_SECONDS = 1.0
"""An attempt that takes longer no longer counts towards the concurrency, so that hanging endpoints do not block others."""
MAX_SLOW_FACTOR = 8
"""Limit of all attempts in flight, as a multiple of the concurrency."""


class Post(Protocol):
    """Sends deliveries (`Sender`)."""

    async def send(self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None) -> SendResult:
        """Make one attempt."""
        ...

    def begin(
        self,
        delivery: ClaimedDelivery,
        body: bytes,
        traceparent: str | None,
        ended: Callable[[SendResult | Unsent], None],
    ) -> "asyncio.Future[Any] | None":
        """Begin one attempt that needs no task; None where it needs one."""
        ...


class QueueTurn(NamedTuple):
    """What a call of the fan-out does for a worker besides."""

    slots: int
    """Reserved for deliveries that it claims."""
    results: list[AttemptResult]
    """Those that it settles."""


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
        archive: DocumentArchive = NO_ARCHIVE,
    ) -> None:
        self.running = False
        self._archive = archive
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
        self._in_flight: dict[asyncio.Future[Any], float] = {}
        """Start of each attempt on the event loop's clock, oldest first. Attempts without a connection are tasks."""
        self._results: list[AttemptResult] = []
        self._settling = asyncio.Lock()
        self._wait: float | None = None
        self._work_enqueued = False
        self._reserved = 0
        self._turns = 0
        """Calls of the fan-out on behalf of this worker that are under way."""
        self._carried_at = self._carried_before = self._blocked_at = -math.inf
        """When the fan-out last called for this worker, when before that, and when deliveries were found that wait for results."""
        self._hurry = asyncio.Event()
        self._drained = False
        self._beginning: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Check the queue at once."""
        self._work_enqueued = True
        self._wakeup.set()

    async def check(self) -> str | None:
        """Return why nothing is delivered, or None: a check of `/status`."""
        return None if self.running else "the delivery worker is not running"

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until stopping is set; then finish the attempts in flight, and release the rest."""
        failures = 0
        self._drained = False
        stop = asyncio.create_task(self._wake_at(stopping))
        try:
            while not stopping.is_set():
                try:
                    await self.step()
                    failures, self.running = 0, True
                    await self._wait_for_work()
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
        self._work_enqueued = False
        claimed = await self._exchange(self.free_slots)
        if claimed.deliveries:
            await self.begin(claimed)
        return len(claimed.deliveries)

    def reserve(self) -> QueueTurn:
        """Hand results to the next call of the fan-out, and reserve slots for deliveries that it claims.

        No slots while the worker is busy and claims by itself. `take` follows.
        """
        self._turns += 1
        if not self.running:
            return QueueTurn(0, [])
        free = self.free_slots
        turn = QueueTurn(free if free > self._concurrency // 2 else 0, self._results)
        self._results = []
        self._reserved += turn.slots
        return turn

    def take(self, turn: QueueTurn, claimed: ClaimBatch | None) -> None:
        """Start sending what was claimed for the reserved slots; ``claimed`` is None where the call failed."""
        self._reserved -= turn.slots
        self._turns -= 1
        if claimed is None:
            self._results = turn.results + self._results
            self._wakeup.set()
            return
        if turn.slots or turn.results:
            self._note_claim(turn.results, claimed)
        self._carried_before, self._carried_at = self._carried_at, asyncio.get_running_loop().time()
        if turn.results and len(claimed.deliveries) == turn.slots:
            self.wake()  # more may be due than it was to claim
        if not claimed.deliveries or self._drained:
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

    async def _wait_for_work(self) -> None:
        """Sleep until results are to be settled, or a delivery is due or was enqueued."""
        while True:
            wait = (
                MAX_IDLE_SECONDS
                if self._wait is None or not self.free_slots
                else min(max(self._wait, 0.001), MAX_IDLE_SECONDS)
            )
            try:
                async with asyncio.timeout(wait):
                    await self._wakeup.wait()
            except TimeoutError:
                return
            await self._gather_results()
            self._wakeup.clear()
            if self._results or self._work_enqueued or not self.running:
                return  # otherwise the fan-out's call has settled the results

    async def _gather_results(self) -> None:
        """Wait for further results, or for a call of the fan-out that settles them."""
        now = asyncio.get_running_loop().time()
        carried = (
            now - self._carried_at < FREQUENT_SECONDS and self._carried_at - self._carried_before < FREQUENT_SECONDS
        )
        if self._work_enqueued or now - self._blocked_at < BLOCKED_SECONDS or not carried:
            if self._in_flight and len(self._results) < self._concurrency // 2:
                await asyncio.sleep(SETTLE_DELAY_SECONDS)
        elif len(self._results) < self._concurrency // 2:
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CARRIED_DELAY_SECONDS):
                    await self._hurry.wait()

    async def _wake_at(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._hurry.set()
        self.wake()

    async def begin(self, claimed: ClaimBatch) -> None:
        """Start sending what was claimed; release it if the articles cannot be read."""
        deliveries, documents = claimed.deliveries, claimed.documents
        try:
            documents = documents or await self._documents(deliveries)
            documents, unavailable = await read_archived(self._archive, documents)
            deliveries = self._postpone(deliveries, unavailable)
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
            traceparent = _origin(delivery.envelope)[0]
            ended = partial(self._end_attempt, delivery, body, traceparent)
            attempt = self._post.begin(delivery, body, traceparent, ended)
            if attempt is None:
                attempt = asyncio.create_task(self._deliver(delivery, body, traceparent))
            self._track(attempt, began)

    def _track(self, attempt: "asyncio.Future[Any]", began: float) -> None:
        self._in_flight[attempt] = began
        attempt.add_done_callback(self._in_flight.pop)

    def _end_attempt(
        self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None, sent: SendResult | Unsent
    ) -> None:
        """Note the result of an attempt that was begun over an open connection."""
        if sent is Unsent.CANCELLED:
            self._results.append(AttemptResult(delivery, AttemptOutcome.RELEASED, 0.0, None))
        elif sent is Unsent.NOT_CONNECTED:
            again = asyncio.create_task(self._deliver(delivery, body, traceparent))
            self._track(again, asyncio.get_running_loop().time())
        else:
            self._note_result(delivery, sent)

    async def _documents(self, deliveries: Sequence[ClaimedDelivery]) -> Documents:
        """Read each distinct version once."""
        wanted = list({(delivery.article, delivery.version) for delivery in deliveries if delivery.type == PUBLISHED})
        async with self._records.pipeline(transaction=False) as pipe:
            for article, version in wanted:
                pipe.hget(self._keys.version(article, version), "document")
            found = await pipe.execute()
        return {version: stored or b"" for version, stored in zip(wanted, found, strict=True)}

    def _postpone(self, deliveries: Sequence[ClaimedDelivery], unavailable: set[Numbered]) -> list[ClaimedDelivery]:
        """Postpone the deliveries whose documents cannot be read now; return the others."""
        late = [each for each in deliveries if each.type == PUBLISHED and (each.article, each.version) in unavailable]
        self._results += [AttemptResult(each, AttemptOutcome.RELEASED, UNAVAILABLE_SECONDS, None) for each in late]
        return [each for each in deliveries if each not in late] if late else list(deliveries)

    async def _deliver(self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None) -> None:
        try:
            sent = await self._post.send(delivery, body, traceparent)
        except asyncio.CancelledError:
            self._results.append(AttemptResult(delivery, AttemptOutcome.RELEASED, 0.0, None))
            raise
        self._note_result(delivery, sent)

    def _note_result(self, delivery: ClaimedDelivery, sent: SendResult) -> None:
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
        self._note_claim(ended, answer)
        return answer

    def _note_claim(self, ended: Sequence[AttemptResult], answer: ClaimBatch) -> None:
        """Note when an endpoint has work, and count what was settled."""
        self._wait = answer.wait
        if answer.blocked:
            self._blocked_at = asyncio.get_running_loop().time()
            self._hurry.set()
        counts = Counter(
            "retried" if state == "waiting" else state
            for item, state in zip(ended, answer.states, strict=True)
            if state and not (state == "waiting" and item.outcome is AttemptOutcome.RELEASED)
        )
        for outcome, count in counts.items():
            metrics.deliveries.labels(outcome).inc(count)

    async def _drain(self) -> None:
        self.running = False
        # Wait for calls on behalf of this worker that are under way: what they claim after the drain would never be settled.
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while self._turns and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        if self._beginning:
            await asyncio.wait(self._beginning)
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        # An attempt whose connection was closed is followed by another one meanwhile.
        while self._in_flight and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._in_flight, timeout=left)
        while late := list(self._in_flight):
            for attempt in late:
                attempt.cancel()
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

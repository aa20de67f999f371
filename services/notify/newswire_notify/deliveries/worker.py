"""The worker: claims what is due, sends it, writes down what came of it."""

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

from newswire.auth.accounts import read_entitlement
from newswire.concurrency.backoff import pause
from newswire.events import PUBLISHED, ArticlePublished
from newswire.filters import ArticleFeatures
from newswire.keys import Keyspace
from newswire.observability import telemetry
from newswire.storage.article_records import unpack
from newswire_notify.deliveries.queue import Documents, Exchanged, Job, Outcome, Queue, Settled
from newswire_notify.fanout.record_events import rebuilt_envelopes
from newswire_notify.webhooks.rendering import Content, render
from newswire_notify.webhooks.sending import Sent

log = logging.getLogger(__name__)

SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
"""Seconds to wait after each failure: about 28 hours in all."""
JITTER = 0.2
LONGEST_RETRY_AFTER = 3600.0
IDLE = 0.25
"""How soon at the latest a worker sees what another process has put into the queue, in seconds."""
LINGER = 0.001
"""How long attempts that have ended wait for others, in seconds: what is settled together shares one wait for the disk."""
DRAIN = 4.0
LONG = 1.0
"""An attempt that takes longer than this, in seconds, leaves its place to another: hanging endpoints take none from the quick."""
MOST_LONG = 8
"""So many times its concurrency a worker may have in flight in all."""


class Post(Protocol):
    """Sends one delivery."""

    async def __call__(self, job: Job, body: bytes, traceparent: str | None) -> Sent:
        """Try once."""
        ...


def verdict(job: Job, sent: Sent, uniform: Callable[[float, float], float]) -> tuple[Outcome, float]:
    """Decide what follows an attempt, and after how many seconds."""
    if sent.accepted:
        return Outcome.DELIVERED, 0.0
    if sent.gone:
        return Outcome.GONE, 0.0
    if job.failures >= len(SCHEDULE):
        return Outcome.DEAD, 0.0
    wait = SCHEDULE[job.failures] * uniform(1 - JITTER, 1 + JITTER)
    if sent.retry_after is not None:
        return Outcome.HELD, min(max(wait, sent.retry_after), max(wait, LONGEST_RETRY_AFTER))
    return Outcome.RETRY, wait


class Worker:
    """Delivers, several at a time. Any number of workers may share one queue."""

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
        self._news = asyncio.Event()
        self._in_flight: dict[asyncio.Task[None], float] = {}
        """Since when each attempt has been going on, on the clock of the event loop, oldest first."""
        self._ended: list[Settled] = []
        self._settling = asyncio.Lock()
        self._wait: float | None = None
        self._reserved = 0
        self._drained = False
        self._beginning: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look into the queue at once: something was put into it."""
        self._news.set()

    async def check(self) -> str | None:
        """Tell why nothing is delivered at the moment: a readiness check."""
        return None if self.running else "the delivery worker is not running"

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until stopping is set; then let what is in flight end, and hand the rest back."""
        failures = 0
        self._drained = False
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                try:
                    await self.step()
                    failures, self.running = 0, True
                    await self._rest(stop)
                except (RedisError, OSError) as error:
                    self.running = False
                    log.warning("the delivery queue cannot be reached", extra={"reason": str(error)})
                    await pause(stopping, self._uniform(0.5, 1.0) * min(0.1 * 2 ** min(failures, 7), 10.0))
                    failures += 1
            await self._drain()
        finally:
            stop.cancel()
            self.running = False

    async def step(self) -> int:
        """Settle what has ended, claim what is due and begin to send it; return how many were begun."""
        claimed = await self._exchange(self.free)
        if claimed.jobs:
            await self.begin(claimed)
        return len(claimed.jobs)

    def reserve(self) -> int:
        """Keep places for what somebody else claims for this worker; none while it is busy, for then it claims by itself."""
        places = self.free
        if not self.running or places <= self._concurrency // 2:
            return 0
        self._reserved += places
        return places

    def take(self, claimed: Exchanged | None, reserved: int) -> None:
        """Begin to send what was claimed for the places that were reserved."""
        self._reserved -= reserved
        if claimed is None or not claimed.jobs or self._drained:
            return
        if claimed.documents:
            self._send(claimed.jobs, claimed.documents)
        else:
            task = asyncio.create_task(self.begin(claimed))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def until_idle(self) -> None:
        """Deliver all that is due now, and wait for it to end."""
        while await self.step() or self._in_flight or self._ended:
            if self._in_flight:
                await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)

    @property
    def free(self) -> int:
        """How many deliveries may begin at this moment."""
        since = asyncio.get_running_loop().time() - LONG
        quick = sum(1 for _ in takewhile(lambda began: began > since, reversed(self._in_flight.values())))
        free = min(self._concurrency - quick, MOST_LONG * self._concurrency - len(self._in_flight))
        return max(0, free - self._reserved)

    async def _rest(self, stop: "asyncio.Task[bool]") -> None:
        """Sleep until there is something to do: an attempt has ended, something is due or was put into the queue."""
        wait = IDLE if self._wait is None or not self.free else min(max(self._wait, 0.001), IDLE)
        news = asyncio.create_task(self._news.wait())
        await asyncio.wait({news, stop}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        if self._in_flight and len(self._ended) < self._concurrency // 2:
            await asyncio.sleep(LINGER)
        self._news.clear()

    async def begin(self, claimed: Exchanged) -> None:
        """Begin to send what was claimed; hand it back where the texts cannot be read."""
        jobs, documents = claimed.jobs, claimed.documents
        try:
            documents = documents or await self._documents(jobs)
            if lacking := [job for job in jobs if not job.envelope]:
                found = await rebuilt_envelopes(self._records, self._keys, self._site, lacking, documents)
                jobs = [job if job.envelope else job._replace(envelope=found.get(job.event, b"")) for job in jobs]
        except (RedisError, OSError) as error:
            log.warning("articles cannot be read", extra={"reason": str(error)})
            self._ended += [Settled(job, Outcome.RELEASED, 0.0, None) for job in jobs]
            return
        self._send(jobs, documents)

    def _send(self, jobs: Sequence[Job], stored: Documents) -> None:
        documents = {version: _unpacked(document) for version, document in stored.items() if document}
        may_have = lru_cache(maxsize=None)(_may_have)
        began = asyncio.get_running_loop().time()
        for job in jobs:
            document = documents.get((job.article, job.version)) if job.type == PUBLISHED else None
            if (
                not job.envelope
                or (job.type == PUBLISHED and document is None)
                # What its account is entitled to may have become less while it waited; a retraction takes nothing but back.
                or (document is not None and not may_have(job.endpoint.entitlement, document))
            ):
                self._ended.append(Settled(job, Outcome.CANCELLED, 0.0, None))
                continue
            content = job.endpoint.content if job.version else Content.FULL  # a notice is no article's
            body = _rendered(job.envelope, document, content, job.reason)
            task = asyncio.create_task(self._deliver(job, body, _origin(job.envelope)[0]))
            self._in_flight[task] = began
            task.add_done_callback(self._in_flight.pop)

    async def _documents(self, jobs: Sequence[Job]) -> Documents:
        """Read each distinct version once."""
        wanted = list({(job.article, job.version) for job in jobs if job.type == PUBLISHED})
        async with self._records.pipeline(transaction=False) as pipe:
            for article, version in wanted:
                pipe.hget(self._keys.version(article, version), "document")
            found = await pipe.execute()
        return {version: stored or b"" for version, stored in zip(wanted, found, strict=True)}

    async def _deliver(self, job: Job, body: bytes, traceparent: str | None) -> None:
        try:
            sent = await self._post(job, body, traceparent)
        except asyncio.CancelledError:
            self._ended.append(Settled(job, Outcome.RELEASED, 0.0, None))
            raise
        outcome, wait = verdict(job, sent, self._uniform)
        if outcome is not Outcome.DELIVERED:
            log.info(
                "delivery failed",
                extra={
                    "delivery": job.id,
                    "attempt": job.attempt,
                    "outcome": outcome.value,
                    "error": sent.attempt.error,
                },
            )
        self._ended.append(Settled(job, outcome, wait, sent.attempt))
        if outcome is Outcome.DELIVERED:
            now, published = self._clock(), _origin(job.envelope)[1]
            telemetry.publish_to_delivered.observe(max(0.0, now - (published or now)))
        self._news.set()

    async def _exchange(self, free: int) -> Exchanged:
        async with self._settling:
            ended, self._ended = self._ended, []
            try:
                answer = await self._queue.exchange(ended, self.lease, free)
            except BaseException:
                self._ended = ended + self._ended  # settled twice is harmless: the second time the lease is gone
                raise
        self._wait = answer.wait
        counts = Counter(
            "retried" if state == "waiting" else state
            for item, state in zip(ended, answer.states, strict=True)
            if state and not (state == "waiting" and item.outcome is Outcome.RELEASED)
        )
        for outcome, count in counts.items():
            telemetry.deliveries.labels(outcome).inc(count)
        return answer

    async def _drain(self) -> None:
        self.running = False
        # What is claimed for this worker at this moment comes still: begun behind its back, it would never be settled.
        deadline = asyncio.get_running_loop().time() + DRAIN
        while self._reserved and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        if self._beginning:
            await asyncio.wait(self._beginning)
        if self._in_flight:
            _, late = await asyncio.wait(self._in_flight, timeout=DRAIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._drained = True
        try:
            await self._exchange(0)
        except (RedisError, OSError) as error:
            log.warning("leases are left to run out", extra={"reason": str(error)})


# An event goes to many endpoints, a few of them in each claim. What is found here was read anew all the same: it is the key.
_unpacked = lru_cache(maxsize=32)(unpack)
_rendered = lru_cache(maxsize=32)(render)


def _may_have(entitlement: str | None, document: bytes) -> bool:
    """Tell whether a version is within what an account is entitled to."""
    if entitlement is None:
        return True
    return read_entitlement(entitlement).matches(ArticleFeatures.of(ArticlePublished.model_validate_json(document)))


@lru_cache(maxsize=256)
def _origin(envelope: bytes) -> tuple[str | None, float | None]:
    """Return the trace that an event belongs to, and when it happened."""
    event = orjson.loads(envelope)
    moment = event.get("time")
    return event.get("traceparent"), datetime.fromisoformat(moment).timestamp() if moment else None

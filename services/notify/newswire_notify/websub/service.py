"""The hub: accepts requests, verifies them one by one, and keeps the subscriptions."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from newswire.concurrency.fair_slots import FairSlots
from newswire.concurrency.repetition import repeat
from newswire.observability import metrics
from newswire_notify.websub.feed_fetching import FeedFetcher, FeedUnavailableError, NotAFeedError
from newswire_notify.websub.models import HubRequest, HubSubscription, Mode
from newswire_notify.websub.repository import PAGE, HubSubscriptions
from newswire_notify.websub.verification import CallbackVerification

log = logging.getLogger(__name__)

MAX_CONCURRENT_VERIFICATIONS = 32
MAX_CONCURRENT_DENIALS = 32
MAX_PENDING = 2_000
MAX_PENDING_PER_HOST = 100
SWEEP_SECONDS = 30.0
CLOSED_REASON = "the feeds of this site are not public"
OFF_REASON = "this site has no hub any more"


class HubFullError(Exception):
    """A limit of the hub is reached; the message says which."""


@dataclass(frozen=True, slots=True)
class HubLimits:
    """How many subscriptions the hub keeps, in total and with callbacks at one host, and of how many topics."""

    subscriptions: int
    per_host: int
    topics: int


class Hub:
    """The requests and subscriptions of the hub. ``on_subscribed`` is called when the topic of a new one may be fetched."""

    def __init__(
        self,
        subscriptions: HubSubscriptions,
        fetcher: FeedFetcher,
        verification: CallbackVerification,
        limits: HubLimits,
        *,
        on_subscribed: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._subscriptions = subscriptions
        self._fetcher = fetcher
        self._verification = verification
        self._limits = limits
        self._on_subscribed = on_subscribed
        self._clock = clock
        self._slots = FairSlots(MAX_CONCURRENT_VERIFICATIONS)
        self._denials = asyncio.Semaphore(MAX_CONCURRENT_DENIALS)
        self._pending: Counter[str] = Counter()
        """Requests that are not verified yet, by host."""
        self._last: dict[tuple[str, str], asyncio.Task[None]] = {}
        """The last request of each subscription: they are verified in order."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, request: HubRequest) -> None:
        """Accept a request, and verify it in the background.

        Raises:
            HubFullError: a limit is reached.
        """
        if self._pending[request.host] >= MAX_PENDING_PER_HOST:
            raise HubFullError(f"{MAX_PENDING_PER_HOST} requests of this callback's host wait for their verification")
        if self._pending.total() >= MAX_PENDING:
            raise HubFullError(f"{MAX_PENDING} requests wait for their verification")
        self._pending[request.host] += 1
        try:
            if request.mode is Mode.SUBSCRIBE:
                await self._check_room(request)
        except BaseException:
            self._settle(request)
            raise
        subscription = request.topic, request.callback
        task = self._spawn(self._process(request, self._last.get(subscription)))
        self._last[subscription] = task
        task.add_done_callback(lambda _: self._forget(subscription, task))

    async def revoke(self, topic: str, reason: str) -> None:
        """End all subscriptions of a topic, and tell their callbacks."""
        async for page in self._subscriptions.pages(topic):
            # Another process may end the same subscriptions: only the one that removes it denies it.
            removed = [each for each in page if await self._subscriptions.remove(topic, each.callback)]
            await asyncio.gather(*(self._deny(each.callback, each.sent_topic or topic, reason) for each in removed))

    async def revoke_all(self, reason: str) -> None:
        """End all subscriptions."""
        for topic in await self._subscriptions.topics():
            await self.revoke(topic, reason)

    async def run(self, stopping: asyncio.Event) -> None:
        """Remove lapsed subscriptions until stopping is set; then end the verifications under way."""
        await repeat(self._remove_lapsed, SWEEP_SECONDS, stopping, log, "lapsed subscriptions were not removed")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _remove_lapsed(self) -> None:
        while await self._subscriptions.remove_lapsed() == PAGE:
            pass
        total, _, _ = await self._subscriptions.counts("")
        metrics.hub_subscriptions.set(total)

    async def _check_room(self, request: HubRequest) -> None:
        total, at_host, topics = await self._subscriptions.counts(request.host)
        reached = ""
        if total >= self._limits.subscriptions:
            reached = f"the hub has {self._limits.subscriptions} subscriptions, the maximum"
        elif at_host >= self._limits.per_host:
            reached = f"the host of this callback has {self._limits.per_host} subscriptions, the maximum"
        elif topics >= self._limits.topics and not await self._subscriptions.is_topic(request.topic):
            reached = f"the hub has subscriptions of {self._limits.topics} topics, the maximum"
        if reached and await self._subscriptions.get(request.topic, request.callback) is None:  # not a renewal
            raise HubFullError(reached)

    async def _process(self, request: HubRequest, before: "asyncio.Task[None] | None") -> None:
        result = "failed"
        try:
            if before is not None:
                await asyncio.wait([before])
            await self._slots.acquire(request.host)
            try:
                result = await self._verify(request)
            finally:
                self._slots.release()
        except (RedisError, OSError) as error:
            log.warning("a request to the hub was not verified", extra={"reason": str(error)})
        finally:
            self._settle(request)
            metrics.hub_verifications.labels(request.mode.value, result).inc()

    async def _verify(self, request: HubRequest) -> str:
        """Verify a request and do what it asks for; return the result for the metrics."""
        etag: str | None = None
        if request.mode is Mode.SUBSCRIBE and not await self._subscriptions.is_topic(request.topic):
            try:
                feed = await self._fetcher.fetch(request.topic)
                etag = feed.etag if feed is not None else None
            except NotAFeedError as error:
                await self._verification.deny(request.callback, request.sent_topic, str(error))
                return "denied"
            except FeedUnavailableError as error:  # then its content is pushed once it can be fetched
                log.warning("a feed cannot be fetched", extra={"topic": request.topic, "reason": str(error)})
        if not await self._verification.confirms(request):
            return "failed"
        if request.mode is Mode.UNSUBSCRIBE:
            await self._subscriptions.remove(request.topic, request.callback)
            return "verified"
        expires_at = self._clock() + request.lease_seconds
        sent_topic = request.sent_topic if request.sent_topic != request.topic else None
        subscription = HubSubscription(request.topic, request.callback, expires_at, request.secret, sent_topic)
        await self._subscriptions.put(subscription, etag)
        self._on_subscribed()
        return "verified"

    async def _deny(self, callback: str, topic: str, reason: str) -> None:
        async with self._denials:
            await self._verification.deny(callback, topic, reason)

    def _settle(self, request: HubRequest) -> None:
        self._pending[request.host] -= 1
        if not self._pending[request.host]:
            del self._pending[request.host]

    def _forget(self, subscription: tuple[str, str], task: "asyncio.Task[None]") -> None:
        if self._last.get(subscription) is task:
            del self._last[subscription]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

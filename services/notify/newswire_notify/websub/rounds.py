"""Pushing one topic: first to all subscribers once, then again to those that were slow or failed.

The first pass has a pool of slots that slow subscribers do not use, and topics take turns at it. So a slow subscriber delays
neither other subscribers nor the next update. Nothing but the latest content is pushed: a feed holds what earlier ones held.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from newswire.concurrency.fair_slots import FairSlots
from newswire.observability import metrics
from newswire_notify.websub.models import Feed, HubSubscription, PushResult
from newswire_notify.websub.pushing import Pusher
from newswire_notify.websub.repository import HubSubscriptions

log = logging.getLogger(__name__)

RETRY_DELAYS_SECONDS = (2.0, 10.0)
"""The pauses before the second and the third attempt. After that the update is dropped, never the subscription."""
SLOW_SHARE = 4
"""Slow subscribers share additional slots: one for every so many."""
MAX_NAP_SECONDS = 0.5
FIRST_BATCH, BATCH = 4, 64
"""Subscriptions whose pushes are signed together."""


@dataclass(slots=True)
class _Waiting:
    """A push that is repeated, or waits for its slow subscriber."""

    failures: int
    due: float
    """By the event loop's clock."""


class TopicRound:
    """The pushes of one topic in this process."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.running = False
        """Whether it is being claimed or fetched, or pushed for the first time."""
        self.feed: Feed | None = None
        """The latest content."""
        self.in_flight: set[str] = set()
        """Callbacks with a push in flight."""
        self.waiting: dict[str, _Waiting] = {}
        self.retrying = False
        self.unfinished = False
        """Whether the first pass did not reach all subscribers."""
        self.releasing = False
        """Whether its end is being stored."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.running or self.in_flight or self.waiting or self.retrying)

    @property
    def held_bytes(self) -> int:
        """The size of the content that is kept for waiting pushes only."""
        return len(self.feed.body) if self.feed is not None and self.waiting and not self.running else 0

    def drop_waiting(self) -> None:
        """Drop this update for those that have not received it."""
        metrics.hub_pushes.labels("dropped").inc(len(self.waiting))
        self.waiting.clear()


class RoundPusher:
    """Pushes the rounds of all topics with a bounded number of requests in flight."""

    def __init__(
        self,
        subscriptions: HubSubscriptions,
        pusher: Pusher,
        *,
        concurrency: int,
        on_ended: Callable[[TopicRound], None],
        retry_delays: tuple[float, ...] = RETRY_DELAYS_SECONDS,
    ) -> None:
        self._subscriptions = subscriptions
        self._pusher = pusher
        self._slots = FairSlots(concurrency)
        self._slow_slots = FairSlots(max(concurrency // SLOW_SHARE, 1))
        self._on_ended = on_ended
        self._retry_delays = retry_delays
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def push_all(self, current: TopicRound, feed: Feed, pages: AsyncIterator[list[HubSubscription]]) -> None:
        """Push to every subscriber once, except slow ones, which follow on their own; return once all are on their way.

        ``pages``: all subscriptions.
        """
        current.feed = feed
        async for batch in self._batches(current, pages):
            headers = await self._pusher.headers(batch, feed)
            for subscription, each in zip(batch, headers, strict=True):
                await self._slots.acquire(current.topic)
                attempt = self._attempt(current, subscription, feed, each, 0, self._slots)
                self._start(attempt, current, subscription.callback)
        self._retry_waiting(current)

    async def _batches(
        self, current: TopicRound, pages: AsyncIterator[list[HubSubscription]]
    ) -> AsyncIterator[list[HubSubscription]]:
        """Yield those that are pushed to now, a few at first: each batch is signed while the one before is pushed."""
        seen: set[str] = set()
        batch: list[HubSubscription] = []
        size = FIRST_BATCH
        async for page in pages:
            for subscription in page:
                callback = subscription.callback
                if callback in seen:
                    continue
                seen.add(callback)
                if callback in current.in_flight or self._pusher.is_slow(callback):
                    current.waiting[callback] = _Waiting(0, 0.0)
                    continue
                current.waiting.pop(callback, None)
                batch.append(subscription)
                if len(batch) == size:
                    yield batch
                    batch, size = [], BATCH
        if batch:
            yield batch
        for callback in current.waiting.keys() - seen:  # unsubscribed, or lapsed
            del current.waiting[callback]

    async def close(self) -> None:
        """Cancel all pushes, and start no others."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None], current: TopicRound, callback: str | None = None) -> None:
        if callback is not None:
            current.in_flight.add(callback)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attempt(
        self,
        current: TopicRound,
        subscription: HubSubscription,
        feed: Feed,
        headers: Mapping[str, str],
        failures: int,
        slots: FairSlots,
    ) -> None:
        callback = subscription.callback
        try:
            result = await self._pusher.push(subscription, feed, headers)
            metrics.hub_pushes.labels(result.value).inc()
        finally:
            slots.release()
            current.in_flight.discard(callback)
            if current.waiting:  # it may have waited for this one
                self._retry_waiting(current)
        if result is PushResult.GONE:
            await self._end(subscription)
        elif result is PushResult.FAILED and callback not in current.waiting:
            self._retry_later(current, callback, failures)
        if current.ended:
            self._on_ended(current)

    async def _attempt_again(
        self, current: TopicRound, subscription: HubSubscription, feed: Feed, failures: int
    ) -> None:
        [headers] = await self._pusher.headers([subscription], feed)
        await self._attempt(current, subscription, feed, headers, failures, self._slow_slots)

    async def _end(self, subscription: HubSubscription) -> None:
        try:
            await self._subscriptions.remove(subscription.topic, subscription.callback)
        except (RedisError, OSError) as error:  # the next push ends it
            log.warning("a subscription was not removed", extra={"reason": str(error)})

    def _retry_later(self, current: TopicRound, callback: str, failures: int) -> None:
        if failures >= len(self._retry_delays):
            metrics.hub_pushes.labels("dropped").inc()
            return
        due = asyncio.get_running_loop().time() + self._retry_delays[failures]
        current.waiting[callback] = _Waiting(failures + 1, due)
        self._retry_waiting(current)

    def _retry_waiting(self, current: TopicRound) -> None:
        if current.waiting and not current.retrying and not self._closed:
            current.retrying = True
            self._start(self._push_waiting(current), current)

    async def _push_waiting(self, current: TopicRound) -> None:
        try:
            while current.waiting:
                try:
                    started = await self._push_due(current)
                except (RedisError, OSError) as error:
                    log.warning("subscriptions cannot be read", extra={"reason": str(error)})
                    started = False
                if not started:
                    await asyncio.sleep(self._nap(current))
        finally:
            current.retrying = False
        if current.ended:
            self._on_ended(current)

    async def _push_due(self, current: TopicRound) -> bool:
        """Push to those whose time has come; return whether there were any."""
        now = asyncio.get_running_loop().time()
        ready = [callback for callback, each in current.waiting.items() if each.due <= now]
        started = False
        for callback in ready:
            if callback in current.in_flight:
                continue
            await self._slow_slots.acquire(current.topic)
            subscription = await self._subscription(current.topic, callback)
            waiting = current.waiting.pop(callback, None)
            if subscription is None or waiting is None or current.feed is None or callback in current.in_flight:
                self._slow_slots.release()
                continue
            started = True
            attempt = self._attempt_again(current, subscription, current.feed, waiting.failures)
            self._start(attempt, current, callback)
        return started

    async def _subscription(self, topic: str, callback: str) -> HubSubscription | None:
        try:
            return await self._subscriptions.get(topic, callback)
        except BaseException:
            self._slow_slots.release()
            raise

    def _nap(self, current: TopicRound) -> float:
        now = asyncio.get_running_loop().time()
        next_due = min((each.due for each in current.waiting.values()), default=now)
        return min(max(next_due - now, 0.05), MAX_NAP_SECONDS)

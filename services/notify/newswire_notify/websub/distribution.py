"""Content distribution: claims topics that may have changed, fetches their feeds, and pushes those that have."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause
from newswire.observability import metrics
from newswire_notify.websub.changed_topics import CLAIM_MS, ChangedTopics, ClaimedTopic
from newswire_notify.websub.feed_fetching import FeedFetcher, FeedUnavailableError, NotAFeedError
from newswire_notify.websub.pushing import Pusher
from newswire_notify.websub.repository import HubSubscriptions
from newswire_notify.websub.rounds import RETRY_DELAYS_SECONDS, RoundPusher, TopicRound

log = logging.getLogger(__name__)

MIN_FETCH_INTERVAL_SECONDS = 1.0
"""A topic is fetched at once, and then no sooner than after so long: a burst of articles makes two fetches."""
MAX_CONCURRENT_ROUNDS = 8
MAX_HELD_BYTES = 64 * 1024 * 1024
"""Content kept for retries and slow subscribers. Beyond it, the oldest of these updates are dropped."""
POLL_SECONDS = 1.0
"""Topics that another process marked, or abandoned, are found after so long."""

Revoke = Callable[[str, str], Awaitable[None]]


class Distribution:
    """The distribution of one process. ``revoke(topic, reason)`` denies all subscriptions of a topic."""

    def __init__(
        self,
        subscriptions: HubSubscriptions,
        changed: ChangedTopics,
        fetcher: FeedFetcher,
        pusher: Pusher,
        *,
        concurrency: int,
        revoke: Revoke,
        min_interval: float = MIN_FETCH_INTERVAL_SECONDS,
        retry_delays: tuple[float, ...] = RETRY_DELAYS_SECONDS,
    ) -> None:
        self._subscriptions = subscriptions
        self._changed = changed
        self._fetcher = fetcher
        self._revoke = revoke
        self._min_interval = min_interval
        self._rounds = RoundPusher(
            subscriptions, pusher, concurrency=concurrency, on_ended=self._round_ended, retry_delays=retry_delays
        )
        self._current: dict[str, TopicRound] = {}
        """The topics that this process has claimed."""
        self._fetched_at: dict[str, float] = {}
        self._running = 0
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._work = asyncio.Event()

    def wake(self) -> None:
        """Look for changed topics now."""
        self._work.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Distribute until stopping is set. What is unfinished then is done by the next process, from the beginning."""
        failures = 0
        renewed = asyncio.get_running_loop().time()
        waiting_for_stop = asyncio.create_task(stopping.wait())
        waiting_for_stop.add_done_callback(lambda _: self._work.set())
        try:
            while not stopping.is_set():
                self._work.clear()
                try:
                    if asyncio.get_running_loop().time() - renewed > CLAIM_MS / 1000 / 3:
                        await self._changed.renew(self._current)
                        renewed = asyncio.get_running_loop().time()
                    wait = await self._start_rounds()
                    failures = 0
                except (RedisError, OSError) as error:
                    log.warning("the hub cannot look for changed feeds", extra={"reason": str(error)})
                    await pause(stopping, delay_after(failures))
                    failures += 1
                    continue
                await pause(self._work, wait)
        finally:
            waiting_for_stop.cancel()
            await self._stop()

    async def _start_rounds(self) -> float:
        """Claim and start as many topics as there is room for; return the seconds until to look again."""
        now = asyncio.get_running_loop().time()
        wait = POLL_SECONDS
        self._fetched_at = {topic: at for topic, at in self._fetched_at.items() if now - at < self._min_interval}
        for topic in await self._changed.due(self._current):
            if self._running >= MAX_CONCURRENT_ROUNDS:
                return POLL_SECONDS  # the end of a round wakes
            current = self._current.get(topic)
            if current is not None and current.running:
                continue
            if topic in self._fetched_at:
                wait = min(wait, max(self._fetched_at[topic] + self._min_interval - now, 0.01))
                continue
            claimed = await self._changed.claim(topic, own=current is not None)
            if claimed is None:
                continue
            current = self._current.setdefault(topic, TopicRound(topic))
            current.running = True
            self._running += 1
            self._fetched_at[topic] = now
            self._spawn(self._round(current, claimed))
        return wait

    async def _round(self, current: TopicRound, claimed: ClaimedTopic) -> None:
        topic = current.topic
        current.unfinished = True
        try:
            await self._fetch_and_push(current, claimed)
            current.unfinished = False
        except (RedisError, OSError) as error:
            log.warning("a feed is not pushed now", extra={"topic": topic, "reason": str(error)})
        finally:
            current.running = False
            self._running -= 1
            self._work.set()
            if current.ended or current.unfinished:
                self._round_ended(current)

    async def _fetch_and_push(self, current: TopicRound, claimed: ClaimedTopic) -> None:
        topic = current.topic
        if not claimed.has_subscriptions:
            return
        try:
            known = current.feed.etag if current.feed is not None else claimed.etag
            feed = await self._fetcher.fetch(topic, known)
            if feed is not None:
                self._drop_excess(current, len(feed.body))
                pages = self._subscriptions.pages(topic)
                # The ETag is forgotten before the first push, and meanwhile the first page is read.
                first, _ = await asyncio.gather(anext(pages), self._changed.forget_etag(topic))
                await self._rounds.push_all(current, feed, first, pages)
        except NotAFeedError as error:
            log.warning("a topic of the hub is no public feed", extra={"topic": topic, "reason": str(error)})
            await self._revoke(topic, str(error))
        except FeedUnavailableError as error:
            log.warning("a feed cannot be fetched", extra={"topic": topic, "reason": str(error)})
            metrics.hub_pushes.labels("unavailable").inc()
            await self._changed.mark([topic], delay=error.retry_after)

    def _round_ended(self, current: TopicRound) -> None:
        if self._stopping or self._current.get(current.topic) is not current:
            return
        del self._current[current.topic]
        if current.unfinished:  # its claim ends by itself: then the topic is queued again, and pushed to all
            current.waiting.clear()
        else:
            self._spawn(self._release(current))

    async def _release(self, current: TopicRound) -> None:
        etag = current.feed.etag if current.feed is not None else None
        try:
            await self._changed.release(current.topic, etag=etag)
        except (RedisError, OSError) as error:  # the claim ends by itself, and the topic is pushed once more
            log.warning("the end of a round was not stored", extra={"topic": current.topic, "reason": str(error)})

    def _drop_excess(self, current: TopicRound, size: int) -> None:
        held = sum(each.held_bytes for each in self._current.values()) + size
        for each in list(self._current.values()):
            if held <= MAX_HELD_BYTES:
                return
            if each is not current and each.held_bytes:
                held -= each.held_bytes
                each.drop_waiting()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._rounds.close()
        for topic in list(self._current):
            try:
                await self._changed.give_back(topic)
            except (RedisError, OSError) as error:  # its claim ends by itself
                log.warning("a topic was not given back", extra={"topic": topic, "reason": str(error)})
        self._current.clear()

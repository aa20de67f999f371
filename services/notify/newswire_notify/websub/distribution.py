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
        self._open = False
        """Whether topics may be claimed."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._releases: set[asyncio.Task[None]] = set()
        self._claiming = asyncio.Lock()
        self._work = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Look for changed topics now."""
        self._work.set()

    async def index_changed(self) -> None:
        """Queue all topics, and start on as many as there is room for; what is queued survives the end of this process."""
        await self._start_rounds(mark_all=True)

    async def run(self, stopping: asyncio.Event) -> None:
        """Distribute until stopping is set. What is unfinished then is done by the next process, from the beginning."""
        failures = 0
        renewed = asyncio.get_running_loop().time()
        waiting_for_stop = asyncio.create_task(stopping.wait())
        waiting_for_stop.add_done_callback(lambda _: self._work.set())
        self._open = True
        try:
            while not stopping.is_set():
                self._work.clear()
                try:
                    if asyncio.get_running_loop().time() - renewed > CLAIM_MS / 1000 / 3:
                        await self._changed.renew(self._current)
                        renewed = asyncio.get_running_loop().time()
                    if self._running < MAX_CONCURRENT_ROUNDS:  # the end of a round wakes
                        await self._start_rounds()
                    failures = 0
                except (RedisError, OSError) as error:
                    log.warning("the hub cannot look for changed feeds", extra={"reason": str(error)})
                    await pause(stopping, delay_after(failures))
                    failures += 1
                    continue
                await pause(self._work, POLL_SECONDS)
        finally:
            waiting_for_stop.cancel()
            await self._stop()

    async def _start_rounds(self, *, mark_all: bool = False) -> None:
        """Claim and start as many topics as there is room for. ``mark_all``: first queue all."""
        async with self._claiming:
            now = asyncio.get_running_loop().time()
            self._fetched_at = {topic: at for topic, at in self._fetched_at.items() if now - at < self._min_interval}
            idle = [each for each in self._current.values() if not (each.running or each.releasing)]
            busy = [topic for topic, each in self._current.items() if each.running or each.releasing]
            for each in idle:
                each.running = True  # it must not end while it is being claimed again
            try:
                claims = await self._changed.claim(
                    MAX_CONCURRENT_ROUNDS - self._running if self._open else 0,
                    mark_all=mark_all,
                    own=[each.topic for each in idle],
                    skip={*busy, *self._fetched_at},
                )
            finally:
                for each in idle:
                    each.running = False
            for claimed in claims.claimed:
                await self._start(claimed, now)
            for each in idle:
                if each.ended:
                    self._round_ended(each)
            for topic in claims.skipped:
                if topic in self._fetched_at:  # the end of a round wakes
                    self._look_again(self._fetched_at[topic] + self._min_interval)

    async def _start(self, claimed: ClaimedTopic, now: float) -> None:
        if not self._open:  # it was closed meanwhile
            await self._changed.give_back(claimed.topic, forget_etag=False)
            return
        current = self._current.setdefault(claimed.topic, TopicRound(claimed.topic))
        current.running = True
        self._running += 1
        self._fetched_at[claimed.topic] = now
        self._spawn(self._round(current, claimed), self._tasks)

    def _look_again(self, at: float) -> None:
        """Wake at a time of the event loop's clock, unless an earlier one is set."""
        if self._timer is not None and self._timer.when() <= at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer = None
        self._work.set()

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
            if self._running == MAX_CONCURRENT_ROUNDS:
                self._work.set()
            self._running -= 1
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
                await self._rounds.push_all(current, feed, self._subscriptions.pages(topic))
        except NotAFeedError as error:
            log.warning("a topic of the hub is no public feed", extra={"topic": topic, "reason": str(error)})
            await self._revoke(topic, str(error))
        except FeedUnavailableError as error:
            log.warning("a feed cannot be fetched", extra={"topic": topic, "reason": str(error)})
            metrics.hub_pushes.labels("unavailable").inc()
            await self._changed.mark([topic], delay=error.retry_after)

    def _round_ended(self, current: TopicRound) -> None:
        if not self._open or self._current.get(current.topic) is not current or current.releasing:
            return
        if current.unfinished:  # its claim ends by itself: then the topic is queued again, and pushed to all
            del self._current[current.topic]
            current.waiting.clear()
        else:
            current.releasing = True
            self._spawn(self._release(current), self._releases)

    async def _release(self, current: TopicRound) -> None:
        etag = current.feed.etag if current.feed is not None else None
        try:
            await self._changed.release(current.topic, etag=etag)
        except (RedisError, OSError) as error:  # the claim ends by itself, and the topic is pushed once more
            log.warning("the end of a round was not stored", extra={"topic": current.topic, "reason": str(error)})
        finally:
            del self._current[current.topic]
            self._work.set()  # it may have been queued meanwhile

    def _drop_excess(self, current: TopicRound, size: int) -> None:
        held = sum(each.held_bytes for each in self._current.values()) + size
        for each in list(self._current.values()):
            if held <= MAX_HELD_BYTES:
                return
            if each is not current and each.held_bytes:
                held -= each.held_bytes
                each.drop_waiting()

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: "set[asyncio.Task[None]]") -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _stop(self) -> None:
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._rounds.close()
        await asyncio.gather(*self._releases)
        for topic, current in self._current.items():
            try:
                await self._changed.give_back(topic, forget_etag=current.feed is not None)
            except (RedisError, OSError) as error:  # its claim ends by itself
                log.warning("a topic was not given back", extra={"topic": topic, "reason": str(error)})
        self._current.clear()

"""The fan-out consumer: from an event to the deliveries of its recipients.

An event is handled once its plan is stored. Deliveries beyond the first chunk are left to `Expansion`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from redis.asyncio import Redis

from newswire.asyncapi import ArticleBatch
from newswire.concurrency.offload import Deadline, Offload, OffloadError
from newswire.cost_limits import INLINE_TEXT_BYTES
from newswire.events import ArticlePublished, ArticleRetracted
from newswire.filters import ArticleFeatures
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.messages import DependencyUnavailableError, Message
from newswire.storage.disk_erasure import note_erasure
from newswire.storage.memory_guard import MemoryGuard
from newswire.text.analysis import language_of
from newswire_notify.deliveries.models import ExpandedEvent, ExpansionProgress, PlannedEvent
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.worker import Worker
from newswire_notify.fanout.expansion import CHUNK, announce
from newswire_notify.fanout.matcher import Matcher
from newswire_notify.webhooks.rendering import envelope

ANALYSIS_SECONDS = 60.0
"""Time limit for one article, whose text is at most 1 MiB. A batch that takes longer on a busy machine is retried."""
FAN_OUT_BATCH_SIZE = 16
"""Events per round trip."""


MAX_BATCH_RECORDS = 200
"""Fewer than other consumers read: matching an event and enqueuing its deliveries may take long."""

Then = Callable[[Sequence[Message], Mapping[str, ArticleFeatures]], Awaitable[None]]


def subscribe(broker: EventBroker, fan_out: "FanOut", memory: MemoryGuard) -> None:
    """Subscribe the fan-out to the article events of a broker.

    Events wait while the delivery Redis is full: its queued deliveries can still be sent, which frees memory.
    """

    @broker.subscriber(stream=broker.subscription(max_records=MAX_BATCH_RECORDS), title="articles_notify")
    async def take(batch: ArticleBatch) -> None:
        """Notify enqueues the deliveries to subscribers."""
        if memory.full is not None:
            raise DependencyUnavailableError(memory.full)
        await fan_out(batch)


class FanOut:
    """Handles batches of the article stream. Handling a batch again changes nothing."""

    def __init__(
        self,
        matcher: Matcher,
        queue: Queue,
        records: "Redis",
        broker: EventBroker,
        keys: Keyspace,
        *,
        clock: Callable[[], float],
        workers: Sequence[Worker] = (),
        on_unfinished: Callable[[], None] = lambda: None,
        then: Then | None = None,
        chunk: int = CHUNK,
    ) -> None:
        """``then`` handles the same events afterwards, with the features of long articles by entry id."""
        self._then = then
        self._matcher = matcher
        self._queue = queue
        self._records = records
        self._broker = broker
        self._keys = keys
        self._clock = clock
        self._workers = workers
        self._on_unfinished = on_unfinished
        self._chunk = chunk
        self._analysing = Offload("fan-out", workers=1)

    async def __call__(self, batch: Sequence[Message]) -> None:
        """Enqueue the deliveries of every event of a batch."""
        items = [item for item in batch if isinstance(item.payload, ArticlePublished | ArticleRetracted)]
        published = (item.payload for item in items if isinstance(item.payload, ArticlePublished))
        await self._matcher.prepare({language_of(article.language) for article in published})
        for at in range(0, len(items), FAN_OUT_BATCH_SIZE):
            chosen = items[at : at + FAN_OUT_BATCH_SIZE]
            features = await self._analysed(chosen)
            await self._fan_out(chosen, features)
            if self._then is not None:
                await self._then(chosen, features)

    async def _analysed(self, items: Sequence[Message]) -> dict[str, ArticleFeatures]:
        """Analyse long articles off the event loop; return their features by entry id."""
        features = {}
        for item in items:
            article = item.payload
            if isinstance(article, ArticlePublished) and not article.silent and len(article.text) > INLINE_TEXT_BYTES:
                try:
                    features[item.entry_id] = await self._analysing.run(partial(_analyse, article), ANALYSIS_SECONDS)
                except OffloadError as error:
                    raise DependencyUnavailableError("a long article could not be analysed in time") from error
        return features

    async def _fan_out(self, items: Sequence[Message], features: Mapping[str, ArticleFeatures]) -> None:
        """Plan several events in one round trip, which also enqueues the first chunk of each.

        Events are matched again where a filter has changed since.
        """
        while items:
            plans = [self._plan(item, features.get(item.entry_id)) for item in items]
            planned = await self._begin(plans)
            decided = [(plan, got) for (plan, _), got in zip(plans, planned, strict=True) if got is not None]
            if any(got.left for _, got in decided):
                self._on_unfinished()
            # By id, because a batch may contain an event twice.
            whole = {
                plan.id: ExpandedEvent(plan.id, plan.envelope, plan.article, plan.version, got)
                for plan, got in decided
                if not got.left and not got.announced
            }
            if any(plan.retracted for plan, _ in decided):
                await note_erasure(self._records, self._keys)  # of the data in deliveries
            await announce(self._broker, self._keys, self._queue, list(whole.values()), self._clock())
            items = [item for item, got in zip(items, planned, strict=True) if got is None]
            if items:
                await self._matcher.catch_up()

    async def _begin(self, plans: Sequence[tuple[PlannedEvent, Sequence[str]]]) -> list[ExpansionProgress | None]:
        """Plan events, and claim deliveries for an idle worker in the same round trip, so that it sends them at once."""
        worker = max(self._workers, key=lambda each: each.free_slots, default=None)
        slots = worker.reserve() if worker else 0
        claimed = None
        try:
            planned, claimed = await self._queue.plan_and_claim(
                plans, self._matcher.changes, self._chunk, lease=worker.lease if worker else 0.0, limit=slots
            )
        finally:
            if worker:
                worker.take(claimed, slots)
        if len(claimed.deliveries) == slots and any(got.enqueued for got in planned if got):
            for each in self._workers:
                each.wake()
        if claimed.deliveries:
            await asyncio.sleep(0)  # let the worker send before anything else runs
        return planned

    def _plan(self, item: Message, features: ArticleFeatures | None) -> tuple[PlannedEvent, list[str]]:
        payload = item.payload
        if not isinstance(payload, ArticlePublished | ArticleRetracted):
            raise TypeError(f"{item.event.type} is not fanned out")
        retracted = isinstance(payload, ArticleRetracted)
        digests: list[str] = []
        if isinstance(payload, ArticlePublished) and not payload.silent:
            digests = self._matcher.match(payload, features)
        plan = PlannedEvent(
            id=item.event.id,
            type=item.event.type,
            article=payload.id,
            version=payload.version,
            entry_id=item.entry_id,
            retracted=retracted,
            envelope=envelope(item.event, with_data=retracted),
        )
        return plan, digests


def _analyse(article: ArticlePublished, _: Deadline) -> ArticleFeatures:
    features = ArticleFeatures.of(article)
    features.positions  # noqa: B018 (computed here, and kept with them)
    return features

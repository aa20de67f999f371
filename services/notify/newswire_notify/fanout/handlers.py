"""The fan-out consumer: from an event to the deliveries of its recipients.

An event is handled once its plan is stored. Deliveries beyond the first chunk are left to `Expansion`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from redis.asyncio import Redis

from newswire.asyncapi import ArticleBatch
from newswire.concurrency.loop_yielder import LoopYielder
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
from newswire_notify.deliveries.worker import QueueTurn, Worker
from newswire_notify.fanout.expansion import CHUNK, announce, announcement
from newswire_notify.fanout.matcher import Matcher
from newswire_notify.webhooks.rendering import envelope

ANALYSIS_SECONDS = 60.0
"""Time limit for one article, whose text is at most 1 MiB. A batch that takes longer on a busy machine is retried."""
FAN_OUT_BATCH_SIZE = 100
"""Events per round trip."""
MAX_BATCH_RECORDS = 200
"""Fewer than other consumers read: matching an event and enqueuing its deliveries may take long."""

Matched = tuple[PlannedEvent, Sequence[str]]
"""An event, and the digests of the filters that it matches."""


class Then(Protocol):
    """What follows from events beside the deliveries of subscriptions."""

    @property
    def searches_text(self) -> bool:
        """Whether it may analyse the text of an article."""
        ...

    async def __call__(self, items: Sequence[Message], features: Mapping[str, ArticleFeatures]) -> None:
        """Handle events; ``features`` are those of long articles, by entry id."""
        ...


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
        """``then`` handles the same events meanwhile, with the features of long articles by entry id."""
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
        self._announced: list[str] = []
        """Events whose number of deliveries was published since the last call of the queue, which the next one marks."""

    async def __call__(self, batch: Sequence[Message]) -> None:
        """Enqueue the deliveries of every event of a batch."""
        by_id: dict[str, Message] = {}  # a batch may contain an event twice
        for item in batch:
            if isinstance(item.payload, ArticlePublished | ArticleRetracted):
                by_id.setdefault(item.event.id, item)
        items = list(by_id.values())
        published = (item.payload for item in items if isinstance(item.payload, ArticlePublished))
        await self._matcher.prepare({language_of(article.language) for article in published})
        following: list[asyncio.Task[None]] = []
        then: asyncio.Task[None] | None = None
        try:
            for at in range(0, len(items), FAN_OUT_BATCH_SIZE):
                chosen = items[at : at + FAN_OUT_BATCH_SIZE]
                features = await self._analysed(chosen)
                if self._then is not None:
                    then = asyncio.create_task(_in_order(then, self._then, chosen, features))
                    following.append(then)
                if unannounced := await self._fan_out(chosen, features):
                    following.append(asyncio.create_task(self._announce(unannounced)))
        finally:
            # All end before a failure is reported: the batch is handled again then.
            ended = await asyncio.gather(*following, return_exceptions=True)
        for each in ended:
            if each is not None:
                raise each

    async def _announce(self, expanded: Sequence[ExpandedEvent]) -> None:
        """Announce events that were not in the step that planned them, while the next ones are planned."""
        await announce(self._broker, self._keys, expanded, self._clock())
        self._announced += [each.event for each in expanded]

    async def _analysed(self, items: Sequence[Message]) -> dict[str, ArticleFeatures]:
        """Analyse long articles, where a filter searches them, off the event loop; return their features by entry id."""
        features = {}
        for item in items:
            article = item.payload
            if (
                isinstance(article, ArticlePublished)
                and not article.silent
                and len(article.text) > INLINE_TEXT_BYTES
                and (self._matcher.searches_text(article) or (self._then is not None and self._then.searches_text))
            ):
                try:
                    features[item.entry_id] = await self._analysing.run(partial(analyse, article), ANALYSIS_SECONDS)
                except OffloadError as error:
                    raise DependencyUnavailableError("a long article could not be analysed in time") from error
        return features

    async def _fan_out(self, items: Sequence[Message], features: Mapping[str, ArticleFeatures]) -> list[ExpandedEvent]:
        """Plan events, and enqueue the first chunk of each, in as few round trips as possible.

        Events are matched again where a filter has changed since. Returns the events that are to be announced.
        """
        by_id = {item.event.id: item for item in items}
        as_of = self._matcher.changes  # before matching: filters may change meanwhile
        matched = await self._match(items, features)
        whole: list[ExpandedEvent] = []
        while matched:
            planned = await self._begin(matched, as_of)
            refused = [event.id for (event, _), progress in zip(matched, planned, strict=False) if progress is None]
            whole += _expanded(matched, planned)
            matched = matched[len(planned) :]
            if refused:
                await self._matcher.catch_up()
                as_of = self._matcher.changes
                again = [by_id[each] for each in [*refused, *(event.id for event, _ in matched)]]
                matched = await self._match(again, features)
        return whole

    async def _match(self, items: Iterable[Message], features: Mapping[str, ArticleFeatures]) -> list[Matched]:
        """Match events; other tasks run in between."""
        matched, yielder = [], LoopYielder()
        for item in items:
            matched.append(self._plan(item, features.get(item.entry_id)))
            if isinstance(item.payload, ArticlePublished):
                await yielder.add_bytes(len(item.payload.text))
        return matched

    async def _begin(self, matched: Sequence[Matched], as_of: int) -> list[ExpansionProgress | None]:
        """Plan events; settle the results of a worker, and claim deliveries that it sends at once, in the same round trip."""
        worker = max(self._workers, key=lambda each: each.free_slots, default=None)
        turn = worker.reserve() if worker else QueueTurn(0, [])
        claimed, announced = None, tuple(self._announced)  # more may be announced meanwhile
        try:
            planned, claimed = await self._queue.plan_and_claim(
                matched,
                as_of,
                self._chunk,
                ended=turn.results,
                lease=worker.lease if worker else 0.0,
                limit=turn.slots,
                announced=announced,
            )
            self._announced = self._announced[len(announced) :]
        finally:
            if worker:
                worker.take(turn, claimed)
        if any(progress.left for progress in planned if progress):
            self._on_unfinished()
        if any(event.retracted for (event, _), progress in zip(matched, planned, strict=False) if progress):
            await note_erasure(self._records, self._keys)  # of the data in deliveries
        if len(claimed.deliveries) == turn.slots and any(progress.enqueued for progress in planned if progress):
            for each in self._workers:
                each.wake()
        if claimed.deliveries:
            await asyncio.sleep(0)  # let the worker send before anything else runs
        return planned

    def _plan(self, item: Message, features: ArticleFeatures | None) -> Matched:
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
            announcement=announcement(
                item.event.id,
                payload.id,
                payload.version,
                source=item.event.source,
                traceparent=item.event.traceparent,
                now=datetime.fromtimestamp(self._clock(), UTC),
            ),
        )
        return plan, digests


async def _in_order(
    before: "asyncio.Task[None] | None",
    then: Then,
    items: Sequence[Message],
    features: Mapping[str, ArticleFeatures],
) -> None:
    """Do what follows from events, after what follows from those before them."""
    if before is not None:
        await before
    await then(items, features)


def _expanded(matched: Sequence[Matched], planned: Sequence[ExpansionProgress | None]) -> list[ExpandedEvent]:
    """Return the events of which all deliveries are enqueued, and whose number of deliveries was not published yet."""
    return [
        ExpandedEvent(event.id, event.envelope, event.article, event.version, progress)
        for (event, _), progress in zip(matched, planned, strict=False)
        if progress is not None and not progress.left and not progress.announced
    ]


def analyse(article: ArticlePublished, _: Deadline) -> ArticleFeatures:
    """Return the features of an article with its analysed text."""
    features = ArticleFeatures.of(article)
    features.positions, features.joined_terms  # noqa: B018 (computed here, and kept with them)
    return features

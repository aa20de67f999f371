"""The fan-out: from an event to a delivery for everyone who is to be told."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis

from newswire.consume import Received
from newswire.events import FANNED_OUT, FIELD, ArticleFannedOut, ArticlePublished, ArticleRetracted, CloudEvent, event
from newswire.keyspace import Keyspace
from newswire_notify.matcher import Matcher
from newswire_notify.queue import Event, Progress, Queue
from newswire_notify.rendering import envelope

log = logging.getLogger(__name__)

CHUNK = 500
OUTCOMES_KEPT = 10_000


class FanOut:
    """Handles batches of the article stream. May be given the same batch any number of times."""

    def __init__(
        self,
        matcher: Matcher,
        queue: Queue,
        records: "Redis",
        keys: Keyspace,
        *,
        clock: Callable[[], float],
        enqueued: Callable[[], None] = lambda: None,
        chunk: int = CHUNK,
    ) -> None:
        self._matcher = matcher
        self._queue = queue
        self._records = records
        self._keys = keys
        self._clock = clock
        self._enqueued = enqueued
        self._chunk = chunk

    async def __call__(self, batch: Sequence[Received]) -> None:
        """Enqueue the deliveries of every event of a batch."""
        await self._matcher.catch_up()
        for item in batch:
            if isinstance(item.payload, ArticlePublished | ArticleRetracted):
                await self._fan_out(item, item.payload)

    async def _fan_out(self, item: Received, payload: ArticlePublished | ArticleRetracted) -> None:
        retracted = isinstance(payload, ArticleRetracted)
        digests: list[str] = []
        if isinstance(payload, ArticlePublished) and not payload.silent:
            digests = self._matcher.match(payload)
        plan = Event(
            id=item.event.id,
            type=item.event.type,
            article=payload.id,
            version=payload.version,
            entry_id=item.entry_id,
            retracted=retracted,
            envelope=envelope(item.event, with_data=retracted),
        )
        progress = await self._queue.begin(plan, digests, self._chunk)
        while True:
            if progress.enqueued:
                self._enqueued()
            if not progress.left:
                break
            progress = await self._queue.expand(plan.id, self._chunk)
        if not progress.announced:
            await self._announce(item.event, plan, progress)

    async def _announce(self, cause: CloudEvent, plan: Event, progress: Progress) -> None:
        data = ArticleFannedOut(
            id=plan.article,
            version=plan.version,
            event=plan.id,
            matched=progress.matched,
            previously_matched=progress.previously_matched,
        )
        outcome = event(
            FANNED_OUT,
            data,
            id_=f"{plan.id}.fanned_out",
            source=cause.source,
            subject=plan.article,
            time=datetime.fromtimestamp(self._clock(), UTC),
            traceparent=cause.traceparent,
        )
        await self._records.xadd(
            self._keys.outcomes, {FIELD: outcome.to_json()}, maxlen=OUTCOMES_KEPT, approximate=True
        )
        await self._queue.announced(plan.id)

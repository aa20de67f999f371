"""The fan-out: from an event to a delivery for everyone who is to be told."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis

from newswire.consume import Handler, Received, Unavailable
from newswire.events import (
    FANNED_OUT,
    FIELD,
    OUTCOMES_KEPT,
    ArticleFannedOut,
    ArticlePublished,
    ArticleRetracted,
    CloudEvent,
    event,
)
from newswire.keyspace import Keyspace
from newswire.memory import MemoryGuard
from newswire_notify.matcher import Matcher
from newswire_notify.queue import Event, Progress, Queue
from newswire_notify.rendering import envelope

log = logging.getLogger(__name__)

CHUNK = 500
TOGETHER = 16
"""Events that share their round trips."""


def while_there_is_room(handler: Handler, room: MemoryGuard) -> Handler:
    """Hold a handler back while the Redis it writes to is full: what waits there can still be delivered, and makes room."""

    async def handle(batch: Sequence[Received]) -> None:
        if room.full is not None:
            raise Unavailable(room.full)
        await handler(batch)

    return handle


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
        items = [item for item in batch if isinstance(item.payload, ArticlePublished | ArticleRetracted)]
        for at in range(0, len(items), TOGETHER):
            await self._fan_out(items[at : at + TOGETHER])

    async def _fan_out(self, items: Sequence[Received]) -> None:
        """Decide about several events in one round trip, which also enqueues a first share of the deliveries of each."""
        plans = [self._plan(item) for item in items]
        progress = await self._begin(items, plans)
        for at, (plan, _) in enumerate(plans):
            while True:
                if progress[at].enqueued:
                    self._enqueued()
                if not progress[at].left:
                    break
                progress[at] = await self._queue.expand(plan.id, self._chunk)
        fanned_out = zip(items, plans, progress, strict=True)
        # By id, for the same event may stand in a batch twice.
        unannounced = {plan.id: (item.event, plan, got) for item, (plan, _), got in fanned_out if not got.announced}
        await self._announce(list(unannounced.values()))

    async def _begin(self, items: Sequence[Received], plans: list[tuple[Event, list[str]]]) -> list[Progress]:
        """Decide who is told, by the filters as they are at that very moment: matched again where one has changed since."""
        begun = await self._queue.begin(plans, self._matcher.changes, self._chunk // len(plans) or 1)
        progress: list[Progress] = []
        for at, got in enumerate(begun):
            while got is None:
                await self._matcher.catch_up()
                plans[at] = self._plan(items[at])
                [got] = await self._queue.begin([plans[at]], self._matcher.changes, self._chunk)
            progress.append(got)
        return progress

    def _plan(self, item: Received) -> tuple[Event, list[str]]:
        payload = item.payload
        if not isinstance(payload, ArticlePublished | ArticleRetracted):
            raise TypeError(f"{item.event.type} is not fanned out")
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
        return plan, digests

    async def _announce(self, fanned_out: Sequence[tuple[CloudEvent, Event, Progress]]) -> None:
        if not fanned_out:
            return
        async with self._records.pipeline(transaction=False) as pipe:
            for cause, plan, progress in fanned_out:
                outcome = self._outcome(cause, plan, progress)
                pipe.xadd(self._keys.outcomes, {FIELD: outcome.to_json()}, maxlen=OUTCOMES_KEPT, approximate=True)
            await pipe.execute()
        await self._queue.announced([plan.id for _, plan, _ in fanned_out])

    def _outcome(self, cause: CloudEvent, plan: Event, progress: Progress) -> CloudEvent:
        data = ArticleFannedOut(
            id=plan.article,
            version=plan.version,
            event=plan.id,
            matched=progress.matched,
            previously_matched=progress.previously_matched,
        )
        return event(
            FANNED_OUT,
            data,
            id_=f"{plan.id}.fanned_out",
            source=cause.source,
            subject=plan.article,
            time=datetime.fromtimestamp(self._clock(), UTC),
            traceparent=cause.traceparent,
        )

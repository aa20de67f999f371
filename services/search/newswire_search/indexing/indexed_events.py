"""Telling the rest of Newswire, and the metrics, that a version can be found now."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.events import INDEXED, ArticleIndexed, CloudEvent, event
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.messages import DependencyUnavailableError
from newswire.observability import metrics
from newswire_search.index.port import ArticleIndex, Operation, Publish, Retract

log = logging.getLogger(__name__)

MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class IndexedOperation:
    """An operation that the index took."""

    operation: Operation
    published: datetime | None
    measured: bool
    """Whether its latency counts: that of an event handled long ago and delivered again says nothing."""
    announced: bool = True
    """Whether others are told: not where the index held as much before."""


def _now() -> datetime:
    return datetime.now(UTC)


class IndexedEventPublisher:
    """Waits beside the consumer until what was written can be found, so that batches need not wait for a refresh."""

    def __init__(
        self,
        redis: "Redis",
        broker: EventBroker,
        keys: Keyspace,
        index: ArticleIndex,
        source: str,
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._redis = redis
        self._broker = broker
        self._keys = keys
        self._index = index
        self._source = source
        self._clock = clock
        self._queue: asyncio.Queue[IndexedOperation] = asyncio.Queue(maxsize=50 * MOST_AT_ONCE)

    def put(self, indexed: IndexedOperation) -> None:
        """Have an operation announced once a reader can find what it wrote."""
        try:
            self._queue.put_nowait(indexed)
        except asyncio.QueueFull:
            log.warning("an outcome is not announced: too many wait", extra={"article": indexed.operation.id})

    async def run(self, stopping: asyncio.Event) -> None:
        """Announce until stopping is set, then what is left."""
        while True:
            taken = await self._take(stopping)
            if not taken:
                return
            try:
                await self._index.until_visible([item.operation for item in taken])
                await self._announce(taken)
            except (DependencyUnavailableError, RedisError, OSError) as error:
                log.warning("outcomes are not announced", extra={"count": len(taken), "reason": str(error)})

    async def _take(self, stopping: asyncio.Event) -> list[IndexedOperation]:
        """Return what waits, as soon as anything does; nothing once stopping is set and nothing waits."""
        while self._queue.empty():
            if stopping.is_set():
                return []
            try:
                return [await asyncio.wait_for(self._queue.get(), 0.5)]
            except TimeoutError:
                continue
        return [self._queue.get_nowait() for _ in range(min(self._queue.qsize(), MOST_AT_ONCE))]

    async def _announce(self, taken: Sequence[IndexedOperation]) -> None:
        now = self._clock()
        async with self._redis.pipeline(transaction=False) as pipe:
            for item in taken:
                if isinstance(item.operation, Retract):
                    shown = f"{item.operation.id}.{item.operation.version}"
                    pipe.zrem(self._keys.unindexed_retractions, shown)
                if not item.announced:
                    continue
                latency = max((now - item.published).total_seconds(), 0.0) if item.published else 0.0
                metrics.indexed.inc()
                if item.measured and item.published:
                    metrics.publish_to_indexed.observe(latency)
                outcome = self._outcome(item.operation, latency, now)
                await self._broker.publish(outcome, stream=self._keys.outcomes, pipeline=pipe)
            await pipe.execute()

    def _outcome(self, operation: Operation, latency: float, now: datetime) -> CloudEvent:
        published = isinstance(operation, Publish)
        version = f"{operation.id}.{operation.version}"
        name = f"{version}.indexed" if published else f"{version}.unindexed"
        data = ArticleIndexed(
            id=operation.id,
            version=operation.version,
            index=self._index.name,
            latency_ms=round(latency * 1000, 1),
            event=version if published else f"{version}.retracted",
        )
        return event(INDEXED, data, id_=name, source=self._source, subject=operation.id, time=now)

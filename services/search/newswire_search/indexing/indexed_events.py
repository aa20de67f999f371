"""Reports that a version was indexed, on the outcomes stream and in the metrics."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.events import FIELD, INDEXED, event_json
from newswire.keys import Keyspace
from newswire.messaging.messages import DependencyUnavailableError
from newswire.observability import metrics
from newswire_search.index.models import Operation, Publish, Retract
from newswire_search.index.port import ArticleIndex

log = logging.getLogger(__name__)

MAX_EVENTS_PER_BATCH = 1000


@dataclass(frozen=True, slots=True)
class IndexedOperation:
    """An operation that the index accepted."""

    operation: Operation
    event_time: datetime | None
    measured: bool
    """Whether its latency is measured; that of a redelivered event is meaningless."""
    published: bool = True
    """Whether an event is published; not if the index already contained this version."""


def _now() -> datetime:
    return datetime.now(UTC)


class IndexedEventPublisher:
    """Waits in parallel to the consumer until writes are visible, so that batches need not wait for a refresh."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        index: ArticleIndex,
        source: str,
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._index = index
        self._source = source
        self._clock = clock
        self._queue: asyncio.Queue[IndexedOperation] = asyncio.Queue(maxsize=50 * MAX_EVENTS_PER_BATCH)

    def put(self, indexed: IndexedOperation) -> None:
        """Queue an operation; its event is published once searches see it."""
        try:
            self._queue.put_nowait(indexed)
        except asyncio.QueueFull:
            log.warning("an outcome is not published: the queue is full", extra={"article": indexed.operation.id})

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish events until ``stopping`` is set, then those left in the queue."""
        while True:
            batch = await self._take(stopping)
            if not batch:
                return
            try:
                await self._index.until_visible([item.operation for item in batch])
                await self._publish(batch)
            except (DependencyUnavailableError, RedisError, OSError) as error:
                log.warning("outcomes are not published", extra={"count": len(batch), "reason": str(error)})

    async def _take(self, stopping: asyncio.Event) -> list[IndexedOperation]:
        """Return queued operations as soon as there are any; none once ``stopping`` is set and the queue is empty."""
        while self._queue.empty():
            if stopping.is_set():
                return []
            try:
                return [await asyncio.wait_for(self._queue.get(), 0.5)]
            except TimeoutError:
                continue
        return [self._queue.get_nowait() for _ in range(min(self._queue.qsize(), MAX_EVENTS_PER_BATCH))]

    async def _publish(self, batch: Sequence[IndexedOperation]) -> None:
        now = self._clock()
        retracted = [f"{item.operation.id}.{item.operation.version}" for item in batch if _is_retraction(item)]
        async with self._redis.pipeline(transaction=False) as pipe:
            if retracted:
                pipe.zrem(self._keys.unindexed_retractions, *retracted)
            for item in batch:
                if not item.published:
                    continue
                latency = max((now - item.event_time).total_seconds(), 0.0) if item.event_time else 0.0
                metrics.indexed.inc()
                if item.measured and item.event_time:
                    metrics.publish_to_indexed.observe(latency)
                outcome = self._outcome(item.operation, latency, now)
                # FastStream's `publish` writes the same entry, but there is one for each article.
                pipe.execute_command("XADD", self._keys.outcomes, "*", FIELD, outcome)
            await pipe.execute()

    def _outcome(self, operation: Operation, latency: float, now: datetime) -> bytes:
        is_publication = isinstance(operation, Publish)
        version = f"{operation.id}.{operation.version}"
        return event_json(
            INDEXED,
            {
                "id": operation.id,
                "version": operation.version,
                "index": self._index.name,
                "latency_ms": round(latency * 1000, 1),
                "event": version if is_publication else f"{version}.retracted",
            },
            id_=f"{version}.indexed" if is_publication else f"{version}.unindexed",
            source=self._source,
            subject=operation.id,
            time=now,
        )


def _is_retraction(item: IndexedOperation) -> bool:
    return isinstance(item.operation, Retract)

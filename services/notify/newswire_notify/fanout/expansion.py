"""Expansion: events with many recipients are expanded in chunks and take turns, so that none delays the next event.

The fan-out enqueues the first chunk of every event. The rest of its plan is in Redis, and each such event is expanded by one chunk
per turn. No more is enqueued than is soon delivered, so that the queue before the next event stays short. Any number of processes
may expand at the same time.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import orjson
from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause, wait_for_any
from newswire.events import FANNED_OUT, event_json
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.storage.memory_guard import MemoryGuard
from newswire_notify.deliveries.models import ExpandedEvent, ExpansionTurn
from newswire_notify.deliveries.queue import Queue

log = logging.getLogger(__name__)

CHUNK = 500
MAX_DUE_ENDPOINTS = 1000
"""Endpoints with due work that keep all workers busy for a while; with more, expansion pauses."""
QUEUE_FULL_SECONDS, IDLE_SECONDS = 0.02, 0.25
"""Seconds to wait for a shorter queue, and for unfinished events of other processes."""


class Expansion:
    """Expands the plans that the fan-out left unfinished."""

    def __init__(
        self,
        queue: Queue,
        broker: EventBroker,
        keys: Keyspace,
        *,
        clock: Callable[[], float],
        on_enqueued: Callable[[], None] = lambda: None,
        memory: MemoryGuard | None = None,
        chunk: int = CHUNK,
        max_due_endpoints: int = MAX_DUE_ENDPOINTS,
    ) -> None:
        self._queue = queue
        self._broker = broker
        self._keys = keys
        self._clock = clock
        self._on_enqueued = on_enqueued
        self._memory = memory
        self._chunk = chunk
        self._max_due_endpoints = max_due_endpoints
        self._wakeup = asyncio.Event()

    def wake(self) -> None:
        """Check for unfinished plans at once."""
        self._wakeup.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Expand until stopping is set."""
        failures = 0
        while not stopping.is_set():
            try:
                turn = await self.step()
                failures = 0
            except (RedisError, OSError) as error:
                log.warning("cannot expand events", extra={"reason": str(error)})
                await pause(stopping, delay_after(failures))
                failures += 1
                continue
            if turn is ExpansionTurn.QUEUE_FULL:
                await pause(stopping, QUEUE_FULL_SECONDS)
            elif turn is ExpansionTurn.NOTHING_LEFT:
                await self._wait_for_work(stopping)

    async def step(self) -> ExpansionTurn:
        """Expand the next event by one chunk."""
        if self._memory is not None and self._memory.full is not None:
            return ExpansionTurn.QUEUE_FULL
        turn = await self._queue.expand_next(self._chunk, self._max_due_endpoints)
        if isinstance(turn, ExpansionTurn):
            return turn
        if turn.progress.enqueued:
            self._on_enqueued()
        if not turn.progress.left and not turn.progress.announced:
            await announce(self._broker, self._keys, [turn], self._clock())
            await self._queue.mark_announced([turn.event])
        return ExpansionTurn.EXPANDED

    async def _wait_for_work(self, stopping: asyncio.Event) -> None:
        await wait_for_any(stopping, self._wakeup, seconds=IDLE_SECONDS)
        self._wakeup.clear()


async def announce(broker: EventBroker, keys: Keyspace, expanded: Sequence[ExpandedEvent], now: float) -> None:
    """Publish on the outcomes stream how many deliveries events have. The caller marks them as announced."""
    if expanded:
        time = datetime.fromtimestamp(now, UTC)
        await broker.publish_all([_fanned_out(each, time) for each in expanded], keys.outcomes)


def announcement(
    event: str, article: str, version: int, *, source: str, traceparent: str | None, now: datetime
) -> bytes:
    """Return the JSON of the event that says how many deliveries an event has, up to these numbers."""
    said = event_json(
        FANNED_OUT,
        {"id": article, "version": version, "event": event},
        id_=f"{event}.fanned_out",
        source=source,
        subject=article,
        time=now,
        traceparent=traceparent,
    )
    return said.removesuffix(b"}}")


def _fanned_out(expanded: ExpandedEvent, now: datetime) -> bytes:
    cause = orjson.loads(expanded.envelope)
    said = announcement(
        expanded.event,
        expanded.article,
        expanded.version,
        source=cause["source"],
        traceparent=cause.get("traceparent"),
        now=now,
    )
    numbers = expanded.progress
    return b'%s,"matched":%d,"previously_matched":%d}}' % (said, numbers.matched, numbers.previously_matched)

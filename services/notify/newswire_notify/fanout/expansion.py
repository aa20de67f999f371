"""The expansion: large audiences get their deliveries bit by bit, in turns, so that none of them holds up the next event's.

The fan-out enqueues the first chunk of every event; what is left of one stands in Redis, and here each such event gets a chunk
whenever its turn comes. No more is enqueued than is soon delivered: whoever comes next waits behind a short queue. Any number
of processes may expand at the same time.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import orjson
from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause
from newswire.events import FANNED_OUT, ArticleFannedOut, CloudEvent, event
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.storage.memory_guard import MemoryGuard
from newswire_notify.deliveries.queue import ExpandedEvent, ExpansionTurn, Queue

log = logging.getLogger(__name__)

CHUNK = 500
MAX_DUE_ENDPOINTS = 1000
"""So many endpoints with work due are enough: their deliveries keep all workers busy for a moment."""
QUEUE_FULL_SECONDS, IDLE_SECONDS = 0.02, 0.25
"""How long to wait for the queue to become shorter, and for somebody else's large event, in seconds."""


class Expansion:
    """Expands what the fan-out has left."""

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
        """Look at once: something was left."""
        self._wakeup.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Expand until stopping is set."""
        failures = 0
        while not stopping.is_set():
            try:
                turn = await self.step()
                failures = 0
            except (RedisError, OSError) as error:
                log.warning("nothing is expanded", extra={"reason": str(error)})
                await pause(stopping, delay_after(failures))
                failures += 1
                continue
            if turn is ExpansionTurn.QUEUE_FULL:
                await pause(stopping, QUEUE_FULL_SECONDS)
            elif turn is ExpansionTurn.NOTHING_LEFT:
                await self._wait_for_work(stopping)

    async def step(self) -> ExpansionTurn:
        """Give the next event its chunk."""
        if self._memory is not None and self._memory.full is not None:
            return ExpansionTurn.QUEUE_FULL
        turn = await self._queue.take_turn(self._chunk, self._max_due_endpoints)
        if isinstance(turn, ExpansionTurn):
            return turn
        if turn.progress.enqueued:
            self._on_enqueued()
        if not turn.progress.left and not turn.progress.announced:
            await announce(self._broker, self._keys, self._queue, [turn], self._clock())
        return ExpansionTurn.EXPANDED

    async def _wait_for_work(self, stopping: asyncio.Event) -> None:
        wakeup = asyncio.create_task(self._wakeup.wait())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({wakeup, stop}, timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        wakeup.cancel()
        stop.cancel()
        self._wakeup.clear()


async def announce(
    broker: EventBroker, keys: Keyspace, queue: Queue, expanded: Sequence[ExpandedEvent], now: float
) -> None:
    """Say on the stream of outcomes how many deliveries events make, and remember that it was said."""
    if not expanded:
        return
    outcomes = [_fanned_out(each, datetime.fromtimestamp(now, UTC)) for each in expanded]
    await broker.publish_all(outcomes, keys.outcomes)
    await queue.announced([each.event for each in expanded])


def _fanned_out(expanded: ExpandedEvent, now: datetime) -> CloudEvent:
    cause = orjson.loads(expanded.envelope)
    data = ArticleFannedOut(
        id=expanded.article,
        version=expanded.version,
        event=expanded.event,
        matched=expanded.progress.matched,
        previously_matched=expanded.progress.previously_matched,
    )
    return event(
        FANNED_OUT,
        data,
        id_=f"{expanded.event}.fanned_out",
        source=cause["source"],
        subject=expanded.article,
        time=now,
        traceparent=cause.get("traceparent"),
    )

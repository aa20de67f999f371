"""Processor-bound work kept off the event loop: a few threads that clients take turns for, a bounded queue and a deadline.

A thread cannot be killed, so the work that runs here is bounded beforehand (by bytes, by count) and asks its `Deadline` between
two pieces. Work that cannot be bounded beforehand belongs into a process (`newswire.concurrency.worker_process`), which a
thread of this pool waits for. Small work stays on the loop: the way to a thread and back costs about 0.1 ms, and latency is a
feature.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from newswire.concurrency.fair_threads import FairThreads
from newswire.observability import metrics

T = TypeVar("T")

WORKERS = 2
MAX_WAITING = 64
"""Pieces of work that wait for a thread; the next one is refused."""
DEADLINE_SECONDS = 10.0
"""From the request for a piece of work to its end, the waiting included."""


class OffloadError(Exception):
    """A piece of work was not done; nothing of it is left behind. The same request may succeed later."""


class QueueFullError(OffloadError):
    """Too many pieces of work wait already."""


class DeadlineExceededError(OffloadError):
    """The work was not done in time."""


class Deadline:
    """The moment by which a piece of work must be done."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def check(self) -> None:
        """Raise `DeadlineExceededError` when the time is over. Call it between two pieces of a longer work."""
        if time.monotonic() > self._at:
            raise DeadlineExceededError


_current_deadline: contextvars.ContextVar[Deadline | None] = contextvars.ContextVar("newswire.deadline", default=None)


def check_deadline() -> None:
    """Raise `DeadlineExceededError` when the time for the current piece of work is over; elsewhere do nothing.

    For long loops far below the function that was given the `Deadline`.
    """
    deadline = _current_deadline.get()
    if deadline is not None:
        deadline.check()


class Offload:
    """A bounded pool of threads, usable from any event loop of this process."""

    def __init__(self, name: str, workers: int = WORKERS, max_waiting: int = MAX_WAITING) -> None:
        self._name = name
        self._limit = workers + max_waiting
        self._unfinished = 0
        self._counting = threading.Lock()
        self._threads = FairThreads(name, workers)

    async def run(self, work: Callable[[Deadline], T], seconds: float = DEADLINE_SECONDS) -> T:
        """Do some work in a thread and return what it returns.

        Raises:
            QueueFullError: too much work waits.
            DeadlineExceededError: it took too long. It ends at its next `Deadline.check`.
        """
        with self._counting:
            if self._unfinished >= self._limit:
                metrics.offload_rejected.labels(self._name, "queue_full").inc()
                raise QueueFullError
            self._unfinished += 1
        deadline = Deadline(seconds)
        done = self._threads.submit(partial(_unless_late, work, deadline))
        done.add_done_callback(self._finished)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(done)
        except (TimeoutError, DeadlineExceededError):
            metrics.offload_rejected.labels(self._name, "deadline").inc()
            raise DeadlineExceededError from None

    def close(self) -> None:
        """Wait for the work in hand, and stop the threads."""
        self._threads.close()

    def _finished(self, _: object) -> None:
        with self._counting:
            self._unfinished -= 1


def _unless_late(work: Callable[[Deadline], T], deadline: Deadline) -> T:
    deadline.check()  # it may have waited for a thread until now
    _current_deadline.set(deadline)  # in a context of this work's own: `FairThreads.submit` copies it
    return work(deadline)

"""Runs processor-bound work off the event loop: a few threads in which clients take turns, a bounded queue and a deadline.

A thread cannot be killed, so work that runs here must be bounded beforehand (by bytes or count) and must check its `Deadline`
between two parts. Work that cannot be bounded beforehand belongs in a process (`newswire.concurrency.worker_process`), for which
a thread of this pool waits. Small work stays on the event loop: a thread adds about 0.1 ms of latency.
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
"""Maximum number of waiting pieces of work; the next one is rejected."""
DEADLINE_SECONDS = 10.0
"""From the submission of a piece of work to its end, including the wait."""


class OffloadError(Exception):
    """A piece of work was not done, and had no effect. The same request may succeed later."""


class QueueFullError(OffloadError):
    """Too many pieces of work are waiting."""


class DeadlineExceededError(OffloadError):
    """The work was not done in time."""


class Deadline:
    """The moment by which a piece of work must be done."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def check(self) -> None:
        """Raise `DeadlineExceededError` if the time is over. Call it between two parts of long work."""
        if time.monotonic() > self._at:
            raise DeadlineExceededError


_current_deadline: contextvars.ContextVar[Deadline | None] = contextvars.ContextVar("newswire.deadline", default=None)


def check_deadline() -> None:
    """Raise `DeadlineExceededError` if the time of the current piece of work is over; outside of such work, do nothing.

    For long loops far below the function that received the `Deadline`.
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
        """Run a function in a thread and return its result.

        Raises:
            QueueFullError: too much work is waiting.
            DeadlineExceededError: it took too long. It ends at its next `Deadline.check`.
        """
        with self._counting:
            if self._unfinished >= self._limit:
                metrics.offload_rejected.labels(self._name, "queue_full").inc()
                raise QueueFullError
            self._unfinished += 1
        deadline = Deadline(seconds)
        done = self._threads.submit(partial(_before_deadline, work, deadline))
        done.add_done_callback(self._finished)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(done)
        except (TimeoutError, DeadlineExceededError):
            metrics.offload_rejected.labels(self._name, "deadline").inc()
            raise DeadlineExceededError from None

    def close(self) -> None:
        """Wait for the current work, and stop the threads."""
        self._threads.close()

    def _finished(self, _: object) -> None:
        with self._counting:
            self._unfinished -= 1


def _before_deadline(work: Callable[[Deadline], T], deadline: Deadline) -> T:
    deadline.check()  # it may have waited too long for a thread
    _current_deadline.set(deadline)  # in a context of its own: `FairThreads.submit` copies it
    return work(deadline)

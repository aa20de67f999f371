"""A pool of threads in which clients take turns, so that one client's expensive requests do not delay the others.

A single active client uses all threads. While others are active, it uses all but one at a time: a thread cannot be interrupted,
so only a free thread can serve the next client immediately.
"""

import contextvars
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

T = TypeVar("T")

ACTIVE_SECONDS: Final = 30.0
"""How long a client counts as active after its last piece of work."""
OWN_WORK: Final = ""
"""The client name for work of the process itself, such as consuming the stream."""
current_client: Final = contextvars.ContextVar("newswire.client", default=OWN_WORK)
"""The client of the current task: an account, or an address. Set by authentication."""


class FairThreads:
    """A pool of threads. The work of each client is done in order, and clients take turns."""

    def __init__(self, name: str, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._clock = clock
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._lock = threading.Condition()
        self._waiting: OrderedDict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = OrderedDict()
        self._running: Counter[str] = Counter()
        self._last_seen: OrderedDict[str, float] = OrderedDict()

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Submit work for the `current_client`; it runs in the caller's context."""
        done: Future[T] = Future()
        name = current_client.get()
        with self._lock:
            self._note_active(name)
            self._waiting.setdefault(name, deque()).append((done, partial(contextvars.copy_context().run, work)))
            self._start_waiting_work()
        return done

    def close(self) -> None:
        """Wait for all submitted work, and stop the threads."""
        with self._lock:
            self._lock.wait_for(lambda: not self._waiting and not self._running)
        self._threads.shutdown()

    def _note_active(self, name: str) -> None:
        now = self._clock()
        self._last_seen[name] = now
        self._last_seen.move_to_end(name)
        while next(iter(self._last_seen.values())) < now - ACTIVE_SECONDS:
            self._last_seen.popitem(last=False)

    def _start_waiting_work(self) -> None:
        """Give free threads to waiting clients in turn. The caller holds the lock."""
        alone = len(self._last_seen) == 1
        maximum = self._workers if alone else max(1, self._workers - 1)
        while self._running.total() < self._workers:
            name = next((name for name in self._waiting if self._running[name] < maximum), None)
            if name is None:
                return
            turns = self._waiting[name]
            done, work = turns.popleft()
            if turns:
                self._waiting.move_to_end(name)
            else:
                del self._waiting[name]
            self._running[name] += 1
            self._threads.submit(self._do, name, done, work)

    def _do(self, name: str, done: "Future[T]", work: Callable[[], T]) -> None:
        try:
            if done.set_running_or_notify_cancel():
                try:
                    result = work()
                except BaseException as error:  # noqa: BLE001 (raised again when the result is awaited)
                    done.set_exception(error)
                else:
                    done.set_result(result)
        finally:
            with self._lock:
                self._running[name] -= 1
                if not self._running[name]:
                    del self._running[name]
                self._start_waiting_work()
                self._lock.notify_all()

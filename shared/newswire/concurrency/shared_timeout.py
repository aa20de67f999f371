"""A time limit for many pieces of work at once, with one timer for all of them: nearly all end long before."""

import asyncio
from collections.abc import Awaitable
from typing import Any, NamedTuple, TypeVar

ResultT = TypeVar("ResultT")


class _Limited(NamedTuple):
    ends_at: float
    cancelling: int
    """Requests to cancel the task when its limit began, as `asyncio.timeout` counts them."""


class SharedTimeout:
    """Limits each piece of work to the same number of seconds. A task may use it for one piece at a time.

    Work is what a task waits for (`limit`), or a future that nothing waits for (`watch`).
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._limited: dict[asyncio.Future[Any], _Limited] = {}
        """In the order in which the limits end."""
        self._timer: asyncio.TimerHandle | None = None

    async def limit(self, work: Awaitable[ResultT]) -> ResultT:
        """Wait for work, in the current task.

        Raises:
            TimeoutError: it did not end in time, and was cancelled.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine runs in a task)
        limited = self._begin(task, task.cancelling())
        try:
            return await work
        except asyncio.CancelledError as error:
            if task not in self._limited and task.uncancel() <= limited.cancelling:
                raise TimeoutError from error
            raise
        finally:
            self._limited.pop(task, None)

    def watch(self, work: "asyncio.Future[Any]") -> None:
        """Let a future fail with `TimeoutError` unless it is done in time. Its callback forgets it."""
        self._begin(work, 0)

    def forget(self, work: "asyncio.Future[Any]") -> None:
        """Note that a future is done."""
        self._limited.pop(work, None)

    def _begin(self, work: "asyncio.Future[Any]", cancelling: int) -> _Limited:
        loop = asyncio.get_running_loop()
        limited = self._limited[work] = _Limited(loop.time() + self._seconds, cancelling)
        if self._timer is None:
            self._timer = loop.call_at(limited.ends_at, self._expire)
        return limited

    def _expire(self) -> None:
        """End the work whose limit has ended, and wait for the next one."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for work, limited in list(self._limited.items()):
            if limited.ends_at > loop.time():
                self._timer = loop.call_at(limited.ends_at, self._expire)
                return
            del self._limited[work]
            if isinstance(work, asyncio.Task):
                work.cancel()
            elif not work.done():
                work.set_exception(TimeoutError())

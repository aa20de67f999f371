"""A time limit for many pieces of work at once, with one timer for all of them: nearly all end long before."""

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple, TypeVar

ResultT = TypeVar("ResultT")


class _Limited(NamedTuple):
    ends_at: float
    cancelling: int
    """Requests to cancel the task when its limit began, as `asyncio.timeout` counts them."""


class SharedTimeout:
    """Limits each piece of work to the same number of seconds. A task may use it for one piece at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._limited: dict[asyncio.Task[object], _Limited] = {}
        """In the order in which the limits end."""
        self._timer: asyncio.TimerHandle | None = None

    async def limit(self, work: Awaitable[ResultT]) -> ResultT:
        """Wait for work, in the current task.

        Raises:
            TimeoutError: it did not end in time, and was cancelled.
        """
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None  # noqa: S101 (a coroutine runs in a task)
        limited = self._limited[task] = _Limited(loop.time() + self._seconds, task.cancelling())
        if self._timer is None:
            self._timer = loop.call_at(limited.ends_at, self._expire)
        try:
            return await work
        except asyncio.CancelledError as error:
            if task not in self._limited and task.uncancel() <= limited.cancelling:
                raise TimeoutError from error
            raise
        finally:
            self._limited.pop(task, None)

    def _expire(self) -> None:
        """Cancel the tasks whose limit has ended, and wait for the next one."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, limited in list(self._limited.items()):
            if limited.ends_at > loop.time():
                self._timer = loop.call_at(limited.ends_at, self._expire)
                return
            del self._limited[task]
            task.cancel()

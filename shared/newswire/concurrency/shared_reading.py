"""Reads something once for everyone who waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from newswire.concurrency.unawaited_tasks import retrieve_result

T = TypeVar("T")


class SharedReading(Generic[T]):
    """Calls a function once for all who ask at about the same time.

    Who asks while it is being read gets the next reading, because the current one may miss what happened just before.
    """

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        """Read nothing yet. ``read`` has to end in any case, as others wait for it."""
        self._read = read
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """Return what is read from now on."""
        if self._next is None:
            self._next = asyncio.create_task(self._read_next())
            self._next.add_done_callback(retrieve_result)  # all may have left
        return await asyncio.shield(self._next)

    async def _read_next(self) -> T:
        async with self._turn:
            self._next = None  # what is asked for from now on may follow something that this reading misses
            return await self._read()

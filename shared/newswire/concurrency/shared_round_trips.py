"""Sends what concurrent callers ask for together: one round trip and one wake-up for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class SharedRoundTrips(Generic[T, R]):
    """Calls a function for all who wait at the same moment. Who comes during a call gets the next one."""

    def __init__(
        self, send: Callable[[list[T]], Awaitable[Sequence[R | Exception]]], max_items: int | None = None
    ) -> None:
        """Send nothing yet. ``send`` returns a result, or the error to raise, for each item; what it raises goes to all callers."""
        self._send = send
        self._max_items = max_items
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """Return the result for an item."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sender is None or self._sender.done():
            # In a context of its own: the round trip belongs to several callers, each of which may have a span.
            self._sender = asyncio.create_task(self._send_waiting(), context=Context())
        return await answer

    async def _send_waiting(self) -> None:
        while self._waiting:
            end = self._max_items or len(self._waiting)
            sent, self._waiting = self._waiting[:end], self._waiting[end:]
            results: Sequence[R | Exception]
            try:
                results = await self._send([item for item, _ in sent])
            except BaseException as error:
                results = [error if isinstance(error, Exception) else ConnectionError("stopped")] * len(sent)
                if not isinstance(error, Exception):
                    raise
            finally:
                for (_, answer), result in zip(sent, results, strict=True):
                    _settle(answer, result)


def _settle(answer: "asyncio.Future[R]", result: R | Exception) -> None:
    if answer.done():  # the caller was cancelled
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)

"""Batches the function calls of concurrent requests: one round trip to Redis and one wake-up for all of them."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any

from opentelemetry.trace import SpanKind

from newswire.observability import tracing
from newswire.storage.redis_functions import Arguments, Call, FunctionLibrary

MAX_BATCH_CALLS = 64


class CommandBatcher:
    """Calls functions of a library. Each call is atomic by itself; the calls of a batch only share the round trip."""

    def __init__(self, functions: FunctionLibrary) -> None:
        self._functions = functions
        self._waiting: list[tuple[Call, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def call(
        self, function: str, keys: Sequence[str], arguments: Arguments, texts: Sequence[str | bytes] = ()
    ) -> Any:
        """Call a function and return its reply."""
        with _call_span(function):
            return await self.call_in_span(function, keys, arguments, texts)

    async def call_in_span(
        self, function: str, keys: Sequence[str], arguments: Arguments, texts: Sequence[str | bytes] = ()
    ) -> Any:
        """The same for callers whose span says what the call does."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((Call(function, keys, arguments, texts), answer))
        if self._sender is None or self._sender.done():
            # In a context of its own: the round trip belongs to several requests, and each has a span of its call.
            self._sender = asyncio.create_task(self._send(), context=Context())
        return await answer

    async def _send(self) -> None:
        while self._waiting:
            sent, self._waiting = self._waiting[:MAX_BATCH_CALLS], self._waiting[MAX_BATCH_CALLS:]
            try:
                answers = await self._functions.call_all([call for call, _ in sent])
            except BaseException as error:
                for _, answer in sent:
                    if not answer.done():
                        answer.set_exception(error if isinstance(error, Exception) else ConnectionError("stopped"))
                if not isinstance(error, Exception):
                    raise
            else:
                for (_, answer), value in zip(sent, answers, strict=True):
                    _settle(answer, value)


def _call_span(function: str) -> AbstractContextManager[object]:
    if not tracing.is_recording():
        return nullcontext()
    attributes = {"db.system.name": "redis", "db.operation.name": "FCALL", "db.stored_procedure.name": function}
    return tracing.span(f"FCALL {function}", SpanKind.CLIENT, attributes)


def _settle(answer: "asyncio.Future[Any]", value: Any) -> None:
    if answer.done():  # the caller was cancelled
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)

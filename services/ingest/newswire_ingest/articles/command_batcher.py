"""Batches the function calls of concurrent requests: one round trip to Redis and one wake-up for all of them."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry.trace import SpanKind

from newswire.concurrency.shared_round_trips import SharedRoundTrips
from newswire.observability import tracing
from newswire.storage.redis_functions import Arguments, Call

MAX_BATCH_CALLS = 64


class CommandBatcher:
    """Calls functions of a library. Each call is atomic by itself; the calls of a batch only share the round trip."""

    def __init__(self, call_all: Callable[[list[Call]], Awaitable[list[Any]]]) -> None:
        """Call nothing yet. ``call_all`` returns the reply to each call, or its exception."""
        self._calls: SharedRoundTrips[Call, Any] = SharedRoundTrips(call_all, MAX_BATCH_CALLS)

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
        return await self._calls(Call(function, keys, arguments, texts))


def _call_span(function: str) -> AbstractContextManager[object]:
    if not tracing.is_recording():
        return nullcontext()
    attributes = {"db.system.name": "redis", "db.operation.name": "FCALL", "db.stored_procedure.name": function}
    return tracing.span(f"FCALL {function}", SpanKind.CLIENT, attributes)

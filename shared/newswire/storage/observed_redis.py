"""A Redis client whose round trips are measured, and are spans of the request or event that they belong to.

Spans name the command and the function, never keys or values: these may contain texts and secrets.
"""

import time
from functools import cached_property
from typing import Any

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from newswire.observability import metrics, tracing

_WAITING = frozenset(("XREAD", "XREADGROUP"))
"""Commands that wait for events: their duration says nothing about the server, and idle ones would be most of the spans."""


class ObservedPipeline(Pipeline):  # type: ignore[misc] # redis-py counts as untyped, see pyproject.toml
    """A pipeline of an `ObservedRedis`."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute the commands in one round trip."""
        name = "MULTI" if self.is_transaction or self.explicit_transaction else "PIPELINE"
        if not tracing.is_recording():
            return await self._measured(raise_on_error)
        attributes = _attributes(self.connection_pool, name) | {"db.operation.batch.size": len(self.command_stack)}
        with tracing.span(name, SpanKind.CLIENT, attributes):
            return await self._measured(raise_on_error)

    async def _measured(self, raise_on_error: bool) -> list[Any]:
        duration, failures = _metrics_of(self.connection_pool)
        began = time.perf_counter()
        try:
            return await super().execute(raise_on_error)
        except (RedisConnectionError, RedisTimeoutError):
            failures.inc()
            raise
        finally:
            duration.observe(time.perf_counter() - began)


class ObservedRedis(Redis):  # type: ignore[misc]
    """A client of one server, or of the primary that Sentinels or nodes of a cluster name."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute one command."""
        command = args[0]
        if command in _WAITING:
            return await super().execute_command(*args, **options)
        if not tracing.is_recording():
            return await self._measured(*args, **options)
        attributes = _attributes(self.connection_pool, command)
        name = command
        if command == "FCALL":
            name = f"{command} {args[1]}"
            attributes["db.stored_procedure.name"] = args[1]
        with tracing.span(name, SpanKind.CLIENT, attributes):
            return await self._measured(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> ObservedPipeline:
        """Return a pipeline."""
        return ObservedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    async def _measured(self, *args: Any, **options: Any) -> Any:
        duration, failures = self._metrics
        began = time.perf_counter()
        try:
            return await super().execute_command(*args, **options)
        except (RedisConnectionError, RedisTimeoutError):
            failures.inc()
            raise
        finally:
            duration.observe(time.perf_counter() - began)

    @cached_property
    def _metrics(self) -> tuple[Histogram, Counter]:
        return _metrics_of(self.connection_pool)


def _metrics_of(pool: ConnectionPool) -> tuple[Histogram, Counter]:
    """Return the metrics of the server behind a pool, which keeps them: looking them up costs more than observing."""
    found: tuple[Histogram, Counter] | None = getattr(pool, "newswire_metrics", None)
    if found is None:
        server = server_name(pool)
        found = metrics.redis_duration.labels(server), metrics.redis_failures.labels(server)
        pool.newswire_metrics = found
    return found


def server_name(pool: ConnectionPool) -> str:
    """Return how metrics name the server behind a pool."""
    return ":".join(str(part) for part in _server(pool))


def _server(pool: ConnectionPool) -> tuple[str, int] | tuple[str]:
    """Return host and port of the server, the path of its socket, its name among Sentinels, or the hash tag in a cluster."""
    named = pool.connection_kwargs
    if "pool" in named:
        return (str(named["pool"].service),)
    return (
        (str(named["path"]),)
        if "path" in named
        else (str(named.get("host", "localhost")), int(named.get("port", 6379)))
    )


def _attributes(pool: ConnectionPool, operation: str) -> dict[str, str | int]:
    host, *port = _server(pool)
    attributes: dict[str, str | int] = {
        "db.system.name": "redis",
        "db.operation.name": operation,
        "server.address": host,
    }
    return attributes | ({"server.port": port[0]} if port else {})

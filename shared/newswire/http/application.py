"""Builds the HTTP application of one service, or of all of them, and runs its process."""

import asyncio
import contextlib
import inspect
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire import asyncapi, garbage_collection
from newswire.asyncapi import Channel
from newswire.auth.authentication_failures import AuthenticationFailures
from newswire.auth.key_usage import KeyUsageRecorder
from newswire.auth.signed_tokens import SignedTokens
from newswire.concurrency.backoff import delay_after, pause
from newswire.concurrency.fair_slots import FairSlots
from newswire.http import problem_handlers
from newswire.http import templating as pages
from newswire.http.compression import CompressionMiddleware
from newswire.http.connection_limits import ConnectionLimits, ConnectionTracker, allow_open_files
from newswire.http.direct_routes import DirectRoutes
from newswire.http.draining import DrainingServer
from newswire.http.health import Check, Health, Results
from newswire.http.middleware import ResponseMiddleware
from newswire.http.openapi import describe
from newswire.http.operation_ids import operation_id
from newswire.http.problem_handlers import ProblemMakers
from newswire.http.read_limits import ReadLimits
from newswire.http.reference import reference
from newswire.http.replication import ReplicationMiddleware
from newswire.http.server import BoundedProtocol
from newswire.http.standard_routes import EXPENSIVE, standard_routes
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.observability import tracing
from newswire.observability.json_logging import set_levels
from newswire.settings import Settings
from newswire.storage.redis_client import open_redis
from newswire.storage.redis_functions import FunctionLibrary
from newswire.storage.replication import ReplicationBarrier

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
THREAD_SWITCH_SECONDS = 0.001
"""The switch interval of threads: the longest time that a computing thread blocks the event loop. It is a fifth of the default,
because each request takes several turns of the loop and may wait this long in every one."""
MAX_ACCEPTS_PER_TURN = 8
"""Connections accepted in one turn of the event loop. libuv accepts one per listening handle: in a busy process, clients would wait
for seconds behind hundreds of others before their first byte is read. With 32, a storm of new connections makes the turns so long
that it starves all other work."""
_UNTRACED_PATHS = ("/v1/stream", "/portal/live/stream", "/healthz", "/readyz", "/status", "/metrics")
"""A live stream would be a span of hours, and probes would be most of the spans."""

Loop = Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    """The contribution of one service to an app."""

    name: str
    routers: Sequence[APIRouter] = ()
    loops: Mapping[str, Loop] = field(default_factory=dict)
    """Background loops; each runs until its event is set."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """What ``/status`` reports of dependencies and of parts of the service; each returns None if it passes, else the reason."""
    start_checks: Mapping[str, Check] = field(default_factory=dict)
    """What must have passed once before ``/readyz`` reports that the process can answer requests."""
    libraries: Sequence[FunctionLibrary] = ()
    """Redis functions that are loaded at the start; others are with their first call."""
    brokers: Sequence[EventBroker] = ()
    """Brokers that consume streams and publish to them."""
    channels: Sequence[Channel] = ()
    """Further channels for the AsyncAPI document."""
    problems: ProblemMakers = field(default_factory=dict)
    """The problem document of each domain error."""
    warm_ups: Sequence[Callable[[], object]] = ()
    """What a thread loads as soon as the server accepts requests: large, and needed by few of them."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """Entries of the app state for dependencies, by name."""


ServiceFactory = Callable[[], AbstractAsyncContextManager[Service]]


def create_app(services: Sequence[Service], settings: Settings, *, redis: "Redis | None" = None) -> FastAPI:
    """Create the app of these services. ``redis`` is used to look up keys; by default it is the one of the settings."""
    app = FastAPI(
        title="Newswire",
        version="1",
        summary="Publish articles, search them, and subscribe to them.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=_telemetry(),
        generate_unique_id_function=operation_id,
    )
    app.state.settings = settings
    app.state.redis = (
        redis
        if redis is not None
        else open_redis(settings.redis_url.get_secret_value(), settings.namespace, settings.redis_connections)
    )
    app.state.keys = Keyspace(settings.namespace)
    app.state.signed_tokens = SignedTokens.of(app.state.redis, app.state.keys, settings)
    app.state.leaving = asyncio.Event()
    app.state.stopping = asyncio.Event()
    app.state.callers = {}
    app.state.authentication_failures = AuthenticationFailures(settings.authentication_failures)
    app.state.read_limits = ReadLimits(settings)
    app.state.parsing_turns = FairSlots(1)
    app.state.key_usage = KeyUsageRecorder(app.state.redis, app.state.keys)
    problem_handlers.install(app, {kind: make for service in services for kind, make in service.problems.items()})
    service_of_route: dict[str, str] = {}
    for service in services:
        for name, value in service.state.items():
            setattr(app.state, name, value)
        for router in service.routers:
            _add_routes(app, router)
            service_of_route |= {getattr(route, "path", ""): service.name for route in router.routes}
    health = Health(
        {f"{service.name}: {name}": check for service in services for name, check in service.checks.items()},
        {f"{service.name}: {name}": check for service in services for name, check in service.start_checks.items()},
        app.state.leaving,
    )
    app.state.health = health
    names = [service.name for service in services]
    brokers = [broker for service in services for broker in service.brokers]
    channels = [channel for service in services for channel in service.channels]
    app.include_router(standard_routes(app, health, names, lambda: asyncapi.document(brokers, channels)))
    app.include_router(pages.assets)
    app.include_router(reference, dependencies=[EXPENSIVE])
    describe(app, settings.site, channels)
    app.add_middleware(DirectRoutes)
    if settings.redis_min_replicas:
        barrier = ReplicationBarrier(app.state.redis, app.state.keys, settings.redis_min_replicas)
        app.add_middleware(ReplicationMiddleware, barrier=barrier)
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(
        ResponseMiddleware,
        cors_origins=settings.cors_origins,
        secure=settings.public_url.scheme == "https",
        services=service_of_route,
        default_service=services[0].name if len(services) == 1 else "newswire",
    )
    return app


def _add_routes(app: FastAPI, router: APIRouter) -> None:
    """Add the routes of a router as they are.

    `include_router` makes each a second time, at the first request, for prefixes and dependencies that a router is included with.
    These have none, and making a route takes as long as importing a small library.
    """
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    if len(routes) < len(router.routes):
        app.include_router(router)
        return
    for route in routes:
        route.unique_id = route.operation_id or operation_id(route)
    app.router.routes.extend(routes)


def _telemetry() -> TelemetryConfig:
    """Return the framework's telemetry: spans of requests if the process records spans. Newswire has its own metrics and logs."""
    return {
        "tracing": tracing.is_set_up(),  # decided once: the framework would look for a tracer at each request
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "exclude": lambda scope: scope["path"] in _UNTRACED_PATHS or not tracing.is_chosen(scope["headers"]),
    }


async def serve(
    factories: Sequence[ServiceFactory],
    settings: Settings,
    listener: socket.socket,
    *,
    name: str = "newswire",
    started: Callable[[], Awaitable[None] | None] | None = None,
) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT, then close it and shut down streams, consumers and requests gracefully.

    With a ``shutdown_delay`` the process keeps serving requests for that time, while ``/readyz`` is 503. A second signal
    ends the delay, and a third one the requests that are being answered. Live streams and loops are stopped before the
    server waits for connections: an open stream would otherwise keep the server running.

    ``name``: the service that spans name, unless ``OTEL_SERVICE_NAME`` is set.

    Raises:
        OSError: the address cannot be listened on, because another process began to after both were bound.
    """
    set_levels(settings.log_level)
    garbage_collection.collect_rarely()
    tracing.set_up(name)
    with listener:
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(
                open_redis(settings.redis_url.get_secret_value(), settings.namespace, settings.redis_connections)
            )
            services = [await stack.enter_async_context(factory()) for factory in factories]
            app = create_app(services, settings, redis=redis)
            await _run(app, services, settings, listener, started)


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run the main coroutine of a process, on uvloop if it is available."""
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvicorn.Config("", loop="auto", log_config=None).get_loop_factory()) as runner:
        runner.run(serving)


async def _run(
    app: FastAPI,
    services: Sequence[Service],
    settings: Settings,
    listener: socket.socket,
    started: Callable[[], Awaitable[None] | None] | None,
) -> None:
    leaving, stopping = app.state.leaving, app.state.stopping
    connections = ConnectionTracker(ConnectionLimits.of(settings, allow_open_files()), settings.trusted_proxies)
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, tracker=connections, leaving=leaving)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
    )
    server = DrainingServer(config, listener.dup())
    named = {f"{service.name}: {name}": run for service in services for name, run in service.loops.items()}
    named |= {"last uses of keys": app.state.key_usage.run, "connections": connections.run}
    loops = [
        asyncio.create_task(_keep_running(name, run, stopping, app.state.health.loops)) for name, run in named.items()
    ]
    starting = asyncio.create_task(app.state.health.wait_until_started(stopping))
    loading = asyncio.create_task(_load_functions(services))
    delayed = asyncio.create_task(_stop_after(settings.shutdown_delay, leaving, server, stopping))
    with _on_signal(lambda: _leave(leaving, server, stopping)):
        handles = [listener, *(listener.dup() for _ in range(MAX_ACCEPTS_PER_TURN - 1))]  # the server closes them
        serving = asyncio.create_task(server.serve(sockets=handles))
        after_start = asyncio.create_task(_after_start(server, serving, services, started))
        await serving
        stopping.set()
        after_start.cancel()
        delayed.cancel()
        _, late = await asyncio.wait(loops, timeout=DRAIN_SECONDS)
        for task in late:
            log.warning("a background loop did not stop in time", extra={"loop": task.get_name()})
            task.cancel()
        loading.cancel()
        await asyncio.gather(after_start, starting, loading, delayed, *loops, return_exceptions=True)


async def _load_functions(services: Sequence[Service]) -> None:
    """Load functions before the first request or event needs them. What fails here is loaded by its first call."""
    for library in (each for service in services for each in service.libraries):
        try:
            await library.load()
        except (RedisError, OSError) as error:
            log.info("could not load functions into Redis at the start", extra={"reason": str(error)})


async def _after_start(
    server: uvicorn.Server,
    serving: "asyncio.Task[None]",
    services: Sequence[Service],
    started: Callable[[], Awaitable[None] | None] | None,
) -> None:
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    garbage_collection.keep_objects()
    threading.Thread(target=_warm_up, args=(services,), daemon=True).start()
    if started is not None and server.started:
        try:
            result = started()
            if inspect.isawaitable(result):
                await result
        except Exception:
            log.exception("the callback after the start failed")


def _warm_up(services: Sequence[Service]) -> None:
    for warm_up in (each for service in services for each in service.warm_ups):
        warm_up()


async def _keep_running(name: str, run: Loop, stopping: asyncio.Event, states: Results) -> None:
    """Run a loop until stopping is set, and restart it after a pause if it fails."""
    while not stopping.is_set():
        states[name] = None
        begun = time.monotonic()
        try:
            await run(stopping)
        except Exception as error:
            log.exception("a background loop failed and is restarted", extra={"loop": name})
            states[name] = f"failed and is being restarted: {error!r}"[:300]
        else:
            if not stopping.is_set():
                log.error("a background loop ended unexpectedly and is restarted", extra={"loop": name})
                states[name] = "ended unexpectedly and is being restarted"
        if stopping.is_set():
            return
        longest = 1.0 if time.monotonic() - begun > 60 else 5.0
        await pause(stopping, delay_after(0, longest, longest))


async def _stop_after(seconds: float, leaving: asyncio.Event, server: uvicorn.Server, stopping: asyncio.Event) -> None:
    await leaving.wait()
    if not await pause(stopping, seconds):
        _stop(server, stopping)


def _leave(leaving: asyncio.Event, server: uvicorn.Server, stopping: asyncio.Event) -> None:
    if leaving.is_set():
        _stop(server, stopping)
    leaving.set()


def _stop(server: uvicorn.Server, stopping: asyncio.Event) -> None:
    if stopping.is_set():
        server.force_exit = True
    stopping.set()
    server.should_exit = True


@contextlib.contextmanager
def _on_signal(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    taken = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            loop.add_signal_handler(number, stop)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)

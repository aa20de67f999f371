"""Notify on a real server: in the test's process, and in a process of its own."""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import httpx
import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import ServiceFactory, create_app
from newswire.http.connection_limits import ConnectionLimits, ConnectionTracker
from newswire.http.server import BoundedProtocol
from newswire.keys import Keyspace
from newswire_notify.app import service
from newswire_notify.settings import NotifySettings
from tests.cli.running import BARE
from tests.notify.conftest import until
from tests.polling import DEADLINE_SECONDS


@asynccontextmanager
async def served(
    redis: Redis, settings: NotifySettings, *others: ServiceFactory, own_protocol: bool = True
) -> AsyncIterator[tuple[str, FastAPI]]:
    """Serve notify and other services; yield the URL and the app. At the end it is stopped as by a signal.

    ``own_protocol``: whether connections are handled as in production, or by uvicorn alone.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with AsyncExitStack() as stack:
        factories: list[ServiceFactory] = [partial(service, settings), *others]
        services = [await stack.enter_async_context(factory()) for factory in factories]
        app = create_app(services, settings, redis=redis)
        stopping: asyncio.Event = app.state.stopping
        loops = [asyncio.ensure_future(loop(stopping)) for each in services for loop in each.loops.values()]
        tracker = ConnectionTracker(ConnectionLimits.of(settings), settings.trusted_proxies)
        protocol = cast("type[asyncio.Protocol]", partial(BoundedProtocol, tracker=tracker, leaving=asyncio.Event()))
        server = uvicorn.Server(
            uvicorn.Config(app, http=protocol if own_protocol else "auto", lifespan="off", log_config=None, ws="none")
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with httpx.AsyncClient(base_url=url) as http:

                async def ready() -> bool:
                    return server.started and (await http.get("/status")).status_code == 200

                await until(ready)
            yield url, app
        finally:
            stopping.set()
            server.should_exit = True
            await asyncio.wait_for(asyncio.gather(serving, *loops), 60)


@dataclass
class Api:
    """The API of a served notify, with a way to create keys."""

    http: httpx.AsyncClient
    redis: Redis
    keys: Keyspace

    async def key(self, account: str, *scopes: Scope) -> dict[str, str]:
        """Create a key and return the header that sends it."""
        created = await create_key(self.redis, self.keys, account, set(scopes))
        return {"Authorization": f"Bearer {created.token}"}


@asynccontextmanager
async def served_api(redis: Redis, settings: NotifySettings, keys: Keyspace) -> AsyncIterator[Api]:
    """Serve notify and yield its API."""
    async with served(redis, settings) as (url, _), httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as http:
        yield Api(http, redis, keys)


@asynccontextmanager
async def process_of_notify(port: int, environment: dict[str, str], log: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service as operators do, with its output in a file; at the end SIGTERM stops it."""
    async with running_process(port, environment, log) as (_, http):
        yield http


@asynccontextmanager
async def running_process(
    port: int, environment: dict[str, str], log: Path
) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """As `process_of_notify`, with the process, which a test may kill."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "newswire_notify", "--port", str(port)),
            env=BARE | environment,
            stdout=output,
            stderr=output,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS) as http:

            async def ready() -> bool:
                assert process.returncode is None, log.read_text()
                try:
                    return (await http.get("/status")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready, 60)
            yield process, http
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), DEADLINE_SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

"""Proxies between Newswire and its stores that cause faults: toxiproxy for Redis, and our own proxy for the index."""

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
import httpx
from aiohttp import web

from tests.servers.valkey import free_port

TOXIPROXY = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"


class ToxiproxyUnavailableError(Exception):
    """Toxiproxy is not installed and cannot be built; the message names the reason."""


def toxiproxy_program() -> Path:
    """Return the program; build it once with Go if it is not installed.

    Raises:
        ToxiproxyUnavailableError: neither is available.
    """
    if installed := shutil.which("toxiproxy-server"):
        return Path(installed)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "newswire" / TOXIPROXY.rpartition("@")[2]
    program = cache / "server"
    if not program.exists():
        if shutil.which("go") is None:
            raise ToxiproxyUnavailableError("no toxiproxy-server, and no go to build it with")
        built = subprocess.run(
            ["go", "install", TOXIPROXY], env={**os.environ, "GOBIN": str(cache)}, capture_output=True, text=True
        )
        if built.returncode:
            raise ToxiproxyUnavailableError(f"toxiproxy cannot be built: {built.stderr[-300:]}")
    return program


class Toxiproxy:
    """One proxied address, controlled by toxiproxy's API."""

    def __init__(self, http: httpx.Client, port: int) -> None:
        self.port = port
        self._http = http

    def proxy(self, upstream: int) -> None:
        """Start passing on connections."""
        made = {"name": "store", "listen": f"127.0.0.1:{self.port}", "upstream": f"127.0.0.1:{upstream}"}
        self._http.post("/proxies", json=made).raise_for_status()

    def cut(self) -> None:
        """Close every connection and reject new ones."""
        self._http.post("/proxies/store", json={"enabled": False}).raise_for_status()

    def reset(self) -> None:
        """Pass everything on as if nothing had been."""
        self._http.post("/reset").raise_for_status()

    def poison(self, kind: str, attributes: dict[str, int]) -> None:
        """Add a toxic: latency and jitter in ms, bandwidth in KB/s, timeout in ms, reset_peer."""
        toxic = {"type": kind, "stream": "downstream", "attributes": attributes}
        self._http.post("/proxies/store/toxics", json=toxic).raise_for_status()


@contextmanager
def toxiproxy(upstream: int) -> Iterator[Toxiproxy]:
    """Run a toxiproxy for a port of this machine."""
    api = free_port()
    process = subprocess.Popen(
        [toxiproxy_program(), "-host", "127.0.0.1", "-port", str(api)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{api}", trust_env=False, timeout=10) as http:
            proxied = Toxiproxy(http, free_port())
            deadline = time.monotonic() + 20
            while True:
                try:
                    proxied.proxy(upstream)
                    break
                except httpx.TransportError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield proxied
    finally:
        process.terminate()
        process.wait()


Mood = Literal["well", "away", "busy", "partial"]


class IndexProxy:
    """Passes requests on to Elasticsearch, or simulates an outage, 429 for everything, or a partly rejected bulk."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession, seed: int) -> None:
        self.mood: Mood = "well"
        self.spoiled = 0
        """Requests that were not passed on completely."""
        self.url = ""
        self._upstream = upstream
        self._session = session
        self._random = random.Random(seed)

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Handle one request according to the current fault."""
        body = await request.read()
        if self.mood == "away":
            self.spoiled += 1
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)
        if self.mood == "busy" and self._random.random() < 0.9:
            self.spoiled += 1
            error = {"type": "es_rejected_execution_exception", "reason": "rejected execution"}
            answer = {"error": {"root_cause": [error], **error}, "status": 429}
            return web.json_response(answer, status=429, headers={"X-Elastic-Product": "Elasticsearch"})
        if self.mood == "partial" and request.path.endswith("/_bulk"):
            return await self._partly(request, body)
        return await self._ask(request, body)

    async def _partly(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Pass on about half of a bulk request, and respond with 429 for the other half, like a server with full queues."""
        lines = body.splitlines()
        pairs = [lines[at : at + 2] for at in range(0, len(lines) - 1, 2)]
        kept = [self._random.random() < 0.5 for _ in pairs]
        self.spoiled += not all(kept)
        passed = b"".join(line + b"\n" for pair, keep in zip(pairs, kept, strict=True) if keep for line in pair)
        done: list[Any] = []
        if passed:
            answer = await self._ask(request, passed)
            if answer.status != 200:
                return answer
            done = json.loads(answer.body or b"")["items"]  # type: ignore[arg-type]
        error = {"type": "es_rejected_execution_exception", "reason": "rejected execution of a part"}
        refused = {"index": {"status": 429, "error": error}}
        items = [done.pop(0) if keep else refused for keep in kept]
        return web.json_response({"items": items}, headers={"X-Elastic-Product": "Elasticsearch"})

    async def _ask(self, request: web.Request, body: bytes) -> web.Response:
        dropped = {"host", "content-length", "accept-encoding", "connection"}
        headers = {name: value for name, value in request.headers.items() if name.lower() not in dropped}
        async with self._session.request(
            request.method, self._upstream + request.path_qs, data=body, headers=headers
        ) as answer:
            kept = {
                name: answer.headers[name] for name in ("X-Elastic-Product", "Content-Type") if name in answer.headers
            }
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


@asynccontextmanager
async def index_proxy(upstream: str, seed: int) -> AsyncIterator[IndexProxy]:
    """Run a proxy before an Elasticsearch."""
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        proxy = IndexProxy(upstream, session, seed)
        app = web.Application(client_max_size=200_000_000)
        app.router.add_route("*", "/{path:.*}", proxy.pass_on)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            await runner.cleanup()

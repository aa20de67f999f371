"""A minimal HTTP client, so that measurements are dominated by the server."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import httptools
import orjson
from yarl import URL


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    body: bytes


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return the bytes of a request; underscores in header names stand for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "host: bench", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def json_request(path: str, content: Any, key: str) -> bytes:
    """Return the bytes of a POST of JSON with a bearer key."""
    return request("POST", path, orjson.dumps(content), content_type="application/json", authorization=f"Bearer {key}")


def address(site: str) -> tuple[str, int]:
    """Return the host and the port of a site."""
    url = URL(site)
    if url.host is None or url.port is None:
        raise ValueError(f"{site} names no host")
    return url.host, url.port


class Connection(asyncio.Protocol):
    """One persistent connection, one request at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, site: str) -> Self:
        """Connect to a site."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, *address(site))
        return connection

    def ask(self, data: bytes) -> "asyncio.Future[Answer]":
        """Send a request; return the future of its response."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._waiting

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionError("the server closed the connection"))

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        body, self._body = b"".join(self._body), []
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answer(self._parser.get_status_code(), body))


class Pool:
    """Connections to one site, as many as are in use at a time; one that was idle for a few seconds is not reused."""

    idle_seconds = 2.0

    def __init__(self, site: str) -> None:
        self._site = site
        self._idle: list[tuple[float, Connection]] = []

    async def ask(self, data: bytes) -> Answer:
        """Send a request and return its response."""
        now = time.perf_counter()
        fresh = [each for each in self._idle if each[0] > now - self.idle_seconds]
        for _, stale in self._idle[: len(self._idle) - len(fresh)]:
            stale.close()
        self._idle = fresh
        connection = self._idle.pop()[1] if self._idle else await Connection.open(self._site)
        answer = await connection.ask(data)
        self._idle.append((time.perf_counter(), connection))
        return answer

    def close(self) -> None:
        """Close idle connections."""
        for _, connection in self._idle:
            connection.close()


@dataclass(frozen=True, slots=True)
class Driven:
    """The result of load on a server: responses per second, and the time of each in ms."""

    rate: float
    times: list[float]


async def drive(site: str, requests: Iterator[bytes], connections: int, seconds: float, expect: int) -> Driven:
    """Keep a number of connections busy for some seconds.

    Raises:
        RuntimeError: a response was not the expected one.
    """
    taken: list[float] = []
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(await Connection.open(site)) for _ in range(connections)]
        began = time.perf_counter()

        async def work(connection: Connection) -> None:
            while (sent := time.perf_counter()) < began + seconds:
                answer = await connection.ask(next(requests))
                if answer.status != expect:
                    raise RuntimeError(
                        f"{site} answered {answer.status}: {answer.body[:300].decode('utf-8', 'replace')}"
                    )
                taken.append((time.perf_counter() - sent) * 1000)

        await asyncio.gather(*map(work, opened))
        return Driven(len(taken) / (time.perf_counter() - began), taken)

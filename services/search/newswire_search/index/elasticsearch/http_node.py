"""The connections to an Elasticsearch node, at a fraction of the cost of a general HTTP client.

`elastic_transport` still chooses nodes, repeats requests, reads the TLS settings and translates errors; this node only exchanges
the bytes: one request at a time over a persistent HTTP/1.1 connection, whose responses llhttp parses.
"""

import asyncio
import logging
import ssl
import time
from typing import NamedTuple, cast

import elastic_transport
import httptools
from elastic_transport import (
    AiohttpHttpNode,
    ApiResponseMeta,
    ConnectionTimeout,
    HttpHeaders,
    NodeConfig,
    TlsError,
    TransportError,
)
from elastic_transport._node import NodeApiResponse  # what a node returns; it has no public name
from elastic_transport.client_utils import DEFAULT, DefaultType
from prometheus_client import Counter, Histogram

log = logging.getLogger("elastic_transport.node")

MAX_IDLE_SECONDS = 45.0
"""A connection that was idle for longer is not used again: balancers and NAT gateways forget idle ones after 1 to 6 minutes, and
drop what is sent on them without a reply. A request would hang until its time is over."""


elasticsearch_duration = Histogram(
    "newswire_elasticsearch_duration_seconds",
    "Time of a request to a node of Elasticsearch, from the call to the response",
    ["node"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
elasticsearch_failures = Counter(
    "newswire_elasticsearch_failures", "Requests to a node of Elasticsearch without a response", ["node"]
)


class _LostConnectionError(OSError):
    """The server closed the connection before the first byte of a response: usually because it was idle."""


class NoFreeConnectionError(TransportError):
    """All connections to a node stayed in use. That says nothing about the node: it is not left out for it."""


class _Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.reusable = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[_Response] | None = None

    def ask(self, head: bytes, body: bytes, *, bodiless: bool) -> "asyncio.Future[_Response]":
        """Send a request; return the future of its response. ``bodiless``: the response has only headers."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self.reusable, self._begun, self._bodiless = False, False, bodiless
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.writelines((head, body))
        return self._waiting

    def abort(self) -> None:
        """Close the connection at once."""
        self.reusable = False
        self._transport.abort()

    def time_out(self) -> None:
        """End a request whose response has not come in time."""
        self._fail(TimeoutError())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.abort()  # no request is outstanding
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(OSError(f"the response is not valid HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        lost = OSError("the response is incomplete") if self._begun_response() else _LostConnectionError("closed")
        self._fail(lost)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._bodiless and self._parser.get_status_code() >= 200:
            self._finish(reusable=False)  # the parser waits for a body, which does not come

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # an interim response: the final one follows
            self._headers.clear()
        else:
            self._finish(reusable=self._parser.should_keep_alive())

    def _begun_response(self) -> bool:
        return self._waiting is not None and self._begun

    def _finish(self, *, reusable: bool) -> None:
        if self._waiting is not None and not self._waiting.done():
            self.reusable = reusable and self._transport.get_write_buffer_size() == 0
            self._waiting.set_result(_Response(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
            self.abort()


class ElasticsearchNode(AiohttpHttpNode):
    """A node whose requests do not pass through aiohttp, unless they need what only aiohttp can do."""

    def __init__(self, config: NodeConfig) -> None:
        """Read the configuration; connections are opened when they are needed."""
        super().__init__(config)
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(config.connections_per_node)
        host = f"[{config.host}]" if ":" in config.host else config.host
        self._host_line = f"host: {host}:{config.port}\r\n"
        self._lines_of: tuple[HttpHeaders, str] | None = None
        """The last headers that cannot change, and their lines."""
        self._duration = elasticsearch_duration.labels(f"{host}:{config.port}")
        self._failures = elasticsearch_failures.labels(f"{host}:{config.port}")
        self._general = bool(config.http_compress or config.ssl_assert_fingerprint)

    async def perform_request(  # type: ignore[override]  # the base class of all nodes is synchronous
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: float | DefaultType | None = DEFAULT,
    ) -> NodeApiResponse:
        """Send a request and return the response.

        Raises:
            NoFreeConnectionError: all connections stayed in use for as long as a response may take.
            ConnectionTimeout: it did not arrive in time.
            TlsError: the server's certificate is not accepted, or TLS failed in another way.
            ConnectionError: the connection failed in another way.
        """
        if self._general:
            return await super().perform_request(method, target, body, headers, request_timeout)
        seconds = self.config.request_timeout if isinstance(request_timeout, DefaultType) else request_timeout
        began = time.perf_counter()
        try:
            await self._take_slot(seconds)
            try:
                answered = await self._exchange(method, self._head(method, target, headers, body), body or b"", seconds)
            finally:
                self._slots.release()
        except TimeoutError as error:
            self._failures.inc()
            raise ConnectionTimeout("Connection timed out during request", errors=(error,)) from None
        except ssl.SSLError as error:
            raise TlsError(str(error), errors=(error,)) from None
        except OSError as error:
            self._failures.inc()
            raise elastic_transport.ConnectionError(str(error), errors=(error,)) from None
        finally:
            self._duration.observe(time.perf_counter() - began)
        meta = ApiResponseMeta(
            node=self.config,
            duration=time.perf_counter() - began,
            http_version="1.1",
            status=answered.status,
            headers=HttpHeaders(answered.headers),
        )
        if log.isEnabledFor(logging.DEBUG):
            sent = HttpHeaders({**self._headers, **(headers or {})})
            self._log_request(method, target, sent, body, meta, answered.body)
        return NodeApiResponse(meta, answered.body)

    async def close(self) -> None:  # type: ignore[override]  # as above
        """Close all connections that are not in use."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        await super().close()

    async def _take_slot(self, seconds: float | None) -> None:
        """Wait until fewer connections are in use than may be open."""
        if not self._slots.locked():
            await self._slots.acquire()  # does not wait
            return
        try:
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise NoFreeConnectionError(
                f"all {self.config.connections_per_node} connections to {self.base_url} stayed in use for {seconds} s"
            ) from None

    def _head(self, method: str, target: str, headers: HttpHeaders | None, body: bytes | None) -> bytes:
        length = f"content-length: {len(body)}\r\n" if body else ""
        lines = self._lines(headers)
        return f"{method} {self._path_prefix}{target} HTTP/1.1\r\n{self._host_line}{lines}{length}\r\n".encode(
            "latin-1"
        )

    def _lines(self, headers: HttpHeaders | None) -> str:
        """Return the lines of the headers of a request: its own, and those of all requests."""
        if self._lines_of is not None and self._lines_of[0] is headers:
            return self._lines_of[1]
        sent = {**self._headers, **headers} if headers else dict(self._headers)
        lines = "".join([f"{name}: {value}\r\n" for name, value in sent.items()])
        if headers is not None and headers.frozen:
            self._lines_of = (headers, lines)
        return lines

    async def _exchange(self, method: str, head: bytes, body: bytes, seconds: float | None) -> _Response:
        oldest = time.monotonic() - MAX_IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since < oldest:
                connection.abort()
            elif connection.reusable:
                try:
                    return await self._ask(connection, method, head, body, seconds)
                except _LostConnectionError:
                    break  # closed while it was idle, and so are probably the others
        async with asyncio.timeout(seconds):
            return await self._ask(await self._open(), method, head, body, None)

    async def _ask(
        self, connection: _Connection, method: str, head: bytes, body: bytes, seconds: float | None
    ) -> _Response:
        loop = asyncio.get_running_loop()
        # A timer of the event loop costs a fraction of `asyncio.timeout`, and nothing else is waited for here.
        timer = loop.call_later(seconds, connection.time_out) if seconds is not None else None
        try:
            response = await connection.ask(head, body, bodiless=method == "HEAD")
        except BaseException:
            connection.abort()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.abort()
        return response

    async def _open(self) -> _Connection:
        context = self._ssl_context
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, self.host, self.port, ssl=context, server_hostname=self.host if context else None
        )
        return connection

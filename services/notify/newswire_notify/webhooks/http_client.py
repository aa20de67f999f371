"""An HTTP client for webhooks: it does what a webhook needs, at a sixth of the cost of a general client.

It sends one request at a time over a persistent HTTP/1.1 connection (RFC 9112); llhttp parses the response. The cost of a
response is bounded: its headers are read up to a limit, the beginning of its body for a short time, and a connection with more
data is closed. Only the status counts; a slow, long or incomplete body does not change the result. Redirects, cookies and
compression are not supported.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple, Self, cast

import httptools
from yarl import URL

from newswire_notify.webhooks.addresses import special
from newswire_notify.webhooks.ssrf_guard import AddressPolicy, GuardedConnector, Resolver
from newswire_notify.webhooks.tcp_keepalive import probe_when_idle

KEPT_BODY_BYTES = 4096
BODY_TIMEOUT_SECONDS = 2.0
"""Time limit for the beginning of a response body."""
MAX_RESPONSE_BYTES = 32 * 1024
"""Bytes read of a response, including headers and framing."""
IDLE_CONNECTION_SECONDS = 60.0
"""Seconds for which an idle connection is kept: a new one takes a look-up of the name, and two or three round trips with TLS. Most
servers and load balancers keep theirs for about as long; one that they close is not used again."""
MAX_IDLE_CONNECTIONS = 1024
MAX_KNOWN_ORIGINS = 8192
MAX_KNOWN_RESPONSES, MAX_KNOWN_RESPONSE_BYTES = 256, 1024
_PLAIN_URL = re.compile(r"(https?://[a-z0-9.-]+(?::[0-9]{1,5})?)((?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?|/)")
"""A site, and a path without anything that a parser may have to change."""
_PATH_AND_QUERY = re.compile(r"[a-z]+://[^/?#]+(/[!-\"$->@-~]*)?(\?[!-\"$-~]*)?", re.IGNORECASE)
"""A URL of printable ASCII characters without a fragment."""


class EndpointResponse(NamedTuple):
    """The response of an endpoint: status, beginning of the body, and the headers that are used."""

    status: int
    body: bytes
    retry_after: str
    allowed_origin: str = ""
    """``WebHook-Allowed-Origin``; repeated values are joined by a comma, which names no origin."""


class ConnectTimeoutError(TimeoutError):
    """The connection was not made in time."""


class InvalidResponseError(Exception):
    """The response is not valid HTTP; the message says why."""


class ConnectionLostError(ConnectionError):
    """The connection was closed before the first byte of a response."""


class _Origin(NamedTuple):
    tls: bool
    name: str
    port: int


def _parse_target(address: str) -> tuple[_Origin, str]:
    """Return the origin of a URL, and what follows the method in every request to it.

    Path and query are sent exactly as they are in the URL: its owner may compare or sign them.
    """
    if plain := _PLAIN_URL.fullmatch(address):  # it needs no normalization: the usual case, and the parser takes 40 µs
        origin, host = _site(plain[1])
        return origin, f"{plain[2]} HTTP/1.1\r\nHost: {host}\r\n"
    url = URL(address)
    if url.scheme not in ("http", "https") or url.raw_host is None or url.port is None:
        raise ValueError("not a webhook URL")
    written = _PATH_AND_QUERY.fullmatch(address)
    path = (written[1] or "/") + (written[2] or "") if written else url.raw_path_qs
    head = f"{path} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"
    return _Origin(url.scheme == "https", url.raw_host, url.port), head


@lru_cache(maxsize=MAX_KNOWN_ORIGINS)
def _site(site: str) -> tuple[_Origin, str]:
    """Return the origin of a URL without a path, and its ``Host``."""
    url = URL(site)
    if url.raw_host is None or url.port is None:
        raise ValueError("not a webhook URL")
    return _Origin(url.scheme == "https", url.raw_host, url.port), url.host_port_subcomponent or ""


_target = lru_cache(maxsize=16_384)(_parse_target)
"""For URLs that are requested again and again."""


_known_responses: dict[bytes, EndpointResponse] = {}
"""Whole responses, as they were parsed. Endpoints respond to one webhook after another with the same bytes, at least within a
second, which `Date` names; parsing them takes longer than sending the request."""


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.open = True
        self.reusable = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[EndpointResponse] | None = None
        self._body_timer: asyncio.TimerHandle | None = None

    def ask(self, head: bytes, body: bytes, body_seconds: float) -> "asyncio.Future[EndpointResponse]":
        """Send a request; return the future of its response. ``body_seconds``: for the beginning of the response body."""
        self._body_seconds = body_seconds
        self._parser: httptools.HttpResponseParser | None = None
        self._bytes, self._in_head = 0, True
        self._retry_after = ""
        self._allowed_origins: list[str] = []
        self._body = b""
        self._body_timer = None
        self.reusable = False
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.writelines((head, body))
        return self._waiting

    def abort(self) -> None:
        """Close the connection at once."""
        self.open = False
        if self._body_timer is not None:
            self._body_timer.cancel()
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.abort()  # no request is outstanding
            return
        is_first = self._parser is None
        if is_first and (known := _known_responses.get(data)) is not None:
            self.reusable = self._transport.get_write_buffer_size() == 0
            self._waiting.set_result(known)
            return
        parser = self._parser = self._parser or httptools.HttpResponseParser(self)
        self._bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._cut_off(f"the response is not valid HTTP: {error}")
        if is_first and self.reusable and self.open and len(data) <= MAX_KNOWN_RESPONSE_BYTES:
            if len(_known_responses) >= MAX_KNOWN_RESPONSES:
                _known_responses.clear()
            _known_responses[bytes(data)] = self._waiting.result()
        if self._bytes > MAX_RESPONSE_BYTES:
            self._cut_off("the response headers are too long")
        if not (self._in_head or self._body_timer or self._waiting.done()):
            self._body_timer = asyncio.get_running_loop().call_later(self._body_seconds, self._cut_off, "")

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._waiting is None or self._waiting.done():
            return
        if not self._bytes:
            self._fail(ConnectionLostError("the connection was closed without a response"))
        else:
            self._cut_off("the response is incomplete")

    def on_message_begin(self) -> None:
        self.reusable = False  # until it has ended; data after it belongs to no request

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return
        match name.lower():
            case b"retry-after":
                self._retry_after = value.decode("latin-1")
            case b"webhook-allowed-origin":
                self._allowed_origins.append(value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if self._status() >= 200:
            self._in_head = False
        else:
            self._allowed_origins.clear()  # an interim response does not count

    def on_body(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            return
        self._body += data[: KEPT_BODY_BYTES + 1 - len(self._body)]
        if len(self._body) > KEPT_BODY_BYTES:
            self._cut_off("")

    def on_message_complete(self) -> None:
        if self._in_head:  # an interim response: the final one follows
            return
        if self._waiting is not None and not self._waiting.done():
            self.reusable = self._keeps_alive() and self._transport.get_write_buffer_size() == 0
            self._finish()
        else:
            self.reusable = False

    def _status(self) -> int:
        return 0 if self._parser is None else self._parser.get_status_code()

    def _keeps_alive(self) -> bool:
        return self._parser is not None and self._parser.should_keep_alive()

    def _cut_off(self, why: str) -> None:
        """Close the connection: with the response where its status has arrived, else with an error."""
        if self._in_head:
            self._fail(InvalidResponseError(why))
        else:
            self._finish()
            self.abort()

    def _finish(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(
                EndpointResponse(
                    self._status(),
                    self._body[:KEPT_BODY_BYTES],
                    self._retry_after,
                    ", ".join(self._allowed_origins),
                )
            )

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        self.abort()


class WebhookHttpClient:
    """The HTTP connections of one process, to the endpoints that a policy allows."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        connect: float = 5.0,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._hides = policy.allow_private and not policy.answers_shown
        self._public: dict[_Origin, bool] = {}
        """Whether the last connection to an origin used a public address."""
        self._connector = GuardedConnector(policy, resolver)
        self._connect = connect
        self._tls = tls or ssl.create_default_context()
        self._idle: dict[_Origin, list[_Connection]] = {}
        self._kept: dict[_Connection, _Origin] = {}
        """All idle connections, longest idle first."""
        self._expiry: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        for connection, origin in list(self._kept.items()):
            self._close_connection(origin, connection)
        await self._connector.close()

    def hides(self, address: str) -> bool:
        """Return whether results are hidden from subscribers: the address is private, or not known to be public."""
        try:
            return self._hides and not self._public.get(_target(address)[0], False)
        except ValueError:
            return self._hides

    async def post(self, address: str, headers: Mapping[str, str], body: bytes) -> EndpointResponse:
        """Send a POST request; raises what `options` raises."""
        return await self._request("POST", _target(address), headers, body)

    def is_connected(self, address: str) -> bool:
        """Return whether there is an idle connection to the site of an address, which may have ended since.

        Raises:
            ValueError: the URL is invalid.
        """
        return _target(address)[0] in self._idle

    def begin_post(
        self,
        address: str,
        headers: Mapping[str, str],
        body: bytes,
        ended: Callable[["asyncio.Future[EndpointResponse]"], None],
    ) -> "asyncio.Future[EndpointResponse] | None":
        """Send a POST request over an idle connection, without a task that waits for its response; None where there is none.

        ``ended`` is called with the future, which is returned: it is done, or was cancelled. It fails with `ConnectionLostError`
        where the endpoint had closed the connection: the request may be repeated over another one.

        Raises:
            ValueError: the URL or a header is invalid.
        """
        origin, line = _target(address)
        head = _head(f"POST {line}", headers, len(body))
        if (connection := self._take(origin)) is None:
            return None
        answered = connection.ask(head, body, BODY_TIMEOUT_SECONDS)
        answered.add_done_callback(partial(self._end, origin, connection, ended))
        return answered

    def _end(
        self,
        origin: _Origin,
        connection: _Connection,
        ended: Callable[["asyncio.Future[EndpointResponse]"], None],
        answered: "asyncio.Future[EndpointResponse]",
    ) -> None:
        if answered.cancelled() or answered.exception() is not None:
            connection.abort()
        else:
            self._release(origin, connection)
        ended(answered)

    async def options(self, address: str, headers: Mapping[str, str]) -> EndpointResponse:
        """Send an OPTIONS request; the caller limits the total time.

        Raises:
            ConnectTimeoutError: the connection was not made in time.
            OSError: the connection failed or was lost, including `AddressRefusedError` and `socket.gaierror`.
            InvalidResponseError: the response is not valid HTTP.
            ValueError: the URL or a header is invalid.
        """
        return await self._request("OPTIONS", _target(address), headers, b"")

    async def get(self, address: str, headers: Mapping[str, str], *, body_seconds: float) -> EndpointResponse:
        """GET and wait for the response, with the first `KEPT_BODY_BYTES` of its body; the caller limits the total time.

        ``body_seconds`` limits the time of the body alone, which counts here. The URL is not remembered: a verification has
        another one each time.

        Raises:
            As `options`.
        """
        return await self._request("GET", _parse_target(address), headers, b"", body_seconds)

    async def _request(
        self,
        method: str,
        target: tuple[_Origin, str],
        headers: Mapping[str, str],
        body: bytes,
        body_seconds: float = BODY_TIMEOUT_SECONDS,
    ) -> EndpointResponse:
        origin, line = target
        head = _head(f"{method} {line}", headers, len(body))
        if (connection := self._take(origin)) is not None:
            try:
                return await self._ask(origin, connection, head, body, body_seconds)
            except ConnectionLostError:
                pass  # the endpoint closed it while it was idle
        return await self._ask(origin, await self._open(origin), head, body, body_seconds)

    async def _ask(
        self, origin: _Origin, connection: _Connection, head: bytes, body: bytes, body_seconds: float
    ) -> EndpointResponse:
        try:
            answer = await connection.ask(head, body, body_seconds)
        except BaseException:
            connection.abort()
            raise
        self._release(origin, connection)
        return answer

    def _release(self, origin: _Origin, connection: _Connection) -> None:
        """Keep a connection for the next request, if it can be used again."""
        if connection.reusable and connection.open and len(self._kept) < MAX_IDLE_CONNECTIONS:
            self._keep(origin, connection)
        else:
            connection.abort()

    async def _open(self, origin: _Origin) -> _Connection:
        try:
            async with asyncio.timeout(self._connect):
                sock = await self._connector.dial(origin.name, origin.port, tls=origin.tls)
                try:
                    probe_when_idle(sock)
                    self._note(origin, sock.getpeername()[0])
                    _, connection = await asyncio.get_running_loop().create_connection(
                        _Connection,
                        sock=sock,
                        ssl=self._tls if origin.tls else None,
                        server_hostname=origin.name if origin.tls else None,
                    )
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError as error:
            raise ConnectTimeoutError from error
        return connection

    def _note(self, origin: _Origin, address: str) -> None:
        if self._hides:
            if len(self._public) >= MAX_KNOWN_ORIGINS:
                self._public.clear()
            self._public[origin] = special(address) is None

    def _take(self, origin: _Origin) -> _Connection | None:
        while kept := self._idle.get(origin):
            connection = kept.pop()
            if not kept:
                del self._idle[origin]
            del self._kept[connection]
            if connection.open:
                return connection
        return None

    def _keep(self, origin: _Origin, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(origin, []).append(connection)
        self._kept[connection] = origin
        if self._expiry is None:
            self._expiry = loop.call_later(IDLE_CONNECTION_SECONDS, self._expire)

    def _expire(self) -> None:
        """Close connections that were idle for too long: one timer for all, because nearly all are reused before."""
        loop = asyncio.get_running_loop()
        self._expiry = None
        for connection, origin in list(self._kept.items()):
            if connection.idle_since > loop.time() - IDLE_CONNECTION_SECONDS:
                self._expiry = loop.call_at(connection.idle_since + IDLE_CONNECTION_SECONDS, self._expire)
                return
            self._close_connection(origin, connection)

    def _close_connection(self, origin: _Origin, connection: _Connection) -> None:
        del self._kept[connection]
        self._idle[origin].remove(connection)
        if not self._idle[origin]:
            del self._idle[origin]
        connection.abort()


def _head(line: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not "".join(headers.values()).isprintable():
        raise ValueError("invalid character in header value")
    return f"{line}{lines}Content-Length: {length}\r\n\r\n".encode("ascii")

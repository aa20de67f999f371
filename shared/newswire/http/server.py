"""HTTP/1.1 by uvicorn and httptools, with limits on the size and speed of what clients send, and on how slowly they read.

uvicorn has no such limits with httptools; its ``h11_max_incomplete_event_size`` belongs to another parser. The parser keeps an
unfinished header in memory, so bytes are counted before it gets them.

The module is longer than 300 lines because its one class implements one interface: the callbacks of the transport, of the parser
and of the connection limits share the state of a connection, and splitting them would spread that state over several modules.
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.server import ServerState

from newswire.http.connection_limits import ConnectionTracker, Phase
from newswire.http.direct_body import DirectBody
from newswire.http.draining import FIRST_REQUEST_SECONDS
from newswire.http.joined_head import JoinedHead
from newswire.http.middleware import UNTIMED
from newswire.http.pipelining import PipeliningProtocol
from newswire.http.problems import ProblemError, problem
from newswire.shared_parts import PartWriter, RefusingWriter

MAX_URL_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_PIPELINED = 16
"""Maximum number of pipelined requests that wait on a connection."""
MAX_BUFFERED_BODY_BYTES = 1024 * 1024
"""Maximum bytes of a request's body in memory; a longer body is read in parts."""
LINGER_SECONDS = 2.0
"""How long a rejected client may continue to send, so that it can read the response before the connection is reset."""
MAX_LINGERING = 256
"""Maximum number of connections that are rejected with a response at a time; further ones are closed without one."""
DRAIN_SECONDS = 5.0
"""How long the rest of a body may take after the response was sent."""
MAX_DISCARDED_BYTES = 8 * 1024 * 1024
LIVE_STALL_SECONDS = 60.0
"""How long a live stream may read nothing at all; the live stream has a limit of its own for missed events."""
_SLICE = 16 * 1024
_FRAMING_ALLOWED = 64 * 1024
"""Bytes of chunk sizes, chunk extensions and trailers that a body may have, in addition to eight times its own size."""
_CONNECTION = "newswire.connection"


class _LimitExceededError(Exception):
    def __init__(self, reason: str, refusal: ProblemError) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refusal = refusal


class BoundedProtocol(PipeliningProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        tracker: ConnectionTracker,
        leaving: asyncio.Event,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.tracker = tracker
        self._leaving = leaving
        self.limits = tracker.limits
        self.since = self.loop.time()
        self.held = 0
        self.live = False
        self._refused = False
        self._in_body = False
        """The head of a request was received, but not all of its body; otherwise the server waits for a head."""
        self._begun = 0
        """Number of requests that began in the slice being parsed."""
        self._nothing_yet = True
        """No byte of the next request was received."""
        self._head_bytes = 0
        self._body_bytes = 0
        self._raw_bytes = 0
        self._discarded = 0
        self._credit = 0.0
        self._unsent = 0
        self._exceeded: _LimitExceededError | None = None

    @property
    def phase(self) -> Phase:
        """What the connection is doing."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.live and answering:
            return Phase.WORKING
        if self._refused and not (answering and not self.cycle.disconnected):
            return Phase.CLOSING
        if self._unsent or self.flow.write_paused:
            return Phase.ANSWER
        if answering:
            return Phase.BODY if self._in_body and not self.pipeline else Phase.WORKING
        if self._in_body:
            return Phase.CLOSING
        return Phase.IDLE if self._nothing_yet and self.cycle is not None else Phase.HEAD

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or reject it immediately."""
        super().connection_made(transport)
        if (limit := self.tracker.admit(self)) is None:
            return
        if len(self.server_state.connections) - len(self.tracker) > MAX_LINGERING:
            self._abort(limit)
            return
        self._refuse(limit, _refusal_of_connection(limit))
        self.loop.call_later(LINGER_SECONDS, self.drop)  # so no sweep checks it

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the tracker."""
        self.tracker.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass received bytes to the parser, in slices, while no limit is exceeded."""
        for at in range(0, len(data), _SLICE):
            if self._refused:
                self._discard(len(data) - at)
                return
            if self.transport.is_closing():
                return
            self._feed(data[at : at + _SLICE] if len(data) > _SLICE else data)

    def _feed(self, part: bytes) -> None:
        was_in_body, was_awaited = self._in_body, not self._in_body and self._nothing_yet
        self._begun = 0
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserError:
            exceeded, self._exceeded = self._exceeded, None
            if exceeded is not None:
                self._refuse(exceeded.reason, exceeded.refusal)
            else:
                self._refuse(
                    "malformed", problem(400, "malformed", "this is not an HTTP/1.1 request", title="Bad request")
                )
            return
        except (
            httptools.HttpParserUpgrade
        ):  # upgrades are not supported: the request is handled as if none was requested
            return
        if (
            self._begun
        ):  # if there were several requests, the slice is counted for none: the last may have begun at its end
            alone = self._begun == 1 and was_awaited and not self._nothing_yet
            self._head_bytes = len(part) if alone else 0
        elif not was_in_body:
            self._head_bytes += len(part)
        if not self._in_body and self._head_bytes > self.limits.head_bytes:
            self._refuse("head_bytes", _head_too_large(f"they are larger than {self.limits.head_bytes:,} bytes"))
        elif was_in_body and self._in_body:
            self._raw_bytes += len(part)
            if self._raw_bytes > _FRAMING_ALLOWED + 9 * self._body_bytes:
                detail = "the body consists of chunk sizes, extensions and trailers rather than content"
                self._refuse("framing", problem(400, "malformed", detail, title="Bad request"))
            elif self.cycle.response_complete:
                self._discard(len(part))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[_CONNECTION] = self
        self._begun += 1
        self._nothing_yet = False
        self._head_bytes = 0
        if not self.cycle or self.cycle.response_complete:
            self.since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """Receive a part of the address."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            detail = f"the address is longer than {MAX_URL_BYTES:,} bytes"
            self._reject_exceeded("url", problem(414, "address-too-long", detail))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header; trailers are ignored (RFC 9110, section 6.5.1)."""
        if self._in_body:
            return
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            self._reject_exceeded("header_count", _head_too_large(f"there are more than {MAX_HEADERS}"))

    def on_headers_complete(self) -> None:
        """Start the request."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._reject_exceeded(
                "pipelined", problem(503, "too-many-pipelined", "too many requests are waiting on this connection")
            )
        if [name for name, _ in self.headers].count(b"host") != 1 and self.parser.get_http_version() == "1.1":
            # Proxies choose differently among several (RFC 9112, section 3.2).
            detail = "an HTTP/1.1 request has exactly one Host header"
            self._reject_exceeded("malformed", problem(400, "malformed", detail, title="Bad request"))
        super().on_headers_complete()
        if self._leaving.is_set():
            self.cycle.keep_alive = False  # the next request goes to another process
        self._in_body = True
        self._body_bytes = self._raw_bytes = self._discarded = 0
        self._credit = self.limits.stall_seconds

    def on_body(self, body: bytes) -> None:
        """Receive a part of the body."""
        super().on_body(body)
        self._body_bytes += len(body)
        self._credit = min(self.limits.stall_seconds, self._credit + len(body) / self.limits.min_rate)
        if self.cycle.response_complete or self.flow.write_paused:
            return
        self.since = self.loop.time()
        if self.held < MAX_BUFFERED_BODY_BYTES:
            self.tracker.hold(self, min(self._body_bytes, MAX_BUFFERED_BODY_BYTES))

    def on_message_complete(self) -> None:
        """End the request; the next one may follow."""
        super().on_message_complete()
        self._in_body, self._nothing_yet = False, True
        self._head_bytes = 0
        if self.held and not self._unsent:
            self.tracker.hold(self, 0)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # `check` does so
        self.since = self.loop.time()
        self.live = False
        if self._in_body and self.cycle.response_complete:  # no part of the body was requested by the app
            self.cycle.body.clear()
        if not self._unsent and self.held:
            self.tracker.hold(self, 0)

    def pause_writing(self) -> None:
        """Record what waits to be read by the client."""
        super().pause_writing()
        if not self.live:
            self._note_unsent(self.transport.get_write_buffer_size(), self.loop.time())

    def resume_writing(self) -> None:
        """Continue sending."""
        super().resume_writing()
        if self._unsent:
            self._note_unsent(0, self.loop.time())

    def check(self, now: float, elapsed: float) -> None:
        """Close the connection if it has been lagging for too long."""
        if self.live and self.cycle is not None and not self.cycle.response_complete:
            self._check_live(now)
            return
        self._note_unsent(self.transport.get_write_buffer_size(), now)
        match self.phase:
            case Phase.ANSWER:
                self._credit -= elapsed
                if self._credit < 0:
                    self._abort("unread")
            case Phase.BODY:
                if not self.flow.read_paused and not self.cycle.waiting_for_100_continue:
                    self._credit -= elapsed
                    if self._credit < 0:
                        self._refuse("body_rate", _timeout_problem("the rest of the body"))
            case Phase.HEAD if self._nothing_yet and self.tracker.is_of_proxy(self):
                if now - self.since > self.limits.proxy_idle_seconds:  # proxies open connections before they need them
                    self.transport.close()
            case Phase.HEAD if now - self.since > self.limits.head_seconds:
                if self._nothing_yet:
                    self.tracker.count("head_time")
                    self.transport.close()
                else:
                    self._refuse("head_time", _timeout_problem("the rest of its request line and headers"))
            case Phase.IDLE:
                of_proxy = self.tracker.is_of_proxy(self)
                if now - self.since > (self.limits.proxy_idle_seconds if of_proxy else self.limits.idle_seconds):
                    self.transport.close()
            case Phase.CLOSING if now - self.since > (LINGER_SECONDS if self._refused else DRAIN_SECONDS):
                self.drop()

    def direct_body(self) -> PartWriter:
        """Return the body of the response in progress."""
        running = self._running
        if running is None or not running.response_started or running.scope["method"] == "HEAD":
            return RefusingWriter()
        cast("JoinedHead", running.transport).flush()
        return DirectBody(running, self.flow, self.transport)

    def shutdown(self) -> None:
        """Close the connection after the response in progress, or after the first request if none has arrived yet."""
        if self.cycle is None and not self.transport.is_closing():
            self.loop.call_later(FIRST_REQUEST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def drop(self) -> None:
        """Close the connection immediately."""
        if self.transport is not None:
            self.transport.abort()

    def _check_live(self, now: float) -> None:
        """Close a live stream whose client reads nothing: its own limit cannot end it while its buffer is full."""
        if not self.flow.write_paused:
            self._unsent, self.since = 0, now
            return
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self.since = unsent, now
        elif now - self.since > LIVE_STALL_SECONDS:
            self._abort("unread_stream")

    def _note_unsent(self, unsent: int, now: float) -> None:
        if unsent == self._unsent == 0:
            return
        if not self._unsent:
            self._credit = self.limits.stall_seconds
            self.since = now
        elif unsent < self._unsent:
            read = (self._unsent - unsent) / self.limits.min_rate
            self._credit = min(self.limits.stall_seconds, self._credit + read)
            self.since = now
        self._unsent = unsent
        # The response is kept in memory until the client has read it completely.
        self.tracker.hold(self, max(unsent, self.held) if unsent else 0)

    def _reject_exceeded(self, reason: str, refusal: ProblemError) -> None:
        self._exceeded = _LimitExceededError(reason, refusal)
        raise self._exceeded

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > MAX_DISCARDED_BYTES:
            self._abort("discarded")

    def _abort(self, reason: str) -> None:
        self.tracker.count(reason)
        self.drop()

    def _refuse(self, reason: str, refusal: ProblemError) -> None:
        """Send a problem and close the connection; only close it if earlier responses are still pending."""
        self.tracker.count(reason)
        if self.transport.is_closing():
            return
        self._refused = True
        self.since = self.loop.time()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not self._in_body or self.pipeline:
                cycle.keep_alive = False  # the newest request: the connection is closed after its response
                return
            if cycle.response_started:
                self.drop()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_written(refusal, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Log no warning: any client can request an upgrade with every request."""


def mark_live(scope: Scope) -> None:
    """Mark the request as a live stream: its client may be silent and slow, within its own limit."""
    scope[UNTIMED] = True
    connection = scope.get(_CONNECTION)
    if isinstance(connection, BoundedProtocol):
        connection.live = True
        connection.tracker.hold(connection, 0)


def direct_body(scope: Scope) -> PartWriter:
    """Return the body of a request's response, whose head was sent: for a live stream of this server, one to write to directly."""
    connection = scope.get(_CONNECTION)
    return connection.direct_body() if isinstance(connection, BoundedProtocol) else RefusingWriter()


def _written(refusal: ProblemError, headers: list[tuple[bytes, bytes]]) -> bytes:
    response = refusal.response()
    lines = [*headers, *response.raw_headers, (b"x-content-type-options", b"nosniff"), (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % line for line in lines)
    phrase = HTTPStatus(refusal.status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (refusal.status, phrase, head, bytes(response.body))


def _head_too_large(why: str) -> ProblemError:
    return problem(431, "headers-too-large", f"the request line and the headers are too large: {why}")


def _timeout_problem(what: str) -> ProblemError:
    return problem(408, "request-timeout", f"{what} did not arrive in time")


def _refusal_of_connection(limit: str) -> ProblemError:
    if limit == "connections_per_address":
        detail = "this address has the maximum number of busy connections; close one first"
        return problem(429, "too-many-connections", detail, headers={"Retry-After": "1"})
    detail = "the server has the maximum number of busy connections; try again in a moment"
    return problem(503, "unavailable", detail, headers={"Retry-After": "1"})

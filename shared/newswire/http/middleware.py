"""What is the same around every answer: security headers, CORS on what anybody may read, HEAD, and the last resort."""

import re
import time
from collections.abc import Callable, Sequence
from functools import cache

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newswire.http.problems import unexpected
from newswire.observability import telemetry

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self' https: data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
READING = re.compile(r"^/(v1/search|v1/stream(?!/tokens)|v1/events|feeds|sitemap)([/.?_-]|$)")
"""Paths that scripts of other sites may read; publishing, keys, tokens and subscriptions never are."""
EXPOSED = (
    "ETag, Link, Location, Newswire-Resumed-From, Retry-After, "
    "RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
ALLOWED = (
    "Accept, Authorization, Cache-Control, Content-Type, If-Modified-Since, If-None-Match, Last-Event-ID, traceparent"
)

HEADERS = "newswire.headers"
"""In a request's scope: the headers that its answer gets whatever comes, a problem included. Dependencies add to them."""
RELEASES = "newswire.releases"
"""In a request's scope: what is called once it is over, however it ends, with the bytes of the answer's body."""

_TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000")
_SECURITY = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"strict-origin-when-cross-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"x-frame-options": b"DENY",
}
_VARY = (b"vary", b"Authorization")
_FOR_ALL, _FOR_THE_KEY = ((b"cache-control", b"no-cache"), _VARY), ((b"cache-control", b"private, no-cache"), _VARY)
"""For answers that say nothing of caches themselves: no cache may show one again without asking whether it still holds, so that
what is retracted is gone from caches too, nor show an answer that was made for a key to others."""
_ENDLESS = "/v1/stream"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Frame:
    """The outermost layer of every app."""

    def __init__(self, app: ASGIApp, cors_origins: Sequence[str], *, secure: bool = False) -> None:
        """Wrap an app. ``secure``: the site is reached by https only (RFC 6797)."""
        self.app = app
        self.origins = frozenset(cors_origins)
        self.always = [_TRANSPORT_SECURITY] if secure else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        cors = self._cors(scope) if READING.match(path) else []
        answering = _Answering(send, method, [*cors, *self.always], with_key=bool(_header(scope, b"authorization")))
        if method == "OPTIONS" and cors and _header(scope, b"access-control-request-method"):
            await _preflight(answering)
            return
        releases: list[Callable[[int], None]] = []
        inner = {**scope, HEADERS: answering.more, RELEASES: releases}
        if method == "HEAD" and path != _ENDLESS:
            inner["method"] = "GET"
        try:
            await self.app(inner, receive, answering)
        except Exception as error:  # the framework re-raises what its own last resort has answered or could not
            if answering.begun:
                raise
            await unexpected(method, path, error).response()(scope, receive, answering)
        finally:
            for release in releases:
                release(answering.sent)

    def _cors(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        if "*" in self.origins:
            allowed = b"*"
        else:
            allowed = _header(scope, b"origin")
            if allowed.decode("latin-1") not in self.origins:
                return [(b"vary", b"Origin")] if self.origins else []
        vary = [(b"vary", b"Origin")] if allowed != b"*" else []
        return [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", EXPOSED.encode()), *vary]


class _Answering:
    """Adds the common headers on the way out, and keeps the body of an answer to HEAD back."""

    def __init__(self, send: Send, method: str, more: list[tuple[bytes, bytes]], *, with_key: bool) -> None:
        self.send = send
        self.method = method
        self.caching = _FOR_THE_KEY if with_key else _FOR_ALL
        self.more = more
        self.begun = False
        self.sent = 0
        self.since = time.perf_counter()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            message["headers"] = [
                *headers,
                *((name, value) for name, value in _SECURITY.items() if name not in present),
                *(() if b"cache-control" in present else self.caching),
                *self.more,
            ]
            method = self.method if self.method in _METHODS else "other"
            answered, seconds = _meters(method, message["status"])
            answered.inc()
            seconds.observe(time.perf_counter() - self.since)
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
            if self.method == "HEAD":
                message = {**message, "body": b""}
        await self.send(message)


@cache
def _meters(method: str, status: int) -> tuple[Counter, Histogram]:
    return telemetry.requests.labels(method, status), telemetry.request_seconds.labels(method)


async def _preflight(send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", b"GET, HEAD"),
        (b"access-control-allow-headers", ALLOWED.encode()),
        (b"access-control-max-age", b"86400"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _header(scope: Scope, name: bytes) -> bytes:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""

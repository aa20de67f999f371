"""ASGI middleware applied to every response: security headers, CORS on public reading paths, HEAD, metrics, error fallback."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newswire.http.compression import UNCOMPRESSED_BYTES
from newswire.http.problems import unexpected
from newswire.observability import metrics, request_context

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
PUBLIC_READ_PATHS = re.compile(
    r"^/(v1/search|v1/stream(?!/tokens)|v1/events|feeds|sitemap|openapi\.json|asyncapi|problems|schemas)([/.?_-]|$)"
)
"""Paths that scripts of other origins may read. Publishing, keys, tokens and subscriptions are never among them."""
EXPOSED_HEADERS = (
    "ETag, Link, Location, Newswire-Resumed-From, Retry-After, "
    "RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
ALLOWED = (
    "Accept, Authorization, Cache-Control, Content-Type, If-Modified-Since, If-None-Match, Last-Event-ID, traceparent"
)

HEADERS = "newswire.headers"
"""In a request's scope: headers for its response, problem responses included. Dependencies add to them."""
UNTIMED = "newswire.untimed"
"""In a request's scope, if true: the response waits for events, and its time says nothing about the service."""
RELEASES = "newswire.releases"
"""In a request's scope: callbacks that run when the request has ended, in any way, with the number of body bytes sent."""

_TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000")
_SECURITY = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"strict-origin-when-cross-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"x-frame-options": b"DENY",
}
_VARY = (b"vary", b"Authorization")
_PUBLIC_CACHING, _PRIVATE_CACHING = (
    ((b"cache-control", b"no-cache"), _VARY),
    ((b"cache-control", b"private, no-cache"), _VARY),
)
"""For responses without ``Cache-Control``: a cache must revalidate before it reuses one, so that retracted articles disappear
from caches too, and a shared cache must not reuse a response that was made for a key."""
_LIVE_STREAM = "/v1/stream"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def add_headers(scope: Scope, headers: Mapping[str, str]) -> None:
    """Add headers to the response of a request, whatever response that will be."""
    scope[HEADERS] += [(name.encode(), value.encode()) for name, value in headers.items()]


class ResponseMiddleware:
    """The outermost middleware of every app."""

    def __init__(
        self,
        app: ASGIApp,
        cors_origins: Sequence[str],
        *,
        secure: bool = False,
        services: Mapping[str, str] | None = None,
        default_service: str = "newswire",
    ) -> None:
        """Wrap an app.

        Args:
            app: the inner app.
            cors_origins: the origins that may read; ``*`` for all.
            secure: whether the site is reached by https only (RFC 6797).
            services: the service of each route path, for metrics.
            default_service: the service of routes that belong to all services.
        """
        self.app = app
        self.origins = frozenset(cors_origins)
        self.always = [_TRANSPORT_SECURITY] if secure else []
        self._services = services or {}
        self._default_service = default_service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        cors = self._cors(scope) if PUBLIC_READ_PATHS.match(path) else []
        with_key = bool(_header(scope, b"authorization"))
        sender = _ResponseSender(send, method, [*cors, *self.always], with_key=with_key)
        if method == "OPTIONS" and cors and _header(scope, b"access-control-request-method"):
            await _preflight(sender)
            return
        releases: list[Callable[[int], None]] = []
        inner = {**scope, HEADERS: sender.headers, RELEASES: releases}
        sender.count = partial(self._count, inner)
        sender.scope = inner
        if method == "HEAD" and path != _LIVE_STREAM:
            inner["method"] = "GET"
        try:
            with request_context.RequestContext(inner):
                await self.app(inner, receive, sender)
        except Exception as error:  # the framework re-raises an error after its own handler has responded, or could not
            if sender.started:
                raise
            with request_context.RequestContext(inner):
                answer = unexpected(method, path, error).response()
            await answer(scope, receive, sender)
        finally:
            for release in releases:
                release(sender.sent)

    def _count(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        """Count a response. The router stores the route that it matched in the scope."""
        route: str = getattr(scope.get("route"), "path", "unmatched")
        service = self._services.get(route, self._default_service)
        requests, duration = _http_metrics(service, method if method in _METHODS else "other", route, status)
        requests.inc()
        if not scope.get(UNTIMED):
            duration.observe(seconds)

    def _cors(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        if "*" in self.origins:
            allowed = b"*"
        else:
            allowed = _header(scope, b"origin")
            if allowed.decode("latin-1") not in self.origins:
                return [(b"vary", b"Origin")] if self.origins else []
        vary = [(b"vary", b"Origin")] if allowed != b"*" else []
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", EXPOSED_HEADERS.encode()),
            *vary,
        ]


class _ResponseSender:
    """Adds the common headers to a response, and drops the body of a response to HEAD."""

    def __init__(self, send: Send, method: str, headers: list[tuple[bytes, bytes]], *, with_key: bool) -> None:
        self.send = send
        self.method = method
        self.caching = _PRIVATE_CACHING if with_key else _PUBLIC_CACHING
        self.headers = headers
        self.count: Callable[[str, int, float], None] | None = None
        self.scope: Scope | None = None
        self.started = False
        self.sent = 0
        self.received_at = time.perf_counter()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            message["headers"] = [
                *headers,
                *((name, value) for name, value in _SECURITY.items() if name not in present),
                *(() if b"cache-control" in present else self.caching),
                *self.headers,
                *self._request_id(message["status"]),
            ]
            if self.count is not None:
                self.count(self.method, message["status"], time.perf_counter() - self.received_at)
        elif message["type"] == "http.response.body":
            self.sent += message.get(UNCOMPRESSED_BYTES, len(message.get("body", b"")))
            if self.method == "HEAD":
                message = {**message, "body": b""}
        await self.send(message)

    def _request_id(self, status: int) -> list[tuple[bytes, bytes]]:
        """Return the header with the id of the request, if the client gave one or has to report an error."""
        if self.scope is None or (status < 500 and request_context.given_id(self.scope) is None):
            return []
        return [(request_context.REQUEST_ID_HEADER, request_context.request_id(self.scope).encode())]


@cache
def _http_metrics(service: str, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the metrics of these labels: looking them up costs more than counting. Routes are templates, so they are few."""
    requests = metrics.http_requests.labels(service, method, route, status)
    return requests, metrics.http_request_duration.labels(service, method, route)


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

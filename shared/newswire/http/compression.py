"""Compressed responses: zstd (RFC 8878) and gzip (RFC 1952), as the client's ``Accept-Encoding`` allows (RFC 9110, section 12.5.3).

Only whole responses to GET are compressed. Streams are sent as they come. A strong ``ETag`` stands for the bytes of one
representation, and writers send it back in ``If-Match``, so a response with one stays as it is; pages and feeds have weak ones.
Responses to other methods, which may hold a new key beside text that the client sent, are never compressed.
"""

import gzip
import re
import threading
from collections.abc import Callable, Mapping
from typing import Final

import zstandard
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newswire.concurrency.offload import Offload, OffloadError

MIN_BYTES: Final = 1024
"""Smaller responses fit into one packet as they are."""
INLINE_BYTES: Final = 64 * 1024
"""Larger responses are compressed in a thread: gzip takes about 1 ms for this many bytes, zstd a quarter of it."""
GZIP_LEVEL: Final = 5
ZSTD_LEVEL: Final = 3
UNCOMPRESSED_BYTES: Final = "newswire.uncompressed_bytes"
"""In a body message: the size before compression, which readers are charged for."""
CODED_BODIES: Final = "newswire.coded_bodies"
"""In a body message: a dictionary of the body in each coding that was used for it before, to which others are added."""

_COMPRESSIBLE = re.compile(
    rb"(text/(?!event-stream)|application/([a-z0-9.-]+\+)?(json|xml|javascript)\b|application/(x-suggestions|schema)\+json|image/svg\+xml)"
)
_CODING = re.compile(r"\s*([A-Za-z0-9*-]+)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?")
_VARY: Final = (b"vary", b"Accept-Encoding")
_pool = Offload("compress")
_of_thread = threading.local()


class KeptResponse(Response):
    """Sends a body that is kept, and that is compressed at most once in each coding."""

    def __init__(self, body: bytes, coded: dict[str, bytes], media_type: str, headers: Mapping[str, str]) -> None:
        """Send a body. ``coded`` are its compressed copies so far, to which others are added."""
        super().__init__(body, media_type=media_type, headers=headers)
        self._coded = coded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, CODED_BODIES: self._coded})


def chosen_coding(accepted: str) -> str | None:
    """Return the coding to use for a value of ``Accept-Encoding``: the one with the highest weight, zstd before gzip."""
    weights: dict[str, float] = {}
    for item in accepted.split(","):
        found = _CODING.fullmatch(item)
        if found is not None:
            weights[found[1].lower()] = float(found[2] or 1)
    of_any = weights.get("*", 0.0)
    best, coding = max((weights.get(name, of_any if name == "gzip" else 0.0), name) for name in _CODERS)
    return coding if best > 0 else None


class CompressionMiddleware:
    """Compresses the responses of an app."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an app."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
        await self.app(scope, receive, _CompressingSender(send, chosen_coding(accepted.decode("latin-1"))))


class _CompressingSender:
    """Holds back the start of a response until its body is known to be whole."""

    def __init__(self, send: Send, coding: str | None) -> None:
        self._send = send
        self._coding = coding
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if _may_be_compressed(message):
                self._start = message
                return
            if message["status"] == 304 and not _has_strong_etag(message):
                # a cache takes it over for the compressed response that it keeps (RFC 9110, section 15.4.5)
                message["headers"] = [*message.get("headers", ()), _VARY]
        elif self._start is not None:
            start, self._start = self._start, None
            if not message.get("more_body"):
                message = await self._compressed(start, message)
            await self._send(start)
        await self._send(message)

    async def _compressed(self, start: Message, message: Message) -> Message:
        body: bytes = message.get("body", b"")
        if len(body) < MIN_BYTES:
            return message
        start["headers"] = [*start["headers"], _VARY]
        coded: dict[str, bytes] = message.get(CODED_BODIES, {})
        smaller = coded.get(self._coding or "")
        if smaller is None:
            if self._coding is None or (smaller := await _encode(self._coding, body)) is None:
                return message
            coded[self._coding] = smaller
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        start["headers"] = [
            *kept,
            (b"content-encoding", str(self._coding).encode()),
            (b"content-length", str(len(smaller)).encode()),
        ]
        return {**message, "body": smaller, UNCOMPRESSED_BYTES: len(body)}


def _has_strong_etag(start: Message) -> bool:
    return any(name.lower() == b"etag" and value.startswith(b'"') for name, value in start.get("headers", ()))


def _may_be_compressed(start: Message) -> bool:
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    return (
        start["status"] not in (204, 206, 304)
        and b"content-encoding" not in headers
        and not _has_strong_etag(start)
        and _COMPRESSIBLE.match(headers.get(b"content-type", b"").lower()) is not None
    )


async def _encode(coding: str, body: bytes) -> bytes | None:
    """Return a body in a coding; None if it would not be smaller, or while too much work waits."""
    encode = _CODERS[coding]
    if len(body) <= INLINE_BYTES:
        encoded = encode(body)
    else:
        try:
            encoded = await _pool.run(lambda _: encode(body))
        except OffloadError:
            return None
    return encoded if len(encoded) < len(body) else None


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def _zstd(body: bytes) -> bytes:
    if not hasattr(_of_thread, "zstd"):  # a compressor must not be shared by threads
        _of_thread.zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    compressor: zstandard.ZstdCompressor = _of_thread.zstd
    return compressor.compress(body)


_CODERS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": _gzip, "zstd": _zstd}
"""By name; at the same weight, the last in the alphabet is preferred."""

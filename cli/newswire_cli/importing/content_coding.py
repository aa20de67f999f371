"""Content codings of HTTP (RFC 9110, section 8.4.1) undone in bounded memory: no more comes out than is asked for at a time."""

import zlib
from collections.abc import Iterator

from newswire_cli.importing.models import UnreadableSourceError

ACCEPTED = "gzip, deflate"
MAX_CODINGS = 2
"""A server that compresses what is compressed already; more is an attack."""
CHUNK_BYTES = 65_536


def decode(parts: Iterator[bytes], codings: str, limit: int) -> Iterator[bytes]:
    """Return what the parts of an answer hold, at most `limit` bytes of it, also within each coding.

    Raises:
        UnreadableSourceError: it is coded in an unknown way, too often, broken, or holds more.
    """
    names = [name for each in codings.lower().split(",") if (name := each.strip()) and name != "identity"]
    if len(names) > MAX_CODINGS:
        raise UnreadableSourceError(f"is compressed {len(names)} times over (Content-Encoding: {codings[:60]})")
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            parts = _inflated(parts, zlib.MAX_WBITS | 16, limit)
        elif name == "deflate":
            parts = _inflated(parts, zlib.MAX_WBITS, limit)
        else:
            raise UnreadableSourceError(f"comes in the Content-Encoding {name[:30]!r}, which was not asked for")
    return parts


def _inflated(parts: Iterator[bytes], window: int, limit: int) -> Iterator[bytes]:
    size, first, decoder = 0, True, zlib.decompressobj(window)
    for part in parts:
        if first and window == zlib.MAX_WBITS and not _has_zlib_header(part):
            decoder = zlib.decompressobj(-zlib.MAX_WBITS)  # "deflate" without the wrapper, as many servers send it
        first = False
        while part and not decoder.eof:
            try:
                unpacked = decoder.decompress(part, CHUNK_BYTES)
            except zlib.error as error:
                raise UnreadableSourceError(f"is broken in its compression: {error}") from None
            size += len(unpacked)
            if size > limit:
                raise UnreadableSourceError(f"unpacks to more than {limit // 1_000_000} MB")
            if unpacked:
                yield unpacked
            part = decoder.unconsumed_tail
            if decoder.eof and decoder.unused_data.startswith(b"\x1f\x8b"):
                part, decoder = decoder.unused_data, zlib.decompressobj(window)
    if not first and not decoder.eof:
        rest = decoder.flush(CHUNK_BYTES)
        if rest:
            yield rest
        raise UnreadableSourceError("is cut short in its compression")


def _has_zlib_header(part: bytes) -> bool:
    return len(part) > 1 and part[0] & 0x0F == 8 and (part[0] * 256 + part[1]) % 31 == 0

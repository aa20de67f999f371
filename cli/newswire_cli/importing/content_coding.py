"""Decodes HTTP content codings (RFC 9110, section 8.4.1) in bounded memory: output is produced in limited parts."""

import zlib
from collections.abc import Iterator

from newswire_ingest.importing.models import UnreadableSourceError

ACCEPTED = "gzip, deflate"
MAX_CODINGS = 2
"""Some servers compress data that is already compressed; more codings than this are an attack."""
CHUNK_BYTES = 65_536


def decode(parts: Iterator[bytes], codings: str, limit: int) -> Iterator[bytes]:
    """Return the decoded content of a response. At most `limit` bytes are produced, also by each coding.

    Raises:
        UnreadableSourceError: the coding is unknown, nested too often or broken, or the content is larger than `limit`.
    """
    names = [name for each in codings.lower().split(",") if (name := each.strip()) and name != "identity"]
    if len(names) > MAX_CODINGS:
        raise UnreadableSourceError(f"is compressed {len(names)} times (Content-Encoding: {codings[:60]})")
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            parts = _inflated(parts, zlib.MAX_WBITS | 16, limit)
        elif name == "deflate":
            parts = _inflated(parts, zlib.MAX_WBITS, limit)
        else:
            raise UnreadableSourceError(f"has the Content-Encoding {name[:30]!r}, which was not requested")
    return parts


def _inflated(parts: Iterator[bytes], window: int, limit: int) -> Iterator[bytes]:
    size, first, decoder = 0, True, zlib.decompressobj(window)
    for part in parts:
        if first and window == zlib.MAX_WBITS and not _has_zlib_header(part):
            decoder = zlib.decompressobj(-zlib.MAX_WBITS)  # "deflate" without the zlib wrapper, as many servers send it
        first = False
        while part and not decoder.eof:
            try:
                unpacked = decoder.decompress(part, CHUNK_BYTES)
            except zlib.error as error:
                raise UnreadableSourceError(f"is compressed, and the compressed data is broken: {error}") from None
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
        raise UnreadableSourceError("is compressed, and the compressed data is truncated")


def _has_zlib_header(part: bytes) -> bool:
    return len(part) > 1 and part[0] & 0x0F == 8 and (part[0] * 256 + part[1]) % 31 == 0

"""Compressed responses: all usual codings are decoded, within the size limit of a document."""

import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from newswire_cli.importing.content_coding import decode
from newswire_ingest.importing.models import UnreadableSourceError

LIMIT = 50_000_000
TEXT = b"<p>The tide comes in.</p>" * 100


def coded(content: bytes, *codings: str) -> bytes:
    windows = {"gzip": 31, "deflate": 15, "raw": -15}
    for coding in codings:
        packer = zlib.compressobj(9, wbits=windows[coding])
        content = packer.compress(content) + packer.flush()
    return content


def in_parts(content: bytes, size: int = 1000) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (coded(TEXT, "gzip"), "gzip"),
        (coded(TEXT, "gzip"), "X-Gzip"),
        (coded(TEXT, "deflate"), "deflate"),
        (coded(TEXT, "raw"), "deflate"),
        (coded(TEXT, "gzip", "gzip"), "gzip, gzip"),
        (coded(TEXT, "deflate", "gzip"), "deflate, gzip"),
        (coded(TEXT[:1000], "gzip") + coded(TEXT[1000:], "gzip"), "gzip"),
        (b"", "gzip"),
    ],
)
def test_usual_codings_are_decoded(sent: bytes, said: str) -> None:
    expected = TEXT if sent else b""
    assert b"".join(decode(in_parts(sent), said, LIMIT)) == expected


@pytest.mark.parametrize("codings", [("gzip",), ("gzip", "gzip"), ("deflate", "gzip"), ("gzip", "deflate"), ("raw",)])
def test_a_compression_bomb_is_rejected_in_little_memory(codings: tuple[str, ...]) -> None:
    bomb = coded(b"\0" * 100_000_000, *codings)
    said = ", ".join(codings).replace("raw", "deflate")
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableSourceError, match="unpacks to more than 50 MB"):
            for _ in decode(iter([bomb]), said, LIMIT):
                pass
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("sent", "said", "reason"),
    [
        (TEXT, "gzip, gzip, gzip", "3 times"),
        (TEXT, "br", "'br'"),
        (TEXT, "gzip", "broken"),
        (coded(TEXT, "gzip")[:-10], "gzip", "truncated"),
        (coded(TEXT, "gzip", "gzip")[:-20], "gzip, gzip", "truncated"),
    ],
)
def test_unusual_codings_are_reported(sent: bytes, said: str, reason: str) -> None:
    with pytest.raises(UnreadableSourceError, match=reason):
        b"".join(decode(in_parts(sent), said, LIMIT))

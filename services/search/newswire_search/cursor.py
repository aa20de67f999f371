"""Cursors: where the next page begins, opaque to clients and bound to the search they came from."""

import base64
import binascii
import hashlib
import time
import zlib
from collections.abc import Callable
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from newswire.problems import Problem, invalid, problem
from newswire_search.index import Position, SearchRequest, Sort

LIFETIME = 300
LONGEST = 16_000
"""Bytes of an unpacked cursor: the ids of a page of a hundred articles, and a snapshot's name."""


class _Cursor(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    s: str
    """Digest of the search."""
    t: int
    """When the page before was made, in s."""
    k: list[int | float | str]
    """The sort key of that page's last result."""
    p: str | None = None
    """The snapshot."""
    x: list[str] = []
    """What the first page showed, in an order by relevance."""
    n: int | None = None
    """The moment that ages count from, in ms."""


def digest(request: SearchRequest) -> str:
    """Return a short hash of what is searched for and in which order; page size and fields may change on the way."""
    filters = sorted(
        (field, sorted(chosen.wanted), sorted(chosen.unwanted)) for field, chosen in request.filters.items()
    )
    entitlement = request.entitlement.canonical() if request.entitlement is not None else None
    parts = [repr(request.query), filters, request.since, request.until, request.sort, entitlement]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]


def write_cursor(position: Position, request: SearchRequest, *, clock: Callable[[], float] = time.time) -> str:
    """Return the cursor of the page that begins at a position."""
    cursor = _Cursor(
        s=digest(request),
        t=int(clock()),
        k=list(position.key),
        p=position.snapshot,
        x=list(position.shown),
        n=request.now,
    )
    packed = zlib.compress(cursor.model_dump_json(exclude_defaults=True).encode())
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def read_cursor(text: str, request: SearchRequest, *, clock: Callable[[], float] = time.time) -> Position:
    """Return where the page of a cursor begins.

    Raises:
        Problem: 422 where it is no cursor or belongs to another search, 410 where it is too old.
    """
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        packed = base64.b64decode(padded, altchars=b"-_", validate=True)
        cursor = _Cursor.model_validate_json(zlib.decompressobj().decompress(packed, LONGEST))
    except (UnicodeEncodeError, binascii.Error, zlib.error, ValidationError):
        raise invalid("cursor", "is not a cursor", "send 'next_cursor' of the page before, unchanged") from None
    if cursor.s != digest(request):
        raise invalid(
            "cursor",
            "belongs to another search",
            "keep q, filters, dates and sort as they were, or leave the cursor out",
        )
    if not _fits(cursor, request.sort):
        raise invalid("cursor", "is not a cursor", "send 'next_cursor' of the page before, unchanged")
    if not 0 <= clock() - cursor.t + 60 <= LIFETIME + 60:
        raise expired()
    return Position(tuple(cursor.k), cursor.p, tuple(cursor.x), cursor.n)


def expired() -> Problem:
    """The page that a cursor points to can no longer be given (410)."""
    return problem(410, "cursor-expired", "this cursor is older than five minutes; search again from the first page")


def _fits(cursor: _Cursor, sort: Sort) -> bool:
    kinds: list[Any] = [type(part) for part in cursor.k]
    if sort is Sort.RELEVANCE:
        return kinds[0] in (int, float) if kinds else bool(cursor.x)
    return kinds == [int, str] and abs(int(cursor.k[0])) < 2**53

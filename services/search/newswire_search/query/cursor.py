"""Cursors: where the next page begins, signed and bound to the route, the search and the reader they came from."""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from newswire.auth.credentials import Caller
from newswire.auth.signed_tokens import InvalidTokenError, Purpose, SignedTokens
from newswire.http.client_address import client_of
from newswire.http.pagination import caller_identity, cursor_expired, cursor_refused
from newswire.http.problems import ProblemError
from newswire_search.index.port import Position, SearchRequest
from newswire_search.index.snapshots import SNAPSHOT_MAX_SECONDS

CURSOR_LIFETIME_SECONDS = 300
"""For how many seconds a cursor leads on."""


@dataclass(frozen=True, slots=True)
class CursorScope:
    """Who turns pages, and where: a cursor is of use there alone."""

    tokens: SignedTokens
    route: str
    caller: list[str]
    reader: str
    """Whose share of snapshots is used."""


class _Cursor(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    k: list[int | float | str]
    """The sort key of the last result of the page before."""
    p: str | None = None
    """The snapshot."""
    o: float | None = None
    """When it was opened, in s."""
    x: list[str] = []
    """What the first page showed, in an order by relevance."""
    n: int | None = None
    """The moment that ages count from, in ms."""


def scope_of(request: Request, caller: Caller | None, route: str) -> CursorScope:
    """Return the scope of a request's cursors."""
    reader = f"account {caller.account}" if caller is not None else f"address {client_of(request.scope)}"
    return CursorScope(request.app.state.signed_tokens, route, caller_identity(caller), reader)


async def write_cursor(
    position: Position, request: SearchRequest, scope: CursorScope, *, clock: Callable[[], float] = time.time
) -> str:
    """Return the cursor of the page that begins at a position."""
    cursor = _Cursor(
        k=list(position.key), p=position.snapshot, o=position.opened, x=list(position.shown), n=request.now
    )
    content = zlib.compress(cursor.model_dump_json(exclude_defaults=True).encode())
    left = (
        CURSOR_LIFETIME_SECONDS
        if position.opened is None
        else min(CURSOR_LIFETIME_SECONDS, position.opened + SNAPSHOT_MAX_SECONDS - clock())
    )
    return await scope.tokens.write(Purpose.SEARCH_CURSOR, content, bound_to=_bound_to(request, scope), lifetime=left)


async def read_cursor(text: str, request: SearchRequest, scope: CursorScope) -> Position:
    """Return where the page of a cursor begins.

    Raises:
        ProblemError: 400 where it is no cursor or belongs to another search or reader, 410 where it is too old.
    """
    try:
        content = await scope.tokens.read(Purpose.SEARCH_CURSOR, text, bound_to=_bound_to(request, scope))
        cursor = _Cursor.model_validate_json(zlib.decompress(content))
    except InvalidTokenError as error:
        raise cursor_refused(error) from None
    except (zlib.error, ValidationError):  # it is genuine: another release wrote it
        raise expired() from None
    return Position(tuple(cursor.k), cursor.p, tuple(cursor.x), cursor.n, cursor.o)


def expired() -> ProblemError:
    """The page that a cursor points to can no longer be given (410)."""
    return cursor_expired()


def _bound_to(request: SearchRequest, scope: CursorScope) -> list[Any]:
    """Return the reader, and what is searched for and in which order; page size and fields may change on the way."""
    filters = sorted(
        (field, sorted(chosen.include), sorted(chosen.exclude)) for field, chosen in request.filters.items()
    )
    entitlement = request.entitlement.canonical() if request.entitlement is not None else None
    asked = [repr(request.query), filters, request.since, request.until, request.sort, entitlement]
    return [scope.route, asked, scope.caller]

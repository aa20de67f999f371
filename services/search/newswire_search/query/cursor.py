"""Cursors: the position of the next page, signed and bound to the route, the search and the reader they were issued to."""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from newswire.auth.credentials import Caller
from newswire.auth.signed_tokens import InvalidTokenError, Purpose, SignedTokens
from newswire.filters import Filter
from newswire.http.client_address import client_of
from newswire.http.pagination import caller_identity, cursor_expired, cursor_refused
from newswire_search.index.models import Position, SearchPage, SearchRequest
from newswire_search.index.snapshots import SNAPSHOT_MAX_SECONDS
from newswire_search.query.parameters import SearchParams, to_request

CURSOR_LIFETIME_SECONDS = 300


@dataclass(frozen=True, slots=True)
class CursorScope:
    """The route and the reader that a cursor is valid for."""

    tokens: SignedTokens
    route: str
    caller: list[str]
    reader: str
    """The owner of the share of snapshots that pages use."""


class _Cursor(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    k: list[int | float | str]
    """The sort key of the last result of the previous page."""
    p: str | None = None
    """The snapshot."""
    o: float | None = None
    """When the snapshot was opened, in s since 1970."""
    x: list[str] = []
    """The ids of the first page, by relevance."""
    n: int | None = None
    """The time from which ages are counted, in ms since 1970."""


def scope_of(request: Request, caller: Caller | None, route: str) -> CursorScope:
    """Return the scope of a request's cursors."""
    reader = f"account {caller.account}" if caller is not None else f"address {client_of(request.scope)}"
    return CursorScope(request.app.state.signed_tokens, route, caller_identity(caller), reader)


async def page_request(
    params: SearchParams,
    entitlement: Filter | None,
    scope: CursorScope,
    erased: Mapping[int, Sequence[str]] | None = None,
) -> SearchRequest:
    """Return the page that the parameters request, within what the caller may read; ``erased`` is that of `SearchRequest`.

    Raises:
        ProblemError: 422 for invalid values, 400 for a cursor of another search or reader, 410 for an expired cursor.
    """
    request = to_request(params, entitlement, snapshot_owner=scope.reader, erased=erased)
    if params.cursor is None:
        return request
    after = await read_cursor(params.cursor, request, scope)
    return replace(request, after=after, now_ms=after.now_ms)


async def next_cursor(
    request: SearchRequest, page: SearchPage, scope: CursorScope, *, kept_seconds: float = 0.0
) -> str | None:
    """Return the cursor of the page after this one, or None after the last; it may be sent for ``kept_seconds`` from now on."""
    if page.next is None:
        return None
    return await write_cursor(page.next, request, scope, lifetime=CURSOR_LIFETIME_SECONDS + kept_seconds)


async def write_cursor(
    position: Position,
    request: SearchRequest,
    scope: CursorScope,
    *,
    lifetime: float = CURSOR_LIFETIME_SECONDS,
    clock: Callable[[], float] = time.time,
) -> str:
    """Return the cursor of the page that begins at a position."""
    opened_at = position.snapshot_opened_at
    members = {"p": position.snapshot, "o": opened_at, "x": position.seen_ids or None, "n": request.now_ms}
    cursor = {"k": position.sort_key, **{name: value for name, value in members.items() if value is not None}}
    content = zlib.compress(orjson.dumps(cursor), zlib.Z_BEST_SPEED)  # what `_Cursor` reads
    if opened_at is not None:
        lifetime = min(lifetime, opened_at + SNAPSHOT_MAX_SECONDS - clock())
    bound_to = _bound_to(request, scope)
    return await scope.tokens.write(Purpose.SEARCH_CURSOR, content, bound_to=bound_to, lifetime=lifetime)


async def read_cursor(text: str, request: SearchRequest, scope: CursorScope) -> Position:
    """Return the position of a cursor.

    Raises:
        ProblemError: 400 for an invalid cursor or one of another search or reader, 410 for an expired one.
    """
    try:
        content = await scope.tokens.read(Purpose.SEARCH_CURSOR, text, bound_to=_bound_to(request, scope))
        cursor = _Cursor.model_validate_json(zlib.decompress(content))
    except InvalidTokenError as error:
        raise cursor_refused(error) from None
    except (zlib.error, ValidationError):  # the signature is valid: another release issued it
        raise cursor_expired() from None
    return Position(tuple(cursor.k), cursor.p, tuple(cursor.x), cursor.n, cursor.o)


def _bound_to(request: SearchRequest, scope: CursorScope) -> list[Any]:
    """Return the reader, the search and its order; page size and fields may change between pages."""
    filters = sorted(
        (field, sorted(chosen.include), sorted(chosen.exclude)) for field, chosen in request.filters.items()
    )
    entitlement = request.entitlement.canonical() if request.entitlement is not None else None
    search = [repr(request.query), filters, request.since_ms, request.until_ms, request.sort, entitlement]
    return [scope.route, search, scope.caller]

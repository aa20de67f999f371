"""Paginated lists: their parameters in the OpenAPI document, their cursors, and their responses."""

import re
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from newswire.auth.credentials import Caller
from newswire.auth.signed_tokens import ExpiredTokenError, ForeignTokenError, InvalidTokenError, Purpose, SignedTokens
from newswire.http.middleware import HEADERS
from newswire.http.problems import FieldError, ProblemError, problem
from newswire.validation.fields import Moment
from newswire.validation.rules import broken_rule

_PLACE = re.compile(r"([0-9]{1,15})-([0-9a-z_]{1,80})")
MAX_LINK_BYTES = 4096
"""A longer address is left to the member `next_cursor`: proxies bound the size of headers."""
LIFETIME = 24 * 3600.0
"""How long the cursor of a list is valid, in seconds."""
_NOT_BOUND = ("cursor", "limit")

DATE_TIME = {"type": "string", "format": "date-time"}

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100


def _page_size(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= MAX_PAGE_SIZE):
        raise broken_rule(f"is not a whole number from 1 to {MAX_PAGE_SIZE}", f"send for example {DEFAULT_PAGE_SIZE}")
    return value


PageSize = Annotated[
    int, Field(description="How many to answer at most.", ge=1, le=MAX_PAGE_SIZE), BeforeValidator(_page_size)
]
OptionalText = Annotated[str | None, WithJsonSchema({"type": "string"})]
OptionalMoment = Annotated[Moment | None, WithJsonSchema(DATE_TIME)]


class PageParams(BaseModel):
    """The query parameters of a list that is read page by page."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[
        str | None,
        Field(description="The `next_cursor` of the page before."),
        WithJsonSchema({"type": "string", "minLength": 1}),
    ] = None
    limit: PageSize = DEFAULT_PAGE_SIZE


_PARAMETERS: dict[str, dict[str, Any]] = {
    "account": {"description": "Only those of this account.", "schema": {"type": "string"}},
    "cursor": {"description": "The `next_cursor` of the previous page.", "schema": {"type": "string", "minLength": 1}},
    "limit": {
        "description": "The maximum number of items.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    },
}


def document_parameters(*names: str, **others: str | tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the OpenAPI description of these query parameters, for ``openapi_extra``.

    ``others`` have a description, and a schema unless they are plain strings.
    """
    known = {name: _PARAMETERS[name] for name in names}
    both = {name: what if isinstance(what, tuple) else (what, {"type": "string"}) for name, what in others.items()}
    more = {name: {"description": what, "schema": schema} for name, (what, schema) in both.items()}
    return {
        "parameters": [{"name": name, "in": "query", "required": False} | of for name, of in (known | more).items()]
    }


def caller_identity(caller: Caller | None) -> list[str]:
    """Return the identity that tokens are bound to: the account and its entitlement, or that of all callers without a key."""
    return [] if caller is None else [caller.account, caller.stored_entitlement or ""]


async def next_cursor(request: Request, caller: Caller | None, position: str | None) -> str | None:
    """Return the cursor of the page that begins at a position of this list; None if there is no such page.

    It is bound to the address, all parameters except ``limit``, and the caller. The response gets a link to that page (RFC 8288).
    """
    if position is None:
        return None
    tokens: SignedTokens = request.app.state.signed_tokens
    cursor = await tokens.write(
        Purpose.LIST_CURSOR, position.encode(), bound_to=_list_of(request, caller), lifetime=LIFETIME
    )
    pairs = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    link = f'<{quote(request.url.path)}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'
    if len(link) <= MAX_LINK_BYTES:
        request.scope[HEADERS] += [(b"link", link.encode())]
    return cursor


async def requested_position(request: Request, caller: Caller | None) -> str | None:
    """Return the position in the cursor of a request; None if it has no cursor.

    Raises:
        newswire.http.problems.ProblemError: 400 for a cursor of another list or caller, 410 for an expired one.
    """
    sent = request.query_params.get("cursor")
    if sent is None:
        return None
    tokens: SignedTokens = request.app.state.signed_tokens
    try:
        return (await tokens.read(Purpose.LIST_CURSOR, sent, bound_to=_list_of(request, caller))).decode()
    except InvalidTokenError as error:
        raise cursor_refused(error) from None


def cursor_refused(error: InvalidTokenError, field: str = "cursor") -> ProblemError:
    """Return the problem of an invalid cursor: 410 if it has expired, else 400."""
    if isinstance(error, ExpiredTokenError):
        return cursor_expired()
    if isinstance(error, ForeignTokenError):
        what = "belongs to another request"
        fix = "keep the address, the key and all other parameters unchanged, or omit the cursor to start again"
    else:
        what, fix = (
            "is not a cursor of this service",
            "send it exactly as the previous page returned it, or omit it",
        )
    detail = f"{field}: {what}"
    return problem(400, "invalid-cursor", detail, title="Invalid cursor", errors=[FieldError(field, what, fix)])


def cursor_expired() -> ProblemError:
    """Return the problem of a page that is no longer available (410)."""
    return problem(410, "cursor-expired", "this cursor has expired; start again with the first page")


def list_position(moment: datetime, identity: str) -> str:
    """Return the position after one item of a list that is sorted by time."""
    return f"{round(moment.timestamp() * 1000)}-{identity}"


def parse_list_position(position: str | None) -> tuple[int, str] | None:
    """Parse a position made by `list_position`: the time in ms since the epoch, and the id.

    Raises:
        newswire.http.problems.ProblemError: 400 for any other text.
    """
    if position is None:
        return None
    parts = _PLACE.fullmatch(position)
    if parts is None:
        raise cursor_refused(InvalidTokenError())
    return int(parts[1]), parts[2]


def _list_of(request: Request, caller: Caller | None) -> list[Any]:
    parameters = sorted(pair for pair in request.query_params.multi_items() if pair[0] not in _NOT_BOUND)
    return [request.scope["path"], parameters, caller_identity(caller)]


def json_answer(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response that must not be cached; times are in UTC."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, status, {"Cache-Control": "no-store"} | (headers or {}), "application/json")

"""Lists that are read page by page: their parameters as the OpenAPI document shows them, their cursors, and their answers."""

import re
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from newswire.auth.credentials import Caller
from newswire.auth.signed_tokens import ExpiredTokenError, ForeignTokenError, InvalidTokenError, Purpose, SignedTokens
from newswire.http.problems import FieldError, ProblemError, problem

_PLACE = re.compile(r"([0-9]{1,15})-([0-9a-z_]{1,80})")
LIFETIME = 24 * 3600.0
"""For how many seconds a cursor of a list leads on."""
_NOT_BOUND = ("cursor", "limit")

DATE_TIME = {"type": "string", "format": "date-time"}

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100

_PARAMETERS: dict[str, dict[str, Any]] = {
    "account": {"description": "Only those of this account.", "schema": {"type": "string"}},
    "cursor": {"description": "The `next_cursor` of the page before.", "schema": {"type": "string", "minLength": 1}},
    "limit": {
        "description": "How many to answer at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    },
}


def document_parameters(*names: str, **others: str | tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return these query parameters for an operation's ``openapi_extra``.

    ``others`` have a description, and a schema where they are not just any string.
    """
    known = {name: _PARAMETERS[name] for name in names}
    both = {name: what if isinstance(what, tuple) else (what, {"type": "string"}) for name, what in others.items()}
    more = {name: {"description": what, "schema": schema} for name, (what, schema) in both.items()}
    return {
        "parameters": [{"name": name, "in": "query", "required": False} | of for name, of in (known | more).items()]
    }


def caller_identity(caller: Caller | None) -> list[str]:
    """Return whose tokens these are, as they are bound to a caller: an account and what it may read, or everybody without a key."""
    return [] if caller is None else [caller.account, caller.stored_entitlement or ""]


async def next_cursor(request: Request, caller: Caller | None, position: str | None) -> str | None:
    """Return the cursor of the page that begins at a position of this list; None where there is none.

    It is bound to the address, all parameters but ``limit``, and the caller.
    """
    if position is None:
        return None
    tokens: SignedTokens = request.app.state.signed_tokens
    return await tokens.write(
        Purpose.LIST_CURSOR, position.encode(), bound_to=_list_of(request, caller), lifetime=LIFETIME
    )


async def requested_position(request: Request, caller: Caller | None) -> str | None:
    """Return the position in the cursor that was sent; None where none was.

    Raises:
        newswire.http.problems.ProblemError: 400 for a cursor of another list or caller, 410 for one that is too old.
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
    """Return the problem of a cursor that leads nowhere: 410 where it is too old, else 400."""
    if isinstance(error, ExpiredTokenError):
        return cursor_expired()
    if isinstance(error, ForeignTokenError):
        what = "belongs to another request"
        fix = "keep the address, the key and all other parameters as they were, or leave it out to begin again"
    else:
        what, fix = (
            "is not a cursor that was given out here",
            "send it exactly as the page before gave it, or leave it out",
        )
    detail = f"{field}: {what}"
    return problem(400, "invalid-cursor", detail, title="Invalid cursor", errors=[FieldError(field, what, fix)])


def cursor_expired() -> ProblemError:
    """The page that a cursor leads to can no longer be given (410)."""
    return problem(410, "cursor-expired", "this cursor has expired; begin again with the first page")


def list_position(moment: datetime, identity: str) -> str:
    """Return the position behind one item of a list in the order of time."""
    return f"{round(moment.timestamp() * 1000)}-{identity}"


def parse_list_position(position: str | None) -> tuple[int, str] | None:
    """Read a position that `list_position` made: the time in ms since the epoch, and the id.

    Raises:
        newswire.http.problems.ProblemError: 400 for what was not made there.
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
    """Answer with a document that no cache may keep; times are in UTC."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, status, {"Cache-Control": "no-store"} | (headers or {}), "application/json")

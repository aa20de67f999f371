"""Lists that are read page by page: their parameters as the OpenAPI document shows them, and their answers."""

import re
from datetime import datetime
from typing import Any

import orjson
from starlette.responses import Response

from newswire.problems import invalid

_CURSOR = re.compile(r"([0-9]{1,15})-([0-9a-z_]{1,80})")

PAGE = 50
LARGEST_PAGE = 100

_PARAMETERS: dict[str, dict[str, Any]] = {
    "account": {"description": "Only those of this account.", "schema": {"type": "string"}},
    "cursor": {"description": "The `next_cursor` of the page before.", "schema": {"type": "string"}},
    "limit": {
        "description": "How many to answer at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE},
    },
}


def described(*names: str, **others: str) -> dict[str, Any]:
    """Return these query parameters for an operation's ``openapi_extra``; ``others`` are strings, each with its description."""
    known = {name: _PARAMETERS[name] for name in names}
    more = {name: {"description": what, "schema": {"type": "string"}} for name, what in others.items()}
    return {
        "parameters": [{"name": name, "in": "query", "required": False} | of for name, of in (known | more).items()]
    }


def cursor_after(moment: datetime, identity: str) -> str:
    """Return the cursor of a list in the order of time, for what comes after one item."""
    return f"{round(moment.timestamp() * 1000)}-{identity}"


def place_of(cursor: str | None) -> tuple[int, str] | None:
    """Read a cursor that `cursor_after` made: the time in ms since the epoch, and the id.

    Raises:
        newswire.problems.Problem: 422 for what was not made there.
    """
    if cursor is None:
        return None
    parts = _CURSOR.fullmatch(cursor)
    if parts is None:
        raise invalid("cursor", "was not given out here", "send 'next_cursor' of the page before as it is, or none")
    return int(parts[1]), parts[2]


def json_answer(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a document that no cache may keep; times are in UTC."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, status, {"Cache-Control": "no-store"} | (headers or {}), "application/json")

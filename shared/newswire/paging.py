"""Lists that are read page by page: their parameters as the OpenAPI document shows them, and their answers."""

from typing import Any

import orjson
from starlette.responses import Response

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


def json_answer(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a document that no cache may keep; times are in UTC."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, status, {"Cache-Control": "no-store"} | (headers or {}), "application/json")

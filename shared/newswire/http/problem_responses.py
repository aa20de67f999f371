"""Describes problems in the OpenAPI document: by status, with the problem types that an operation returns."""

from typing import Any, Final

from newswire.http.problem_types import PATH, PROBLEM_TYPES

MEDIA_TYPE: Final = "application/problem+json"
SCHEMA: Final = {"$ref": "#/components/schemas/Problem"}

_STRING: Final = {"type": "string"}
_RETRY_AFTER: Final = {
    "description": "Seconds after which the request may be repeated.",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
}
_CHALLENGE: Final = {"description": "What is wrong with the key (RFC 6750).", "required": True, "schema": _STRING}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": _CHALLENGE},
    415: {"Accept": {"description": "The media types that are accepted here.", "required": True, "schema": _STRING}},
    429: {"Retry-After": _RETRY_AFTER},
}


def problems(*names: str) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route for these problem types; those with the same status share one description."""
    statuses = sorted({PROBLEM_TYPES[name].status for name in names})
    return {status: _response(status, names) for status in statuses}


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Merge two responses of the same status; each problem type is described once."""
    lines = dict.fromkeys([*first["description"].splitlines(), *second["description"].splitlines()])
    return {**first, "description": "\n".join(lines)}


def _response(status: int, names: tuple[str, ...]) -> dict[str, Any]:
    described = [
        f"- [`{name}`]({PATH}/{name}): {PROBLEM_TYPES[name].meaning}"
        for name in dict.fromkeys(names)
        if PROBLEM_TYPES[name].status == status
    ]
    response = {"description": "\n".join(described), "content": {MEDIA_TYPE: {"schema": SCHEMA}}}
    return response | ({"headers": _HEADERS[status]} if status in _HEADERS else {})

"""Reads the forms of pages: URL-encoded, or the same fields as JSON; strictly bounded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from newswire.http.problems import malformed
from newswire.http.request_parsing import (
    JSON,
    check_media_type,
    check_single_headers,
    parse_json,
    parsing_turn,
    read_body,
)

MAX_FORM_BYTES = 16 * 1024
MAX_FIELDS = 60
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class FormData:
    """The fields of a form, each with its values in order."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """Return the first value of a field; empty where it was not sent."""
        return next(iter(self.values.get(name, ())), "")

    def all(self, name: str) -> Sequence[str]:
        """Return all values of a field."""
        return self.values.get(name, ())


def is_json(request: Request) -> bool:
    """Return whether a request has a JSON body."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON


async def read_form(request: Request, max_bytes: int = MAX_FORM_BYTES) -> FormData:
    """Read a form, or the same fields as JSON.

    Raises:
        newswire.http.problems.ProblemError: 415 for another type, 413 for more than ``max_bytes``, 400 for what cannot be read.
    """
    check_media_type(request, FORM, JSON)
    body = await read_body(request, max_bytes)
    check_single_headers(request)
    await parsing_turn(request, len(body))
    if is_json(request):
        return _of_json(parse_json(body))
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise malformed(
            "body", f"is not a form in UTF-8 with at most {MAX_FIELDS} fields", "send the form as it is"
        ) from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return FormData(values)


def _of_json(document: object) -> FormData:
    if not isinstance(document, dict) or len(document) > MAX_FIELDS:
        raise malformed(
            "body", "is not a JSON object with the fields of the form", "send an object whose members are texts"
        )
    values = {}
    for name, value in document.items():
        items = value if isinstance(value, list) else [value]
        if len(items) > MAX_FIELDS or any(isinstance(item, dict | list) for item in items):
            raise malformed(str(name)[:100], "is neither a text nor a list of texts", "send texts")
        values[str(name)] = [item if isinstance(item, str) else orjson.dumps(item).decode() for item in items]
    return FormData(values)

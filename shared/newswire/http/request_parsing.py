"""Parses requests strictly, with the checks in the documented order: 415, 413, 400, 422."""

import asyncio
import difflib
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NoReturn, TypeVar
from urllib.parse import quote, unquote_to_bytes

import orjson
from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams

from newswire.concurrency.fair_slots import FairSlots
from newswire.concurrency.fair_threads import current_client
from newswire.http.problems import (
    MAX_FIELD_NAME_CHARS,
    ROOT_FIELD,
    FieldError,
    ProblemError,
    from_validation_error,
    invalid,
    invalid_fields,
    malformed,
    problem,
    too_large,
    unsupported_media_type,
)
from newswire.http.sent_headers import sent_header, sent_headers

MAX_BODY_BYTES = 1024 * 1024
PARSED_AT_ONCE_BYTES = 8 * 1024
"""A body of this size takes less than 1 ms to parse and validate."""
MAX_VALUES = 2_000
"""Maximum number of members and array items of a JSON document, at all depths. Each unknown or invalid one produces an error, and
10,000 of them take up to 0.1 s. An article with 50 authors and topics and the shortest metadata has at most 1,000."""
_HOLDERS = (dict, list)
JSON = "application/json"
SINGLE_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key")
_SINGLE = frozenset(name.lower().encode() for name in SINGLE_HEADERS)

_TRAILING_NAME = re.compile(r"\{(\w+):path\}$")
"""The end of a route whose last part is an identifier that may contain slashes."""

Model = TypeVar("Model", bound=BaseModel)
Params = TypeVar("Params", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ParsedBody(Generic[Model]):
    """A request body: the model, and the members exactly as they were sent."""

    model: Model
    raw: dict[str, Any]

    def __iter__(self) -> Any:
        """Allow unpacking: ``draft, raw = sent``."""
        return iter((self.model, self.raw))


def json_body(
    model: type[Model], limit: int = MAX_BODY_BYTES, *, media_types: tuple[str, ...] = (JSON,), optional: bool = False
) -> Callable[[Request], Awaitable[ParsedBody[Model]]]:
    """Return the dependency that parses a JSON body into a model. Declare it after the one that authenticates the caller.

    An optional body may be absent: that is parsed as ``{}``. Query parameters are rejected (422).
    """

    async def read(request: Request) -> ParsedBody[Model]:
        if optional and not _has_body(request):
            await no_parameters(request)
            return ParsedBody(model(), {})
        check_media_type(request, *media_types)
        body = await read_body(request, limit)
        check_single_headers(request)
        await parsing_turn(request, len(body))
        raw = parse_json(body)
        check_address(request)
        return validate_body(raw, model)

    read.body_model = model  # type: ignore[attr-defined]
    read.body_limit = limit  # type: ignore[attr-defined]
    read.body_media_types = media_types  # type: ignore[attr-defined]
    read.body_required = not optional  # type: ignore[attr-defined]
    return read


def validate_body(raw: Any, model: type[Model]) -> ParsedBody[Model]:
    """Validate parsed JSON with a model; invalid content is 422."""
    _check_values(raw)
    try:
        return ParsedBody(model.model_validate(raw), raw)
    except ValidationError as error:
        raise from_validation_error(error, model) from None
    except RecursionError:
        raise _too_deep() from None


async def parsing_turn(request: Request, size: int) -> None:
    """Wait until this client may parse a body of so many bytes on the event loop; small ones never wait.

    Parsing a large body takes up to 15 ms. Where several wait, the loop serves other connections after each of them, and clients
    take turns: of many large bodies that arrived together, a small request waits for one at most.
    """
    if size <= PARSED_AT_ONCE_BYTES:
        return
    turns: FairSlots = request.app.state.parsing_turns
    await turns.acquire(current_client.get())
    asyncio.get_running_loop().call_soon(turns.release)  # after the step that parses, and what else is ready by then


async def single_headers(request: Request) -> None:
    """Reject duplicates of a header that must be sent once: the dependency of paths without a body."""
    check_single_headers(request)


async def no_parameters(request: Request) -> None:
    """Reject duplicate headers, as `single_headers` does, and every query parameter (422)."""
    check_single_headers(request)
    check_address(request)


NoParameters = Annotated[None, Depends(no_parameters)]
"""The parameter of a route without a body and without query parameters. Declare it after the caller."""


def check_address(request: Request) -> None:
    """Reject query parameters on a route without any (422), and a path that is not UTF-8 (400).

    A path that ends with a client's identifier may contain an unescaped ``?``, whose rest looks like a query: ignoring it would
    address another resource.
    """
    raw: bytes = request.scope.get("raw_path") or b""
    if b"%" in raw or not raw.isascii():
        try:
            unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            raise malformed(
                "path", "is not UTF-8 once it is decoded", "percent-encode the bytes of its UTF-8"
            ) from None
    query = request.scope.get("query_string") or b""
    if not query:
        return
    try:
        parse_scalar_params(request.query_params, ())
    except ProblemError as refused:
        errors = refused.errors
    else:
        errors = (FieldError("query", "is not empty", "remove '?' and everything after it"),)
    name = _TRAILING_NAME.search(getattr(request.scope.get("route"), "path", ""))
    if name is not None:
        encoded = quote("?" + query.decode("latin-1"), safe="%")
        fix = f"if this is a part of {name[1]}, percent-encode it: '{encoded[:200]}'; else remove it"
        errors = tuple(FieldError(error.field, error.problem, fix) for error in errors)
    raise invalid_fields(errors)


def check_single_headers(request: Request) -> None:
    """Reject duplicate `Authorization`, `Content-Type` or `Idempotency-Key` headers (400)."""
    sent = [name for name, _ in request.scope["headers"] if name in _SINGLE]
    if len(sent) > len(set(sent)):
        twice = next(name for name in SINGLE_HEADERS if sent.count(name.lower().encode()) > 1)
        raise malformed(twice, "was sent more than once", "send this header once")


def check_media_type(request: Request, *accepted: str) -> None:
    """Reject a body that is not declared as one of these types in UTF-8, uncompressed (415)."""
    sent = sent_headers(request.scope, b"content-type")
    if sent == [JSON] and JSON in accepted and sent_header(request.scope, b"content-encoding") is None:
        return
    if not sent:
        raise unsupported_media_type("no Content-Type was sent", *accepted)
    for value in sent:
        media_type, _, parameters = value.partition(";")
        if media_type.strip().lower() not in accepted:
            raise unsupported_media_type(f"'{media_type.strip()[:100]}' is not supported here", *accepted)
        for parameter in parameters.split(";"):
            name, _, argument = parameter.partition("=")
            if name.strip().lower() == "charset" and argument.strip().strip('"').lower() not in ("utf-8", "utf8"):
                raise unsupported_media_type(f"the charset '{argument.strip()[:100]}' is not supported here", *accepted)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        detail = f"the content coding '{coding[:100]}' is not supported here"
        error = FieldError("Content-Encoding", detail, "send the body uncompressed, without this header")
        headers = {"Accept": ", ".join(accepted), "Accept-Encoding": "identity"}
        raise problem(415, "unsupported-media-type", detail, errors=[error], headers=headers)


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Read the whole body, up to the limit (413)."""
    announced = sent_header(request.scope, b"content-length") or ""
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """Parse JSON (RFC 8259). Invalid JSON is 400; lone surrogates are parsed, and rejected by validation."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _diagnose(body)


def _diagnose(body: bytes) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise malformed("body", f"is not UTF-8 (byte {error.start})", "send JSON in UTF-8") from None
    if not text.strip():
        raise malformed("body", "is empty", "send a JSON object")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise malformed("body", f"is not JSON: {error}", "send one JSON document as RFC 8259 describes it") from None


def _check_values(raw: Any) -> None:
    """Reject JSON with very many values before each of them is validated and reported."""
    count = 0
    for name, value in raw.items() if isinstance(raw, dict) else [(ROOT_FIELD, raw)]:
        unread = [value] if type(value) in _HOLDERS else []
        count += 1
        while unread:
            held = unread.pop()
            count += len(held)
            if count > MAX_VALUES:
                break
            unread += [each for each in (held.values() if type(held) is dict else held) if type(each) in _HOLDERS]
        if count > MAX_VALUES:
            field = name[:MAX_FIELD_NAME_CHARS] if type(value) in _HOLDERS else ROOT_FIELD
            raise invalid(
                field, f"makes the document have more than {MAX_VALUES:,} values", "send fewer members and items"
            )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _too_deep() -> ProblemError:
    return malformed("body", "is nested too deeply", "send a flatter document")


def _has_body(request: Request) -> bool:
    length = sent_header(request.scope, b"content-length")
    return length not in (None, "0") or sent_header(request.scope, b"transfer-encoding") is not None


def parse_scalar_params(
    params: QueryParams, scalars: Collection[str], repeatable: Collection[str] = ()
) -> Mapping[str, str]:
    """Return the scalar query parameters; an unknown one, or a scalar given twice, is 422."""
    known = sorted({*scalars, *repeatable})
    errors: list[FieldError] = []
    for name in dict.fromkeys(params.keys()):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            only = f"use only: {', '.join(known)}" if known else "remove it"
            fix = f"did you mean '{near[0]}'? {only}" if near else only
            errors.append(FieldError(name or "query", "is not a parameter of this address", fix))
        elif name in scalars and len(params.getlist(name)) > 1:
            errors.append(FieldError(name, "was sent more than once", "send it once"))
    if errors:
        raise invalid_fields(errors)
    return {name: params[name] for name in scalars if name in params}


def query_params(model: type[Params]) -> Callable[[Request], Awaitable[Params]]:
    """Return the dependency that reads query parameters into a model: each once, except those whose default is a list.

    The framework processes the model field by field, which takes longer than everything else in a dependency.
    `newswire.http.openapi` describes these parameters.
    """
    names = {field.alias or name: field for name, field in model.model_fields.items()}
    repeatable = [name for name, field in names.items() if isinstance(field.default, list)]
    scalars = names.keys() - repeatable

    async def read(request: Request) -> Params:
        sent = request.query_params
        found: dict[str, Any] = dict(parse_scalar_params(sent, scalars, repeatable))
        # An empty list is cheaper than the default, which would be copied.
        found |= {name: sent.getlist(name) if name in sent else [] for name in repeatable}
        return validate_body(found, model).model

    read.query_model = model  # type: ignore[attr-defined]
    return read


def limit_param(sent: str | None, default: int, maximum: int) -> int:
    """Parse the maximum number of items of a page (422 if invalid)."""
    if sent is None:
        return default
    if not (sent.isascii() and sent.isdigit() and 1 <= int(sent[:9]) <= maximum):
        raise invalid("limit", f"is not a whole number from 1 to {maximum}", f"send for example {default}")
    return int(sent)


def idempotency_key(request: Request) -> str | None:
    """Return the `Idempotency-Key` header, if one was sent."""
    key = sent_header(request.scope, b"idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise invalid("Idempotency-Key", "is not 1 to 255 printable ASCII characters", "send a fresh UUID, for example")
    return key

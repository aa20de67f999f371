"""Errors as clients see them: RFC 9457 problem documents that name the invalid field and how to correct it."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from newswire.http.member_names import meant_member
from newswire.http.problem_responses import MEDIA_TYPE
from newswire.http.problem_types import PATH, PROBLEM_URN, problem_type
from newswire.storage.redis_errors import unavailability
from newswire.validation.rules import RULE

log = logging.getLogger(__name__)

ROOT_FIELD = "$"
"""The ``field`` of an error about the whole document."""
MAX_REPORTED_ERRORS = 50
MAX_FIELD_NAME_CHARS = 200
"""Maximum of quoted characters of a member's name: a name can be as long as the request, and similar names are searched for."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error in a request, and how to fix it."""

    field: str
    problem: str
    fix: str


class ProblemError(Exception):
    """An error response, raised anywhere in a request; sent as ``application/problem+json`` (RFC 9457)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        type: str = "about:blank",  # noqa: A002 (the member's name in RFC 9457)
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.type = type
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def document(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        document: dict[str, Any] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"field": e.field, "problem": e.problem, "fix": e.fix} for e in self.errors]
        return document | self.extra

    def response(self) -> Response:
        """Return the response that contains this problem."""
        body = orjson.dumps(_encodable(self.document()))
        headers = {"Cache-Control": "no-store"}
        if self.type.startswith(
            PROBLEM_URN
        ):  # the type identifies the problem, the link leads to its description in this installation
            headers["Link"] = f'<{PATH}/{self.type.removeprefix(PROBLEM_URN)}>; rel="type"'
        return Response(body, self.status, headers | self.headers, MEDIA_TYPE)


def _encodable(value: Any) -> Any:
    """Replace characters that UTF-8 cannot encode: a problem may quote a name as it was sent."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value


def problem(status: int, name: str, detail: str, *, title: str | None = None, **more: Any) -> ProblemError:
    """Create a problem of a named type of `newswire.http.problem_types`."""
    return ProblemError(status, title or HTTPStatus(status).phrase, detail, type=problem_type(name), **more)


def invalid(field: str, what: str, fix: str) -> ProblemError:
    """Return the problem of one invalid field (422)."""
    return invalid_fields([FieldError(field, what, fix)])


def invalid_fields(errors: Sequence[FieldError]) -> ProblemError:
    """Return the problem of several invalid fields (422)."""
    first = errors[0]
    rest = f" (and {len(errors) - 1} more, see 'errors')" if len(errors) > 1 else ""
    detail = f"{first.field}: {first.problem}{rest}"
    return problem(422, "invalid", detail, title="Invalid content", errors=errors[:MAX_REPORTED_ERRORS])


def malformed(field: str, what: str, fix: str) -> ProblemError:
    """Return the problem of a request that cannot be parsed (400)."""
    return problem(
        400, "malformed", f"{field}: {what}", title="Malformed request", errors=[FieldError(field, what, fix)]
    )


def unauthorised(detail: str, *, challenge: str = 'Bearer realm="newswire"') -> ProblemError:
    """Return the problem of a request without a valid key (401)."""
    error = FieldError("Authorization", detail, "send 'Authorization: Bearer nw_…' with a key of your account")
    return problem(401, "unauthorised", detail, errors=[error], headers={"WWW-Authenticate": challenge})


def forbidden(*scopes: str) -> ProblemError:
    """Return the problem of a valid key that lacks the scope, or all of several scopes (403)."""
    named = " or ".join(f"'{scope}'" for scope in scopes)
    detail = f"this key lacks the scope {named}"
    error = FieldError("Authorization", detail, f"use a key that was created with the scope {named}")
    challenge = f'Bearer realm="newswire", error="insufficient_scope", scope="{" ".join(scopes)}"'
    return problem(403, "forbidden", detail, errors=[error], headers={"WWW-Authenticate": challenge})


def not_found(what: str) -> ProblemError:
    """Return the problem of a resource that does not exist, or is not visible to the caller (404)."""
    return problem(404, "not-found", f"there is no such {what}")


def gone(what: str) -> ProblemError:
    """Return the problem of a resource that was withdrawn (410)."""
    return problem(410, "gone", f"this {what} has been withdrawn")


def too_large(limit: int) -> ProblemError:
    """Return the problem of a body over the limit (413)."""
    detail = f"the body is larger than {limit:,} bytes"
    return problem(413, "too-large", detail, errors=[FieldError("body", detail, f"send at most {limit:,} bytes")])


def unsupported_media_type(detail: str, *accepted: str) -> ProblemError:
    """Return the problem of a body whose media type is not accepted here (415)."""
    named = " or ".join(f"'{media_type}'" for media_type in accepted)
    error = FieldError("Content-Type", detail, f"send {named} in UTF-8")
    return problem(415, "unsupported-media-type", detail, errors=[error], headers={"Accept": ", ".join(accepted)})


def unavailable(detail: str, *, retry_after: int = 1) -> ProblemError:
    """Return the problem of a dependency that is temporarily unavailable (503)."""
    return problem(503, "unavailable", detail, headers={"Retry-After": str(retry_after)})


def overloaded() -> ProblemError:
    """Return the problem of more processor-bound work than can be done in time (503)."""
    return problem(
        503,
        "overloaded",
        "the server is overloaded; the request had no effect, repeat it a little later",
        title="Overloaded",
        headers={"Retry-After": "2"},
    )


def redis_unavailable(error: BaseException) -> ProblemError | None:
    """Return the problem of a Redis that cannot be used now (503), or None for another error of Redis."""
    known = unavailability(error)
    if known is None:
        return None
    repeat = "repeat the request, with the same Idempotency-Key if it had one"
    return unavailable(f"the store is unavailable: {known.cause}; {repeat}", retry_after=known.retry_after)


def from_validation_error(error: ValidationError, model: type[BaseModel] | None = None) -> ProblemError:
    """Return the problem of a pydantic validation error."""
    return invalid_document(error.errors(include_url=False, include_input=False), model)


def invalid_document(errors: Sequence[Mapping[str, Any]], model: type[BaseModel] | None = None) -> ProblemError:
    """Return the problem of an invalid document. It reports only the first errors: a document of 1 MiB can have 100,000, and
    searching for the name that each unknown one was meant to be takes time.
    """
    found = invalid_fields(list(field_errors(errors[:MAX_REPORTED_ERRORS], model)))
    if len(errors) > MAX_REPORTED_ERRORS:
        found.detail = f"{found.errors[0].field}: {found.errors[0].problem} (and {len(errors) - 1} more, see 'errors')"
    return found


_FIXES = {
    "missing": "send this member",
    "string_type": "send a string",
    "int_type": "send a whole number",
    "int_parsing": "send a whole number",
    "int_from_float": "send a whole number",
    "bool_type": "send true or false",
    "list_type": "send an array",
    "dict_type": "send an object",
    "model_type": "send an object",
    "model_attributes_type": "send an object",
    "string_unicode": "send well-formed Unicode; surrogates only in pairs",
    "too_long": "send at most {max_length}",
    "too_short": "send at least {min_length}",
    "string_too_long": "send at most {max_length} characters",
    "string_too_short": "send at least {min_length} character(s)",
    "greater_than_equal": "send {ge} or more",
    "less_than_equal": "send {le} or less",
    "string_pattern_mismatch": "send a value that matches {pattern}",
    "literal_error": "send {expected}",
    "enum": "send {expected}",
    "datetime_parsing": "send an RFC 3339 date-time such as 2026-03-01T09:30:00Z",
    "datetime_from_date_parsing": "send an RFC 3339 date-time such as 2026-03-01T09:30:00Z",
    "url_parsing": "send an absolute http or https address",
    "url_scheme": "send an absolute http or https address",
}
_PROBLEMS = {
    "missing": "is missing",
    "extra_forbidden": "is unknown",
    "string_unicode": "must not contain a lone surrogate",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "string_type": "must be a string",
    "list_type": "must be an array",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "too_long": "has more than {max_length} items",
    "too_short": "has fewer than {min_length} items",
    "string_too_long": "has more than {max_length} characters",
    "string_too_short": "has fewer than {min_length} characters",
    "greater_than_equal": "is less than {ge}",
    "less_than_equal": "is greater than {le}",
    "string_pattern_mismatch": "does not match {pattern}",
    "literal_error": "is not {expected}",
    "enum": "is not {expected}",
}

_BRANCH = re.compile(r"(function-[a-z]+|literal|constrained-[a-z]+|nullable|json-or-python|lax-or-strict)\[|\[key\]$")
"""Added by pydantic to an error's location for the branch of a union or the key of a map: not the name of a member."""


def field_errors(errors: Iterable[Mapping[str, Any]], model: type[BaseModel] | None = None) -> Iterable[FieldError]:
    """Convert pydantic's errors to field errors."""
    for error in errors:
        kind, context = _kind(error), error.get("ctx", {})
        path = [str(part)[:MAX_FIELD_NAME_CHARS] for part in error["loc"] if not _BRANCH.match(str(part))]
        field = ".".join(path) or ROOT_FIELD
        if kind == "extra_forbidden":
            meant = meant_member(model, path)
            fix = f"remove it, or did you mean '{meant}'?" if meant else "remove it"
        elif kind == RULE:
            fix = str(context["fix"])
        elif kind in ("value_error", "assertion_error"):
            fix = "send a value that satisfies this rule"
        else:
            fix = _FIXES.get(kind, "send a value of the documented form").format_map(_Context(context))
        message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        known = _PROBLEMS.get(kind)
        yield FieldError(field, known.format_map(_Context(context)) if known else message, fix)


def _kind(error: Mapping[str, Any]) -> str:
    """Return the type of an error. Pydantic takes texts with a validator of their own for lists where their length is wrong."""
    kind = str(error["type"])
    is_text = error.get("ctx", {}).get("field_type") == "Value"
    return f"string_{kind}" if is_text and kind in ("too_long", "too_short") else kind


class _Context(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "what is documented"


def from_http_exception(error: HTTPException) -> ProblemError:
    """Convert an error of the framework (no such path, wrong method) to a problem."""
    details = {404: "there is nothing at this address", 405: "this address does not support this method"}
    detail = details.get(error.status_code, str(error.detail))
    names = {404: "not-found", 405: "method-not-allowed"}
    name = names.get(error.status_code, "http-error")
    return problem(error.status_code, name, detail, headers=dict(error.headers or {}))


def unexpected(method: str, path: str, error: BaseException) -> ProblemError:
    """Log an unexpected error, and return a problem without details (500)."""
    log.error("unexpected error", exc_info=error, extra={"method": method, "path": path})
    return problem(500, "unexpected", "an internal error occurred; the request may be repeated")

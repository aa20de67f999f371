"""Conditional requests: ETags, ``If-Match`` and ``If-None-Match`` (RFC 9110, sections 8.8.3 and 13.1)."""

import re
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from newswire.http.problems import FieldError, ProblemError, invalid, problem

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_DOCUMENTED_TAG = r'(W/)?"[!#-~]*"'
_DOCUMENTED_TAGS = rf"^(\*|{_DOCUMENTED_TAG}( *, *{_DOCUMENTED_TAG})*)$"
"""The part of the accepted syntax that every JSON Schema validator and HTTP client can be expected to handle."""
_TAGS = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")


def parameter(name: str, what: str) -> dict[str, Any]:
    """Return the OpenAPI description of one of these headers."""
    schema = {"type": "string", "pattern": _DOCUMENTED_TAGS}
    return {"name": name, "in": "header", "required": False, "description": what, "schema": schema}


IF_MATCH = parameter("If-Match", "The ETag of the state that you read: any other state is not changed (412).")
IF_NONE_MATCH = parameter("If-None-Match", "The ETag of the state that you have: 304 if it is still current.")
ONLY_IF_NEW = parameter("If-None-Match", "`*`: only if it does not exist yet (412).")


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The preconditions of a write request on the current state; None requires nothing, "*" requires that a state exists."""

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None
    must_match: bool = False
    """Whether a change without ``If-Match`` is rejected."""

    @classmethod
    def of(cls, request: Request, *, must_match: bool = False) -> "Preconditions":
        """Read the preconditions of a request.

        Raises:
            newswire.http.problems.ProblemError: 422 for an invalid ETag.
        """
        return cls(_tags(request, "If-Match"), _tags(request, "If-None-Match"), must_match)

    def check(self, state: str | None, what: str = "article") -> None:
        """Check the current state, None if there is no resource, against the preconditions.

        Raises:
            newswire.http.problems.ProblemError: 412 if the state differs, 428 if a precondition is required.
        """
        tag = etag(state) if state is not None else None
        if tag is not None and self.must_match and self.match is None:
            fix = f"read the {what}, and send its ETag as If-Match: {tag}"
            raise problem(428, "if-match-needed", fix, errors=[FieldError("If-Match", "is required here", fix)])
        if self.match is not None and (tag is None or not self.match & {tag, "*"}):
            raise _failed("If-Match", tag, what)
        if self.none_match is not None and tag is not None and {_weak(tag), "*"} & set(map(_weak, self.none_match)):
            raise _failed("If-None-Match", tag, what)

    def known(self, state: str) -> bool:
        """Return whether the client has this state already."""
        return self.none_match is not None and bool({_weak(etag(state)), "*"} & set(map(_weak, self.none_match)))


def etag(state: str) -> str:
    """Return the ETag of a state; that of an article is ``version-revision``."""
    return f'"{state}"'


def _weak(tag: str) -> str:
    return tag.removeprefix("W/")


def _tags(request: Request, name: str) -> frozenset[str] | None:
    sent = request.headers.getlist(name)
    if not sent:
        return None
    line = ",".join(sent)
    if line.strip() == "*":
        return frozenset("*")
    if not _TAGS.fullmatch(line):
        raise invalid(
            name, "is not a list of ETags", 'send an ETag as the response had it, including quotes: "2-0"; or *'
        )
    return frozenset(re.findall(_TAG, line))


def _failed(name: str, tag: str | None, what: str) -> ProblemError:
    found = f"the {what} is in state {tag}" if tag else f"there is no such {what}"
    error = FieldError(name, f"failed: {found}", f"read the {what} again, and decide what to do")
    return problem(412, "precondition-failed", f"{name} failed: {found}; nothing was written", errors=[error])

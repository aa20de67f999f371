"""The headers ``If-Match`` and ``If-None-Match`` (RFC 9110, section 13.1), and the problems of conditions that are not met."""

import re
from typing import Any

from starlette.requests import Request

from newswire.http.problems import FieldError, ProblemError, invalid, problem
from newswire.preconditions import (
    PreconditionError,
    PreconditionRequiredError,
    Preconditions,
    without_compression,
)

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


def requested_preconditions(request: Request, *, must_match: bool = False) -> Preconditions:
    """Read the conditions of a request.

    Raises:
        newswire.http.problems.ProblemError: 422 for an invalid ETag.
    """
    return Preconditions(_tags(request, "If-Match"), _tags(request, "If-None-Match"), must_match)


def precondition_failed(error: PreconditionError) -> ProblemError:
    """The state differs from the one that the request names (412)."""
    fix = f"read the {error.what} again, and decide what to do"
    errors = [FieldError(error.header, f"failed: {error.found}", fix)]
    return problem(412, "precondition-failed", str(error), errors=errors)


def precondition_required(error: PreconditionRequiredError) -> ProblemError:
    """Changes need ``If-Match`` (428)."""
    errors = [FieldError("If-Match", "is required here", str(error))]
    return problem(428, "if-match-needed", str(error), errors=errors)


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
    return frozenset(map(without_compression, re.findall(_TAG, line)))

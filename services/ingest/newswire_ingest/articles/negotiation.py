"""Content negotiation: which representation a client gets (``Accept``, RFC 9110, section 12.5.1)."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request

from newswire.http.problems import FieldError, problem
from newswire.http.request_parsing import JSON
from newswire_ingest.articles.representations import news_article, ninjs

NINJS = "application/ninjs+json"
"""The media type used for ninjs; the IPTC has not registered one."""
JSON_LD = "application/ld+json"

Represent = Callable[[Mapping[str, Any]], Mapping[str, Any]]
OFFERED: Mapping[str, Represent] = {JSON: lambda article: article, NINJS: ninjs, JSON_LD: news_article}
"""Media type → the function that formats an article; the first is the default."""


async def accepted(request: Request) -> str:
    """Return the offered media type that the client prefers (RFC 9110, section 12.5.1).

    Raises:
        newswire.http.problems.ProblemError: 406 if the client accepts none of them.
    """
    ranges = [_range(part) for part in ",".join(request.headers.getlist("accept")).split(",") if part.strip()]
    if not ranges:
        return JSON
    best = max(OFFERED, key=lambda offered: _quality(offered, ranges))
    if _quality(best, ranges) > 0:
        return best
    names = ", ".join(f"'{name}'" for name in OFFERED)
    error = FieldError("Accept", "has no media type that is available here", f"accept one of {names}")
    raise problem(406, "not-acceptable", "Accept: has no media type that is available here", errors=[error])


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return name, min(max(float(weight), 0.0), 1.0)
    except ValueError:
        return name, 0.0


def _quality(offered: str, ranges: list[tuple[str, float]]) -> float:
    """Return the quality value of a media type: that of the most specific range that matches it."""
    kind = offered.partition("/")[0]
    for wanted in (offered, f"{kind}/*", "*/*"):
        found = [weight for name, weight in ranges if name == wanted]
        if found:
            return max(found)
    return 0.0

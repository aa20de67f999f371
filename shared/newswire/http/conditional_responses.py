"""Conditional responses: ETag, Last-Modified and 304 (RFC 9110, sections 8.8 and 13).

Nothing is cached here; what is kept elsewhere is a `Representation`. Clients and proxies must revalidate a stored copy before they
use it (``no-cache``), so that a retracted article disappears immediately.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response

from newswire.http.compression import KeptResponse
from newswire.preconditions import without_compression


@dataclass(frozen=True, slots=True)
class Representation:
    """The content of a response, with what is derived from it, so that one that is sent again costs nothing."""

    body: bytes
    media_type: str
    tag: str
    coded: dict[str, bytes] = field(default_factory=dict)
    """The body in each coding that a client accepted: `newswire.http.compression` adds them."""


def representation_of(body: bytes, media_type: str) -> Representation:
    """Return a representation with its entity tag."""
    # Weak: compressed and uncompressed responses are the same to a reader.
    return Representation(body, media_type, f'W/"{hashlib.sha256(body).hexdigest()[:32]}"')


def conditional_response(
    request: Request,
    body: bytes,
    media_type: str,
    *,
    last_modified: datetime | None = None,
    private: bool,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response, or 304 if the client has the same. ``private``: the content depends on the key of the request."""
    content = representation_of(body, media_type)
    return response_of(request, content, last_modified=last_modified, private=private, headers=headers)


def response_of(
    request: Request,
    content: Representation,
    *,
    last_modified: datetime | None = None,
    private: bool,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response with a representation; see `conditional_response`."""
    response_headers = {
        "ETag": content.tag,
        "Cache-Control": "private, no-cache" if private else "no-cache",
        "Vary": "Authorization",
        **(headers or {}),
    }
    if last_modified is not None:
        response_headers["Last-Modified"] = format_datetime(last_modified, usegmt=True)
    if _not_modified(request, content.tag, last_modified):
        return Response(status_code=304, headers=response_headers)
    return KeptResponse(content.body, content.coded, content.media_type, response_headers)


def knows_tag(request: Request, tag: str) -> bool:
    """Return whether the client has the representation with this entity tag."""
    sent_tags = request.headers.getlist("if-none-match")
    tags = {without_compression(each.strip()) for each in ",".join(sent_tags).split(",")}
    return not tags.isdisjoint({without_compression(tag), "*"})


def _not_modified(request: Request, tag: str, last_modified: datetime | None) -> bool:
    if "if-none-match" in request.headers:
        return knows_tag(request, tag)
    since = request.headers.get("if-modified-since")
    if since is None or last_modified is None:
        return False
    try:
        return last_modified <= parsedate_to_datetime(since)
    except (ValueError, TypeError):  # an invalid date, or one without a zone, is ignored
        return False

"""Conditional responses: ETag, Last-Modified and 304 (RFC 9110, sections 8.8 and 13).

Nothing is cached here. Clients and proxies must revalidate a stored copy before they use it (``no-cache``), so that a retracted
article disappears immediately.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response


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
    # Weak: compressed and uncompressed responses are the same to a reader.
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    response_headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache" if private else "no-cache",
        "Vary": "Authorization",
        **(headers or {}),
    }
    if last_modified is not None:
        response_headers["Last-Modified"] = format_datetime(last_modified, usegmt=True)
    if _not_modified(request, tag, last_modified):
        return Response(status_code=304, headers=response_headers)
    return Response(body, media_type=media_type, headers=response_headers)


def _not_modified(request: Request, tag: str, last_modified: datetime | None) -> bool:
    sent_tags = request.headers.getlist("if-none-match")
    if sent_tags:
        tags = {each.strip().removeprefix("W/") for each in ",".join(sent_tags).split(",")}
        return not tags.isdisjoint({tag.removeprefix("W/"), "*"})
    since = request.headers.get("if-modified-since")
    if since is None or last_modified is None:
        return False
    try:
        return last_modified <= parsedate_to_datetime(since)
    except (ValueError, TypeError):  # an invalid date, or one without a zone, is ignored
        return False

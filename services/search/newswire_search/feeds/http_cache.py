"""Conditional responses: ETag, Last-Modified and 304 (RFC 9110, sections 8.8 and 13).

Nothing is cached here. Clients and proxies must revalidate a stored copy before they use it (``no-cache``), so that a retracted
article disappears immediately.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from fastapi import Request, Response
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.keys import Keyspace

log = logging.getLogger(__name__)

SETTLING_SECONDS = 1.5
"""How long after a change another one may have the same second, in addition to the refresh interval of the index."""

LastModified = Callable[[], Awaitable[datetime | None]]


def last_modified_source(redis: "Redis", keys: Keyspace, group: str, refresh: timedelta) -> LastModified:
    """Return a function that returns when anything visible to readers last changed, to the second, or None if unknown.

    The entries of a feed do not show that: a retracted article leaves no date. So the result is the time of the last event that the
    index has processed. It is unknown shortly after an event and while a retraction is not indexed yet: clients that send only
    ``If-Modified-Since`` would miss another change within the same second.
    """

    async def read() -> datetime | None:
        try:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.get(keys.checkpoint(group))
                pipe.zcard(keys.unindexed_retractions)
                handled, retractions = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("could not read the time of the last change", extra={"reason": repr(error)})
            return None
        if not handled or retractions:
            return None
        second = datetime.fromtimestamp(int(handled.partition(b"-")[0]) // 1000, UTC)
        settled = datetime.now(UTC) - second > timedelta(seconds=SETTLING_SECONDS) + refresh
        return second if settled else None

    return read


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
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
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
        return not tags.isdisjoint({tag, "*"})
    since = request.headers.get("if-modified-since")
    if since is None or last_modified is None:
        return False
    try:
        return last_modified <= parsedate_to_datetime(since)
    except (ValueError, TypeError):  # an invalid date, or one without a zone, is ignored
        return False

"""Answers that are fetched again and again: ETag, Last-Modified and 304 (RFC 9110, sections 8.8 and 13).

Nothing is kept between two requests, here or by anybody else: a copy may be shown again only after asking (``no-cache``), so
that what is withdrawn is gone at once.
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
"""Seconds after a change in which a further one may still bear the same second, beside the time the index takes to show it."""

LastModified = Callable[[], Awaitable[datetime | None]]


def last_modified_source(redis: "Redis", keys: Keyspace, group: str, refresh: timedelta) -> LastModified:
    """Return what tells when anything that readers see was last changed, to the second; None where that is not known.

    Of entries alone it could not be told: a withdrawn article leaves no date behind. So it is the time of the last event that
    the index has taken in. Shortly after an event, and while the index does not show a retraction yet, no time is named: what
    else changes within that second would be missed by clients that ask with ``If-Modified-Since`` alone.
    """

    async def tell() -> datetime | None:
        try:
            async with redis.pipeline(transaction=True) as pipe:
                pipe.get(keys.checkpoint(group))
                pipe.zcard(keys.unindexed_retractions)
                handled, retractions = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("the last change is not known", extra={"reason": repr(error)})
            return None
        if not handled or retractions:
            return None
        second = datetime.fromtimestamp(int(handled.partition(b"-")[0]) // 1000, UTC)
        settled = datetime.now(UTC) - second > timedelta(seconds=SETTLING_SECONDS) + refresh
        return second if settled else None

    return tell


def conditional_response(
    request: Request,
    body: bytes,
    media_type: str,
    *,
    changed: datetime | None = None,
    private: bool,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer, or 304 where the client holds the same. ``private``: it was made for the key that was sent."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    about = {
        "ETag": tag,
        "Cache-Control": "private, no-cache" if private else "no-cache",
        "Vary": "Authorization",
        **(headers or {}),
    }
    if changed is not None:
        about["Last-Modified"] = format_datetime(changed, usegmt=True)
    if _known(request, tag, changed):
        return Response(status_code=304, headers=about)
    return Response(body, media_type=media_type, headers=about)


def _known(request: Request, tag: str, changed: datetime | None) -> bool:
    named = request.headers.getlist("if-none-match")
    if named:
        tags = {each.strip().removeprefix("W/") for each in ",".join(named).split(",")}
        return not tags.isdisjoint({tag, "*"})
    since = request.headers.get("if-modified-since")
    if since is None or changed is None:
        return False
    try:
        return changed <= parsedate_to_datetime(since)
    except (ValueError, TypeError):  # no date, or one without a zone, is passed over
        return False

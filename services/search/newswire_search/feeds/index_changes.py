"""What changed in the index, and when: what conditional responses and short-lived caches depend on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.keys import Keyspace

log = logging.getLogger(__name__)

SETTLING_SECONDS = 1.5
"""How long after a change another one may have the same second, in addition to the refresh interval of the index."""

REDIS_TIMEOUT_SECONDS = 0.5
"""How long a page or feed waits to learn what changed; after that it is made without."""

LastModified = Callable[[], Awaitable[datetime | None]]
IndexState = Callable[[], Awaitable[str | None]]


def last_modified_source(redis: "Redis", keys: Keyspace, group: str, refresh: timedelta) -> LastModified:
    """Return a function that returns when anything visible to readers last changed, to the second, or None if unknown.

    The entries of a feed do not show that: a retracted article leaves no date. So the result is the time of the last event that the
    index has processed. It is unknown shortly after an event and while a retraction is not indexed yet: clients that send only
    ``If-Modified-Since`` would miss another change within the same second.
    """

    async def read() -> datetime | None:
        handled = await _checkpoint(redis, keys, group, "could not read the time of the last change")
        if not handled:
            return None
        second = datetime.fromtimestamp(int(handled.partition(b"-")[0]) // 1000, UTC)
        settled = datetime.now(UTC) - second > timedelta(seconds=SETTLING_SECONDS) + refresh
        return second if settled else None

    return read


def index_state_source(redis: "Redis", keys: Keyspace, group: str) -> IndexState:
    """Return a function that names what the index has processed; None while a retraction is not indexed yet, or if unknown.

    As long as the name is the same, what was read from the index a moment ago may be shown again.
    """

    async def read() -> str | None:
        handled = await _checkpoint(redis, keys, group, "could not read the state of the index")
        return None if handled is None else handled.decode()

    return read


async def _checkpoint(redis: "Redis", keys: Keyspace, group: str, failure: str) -> bytes | None:
    """Return the entry up to which the index is complete, empty before the first one.

    It is None while a retraction is not indexed yet, or if it cannot be read.

    ``failure``: what is logged if it cannot be read.
    """
    try:
        async with asyncio.timeout(REDIS_TIMEOUT_SECONDS), redis.pipeline(transaction=True) as pipe:
            pipe.get(keys.checkpoint(group))
            pipe.zcard(keys.unindexed_retractions)
            handled, retractions = await pipe.execute()
    except (RedisError, OSError) as error:
        log.warning(failure, extra={"reason": repr(error)})
        return None
    return None if retractions else (handled or b"")

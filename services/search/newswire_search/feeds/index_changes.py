"""What changed in the index, and when: what conditional responses and caches depend on."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.shared_reading import SharedReading
from newswire.keys import Keyspace
from newswire.storage.redis_functions import FunctionLibrary, LuaSource

log = logging.getLogger(__name__)

LUA = LuaSource("newswire_search.feeds", "index_state")

SETTLING_SECONDS = 1.5
"""How long after a change another one may have the same second, in addition to the refresh interval of the index."""

REDIS_TIMEOUT_SECONDS = 0.5
"""How long a page or feed waits to learn what changed; after that it is made without."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the index has processed, as far as it is known."""

    name: str | None = None
    """Another one after every event that the index has processed, and after every retraction from its acknowledgement on, so that
    nothing that was made before may be shown. None while a retraction is not indexed yet, or if unknown: nothing may be kept."""
    is_changing: bool = False
    """Whether events are being indexed: readers may see some of them before the name changes."""
    last_modified: datetime | None = None
    """When anything visible to readers last changed, to the second, or None if unknown."""
    read_at: float = 0.0
    """When it was read, in s of the monotonic clock."""


ReadIndexState = Callable[[], Awaitable[IndexState]]
LastModified = Callable[[], Awaitable[datetime | None]]


def index_state_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the function that reads the state of the index."""
    return FunctionLibrary.packaged(redis, keys.namespace, LUA)


def index_state_source(
    redis: "Redis", keys: Keyspace, group: str, refresh: timedelta, *, clock: Callable[[], float] = time.monotonic
) -> ReadIndexState:
    """Return a function that reads the state of the index that a consumer group writes.

    ``refresh`` is the time after which searches see a write. Requests that arrive together share what is read after they arrived.
    """
    functions = index_state_functions(redis, keys)
    names = [keys.checkpoint(group), keys.unindexed_retractions, keys.last_erasure, keys.stream]

    async def read() -> IndexState:
        read_at = clock()
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                found = await functions.call("index_state", names, {"group": group})
            processed, retractions, erasure, pending = found
        except (RedisError, OSError) as error:
            log.warning("could not read the state of the index", extra={"reason": repr(error)})
            return IndexState()
        if not processed or retractions:
            return IndexState()
        name = f"{processed.decode()} {(erasure or b'').decode()}"
        return IndexState(name, bool(pending), _settled(processed, refresh), read_at)

    return SharedReading(read)


def last_modified_source(read: ReadIndexState) -> LastModified:
    """Return a function that returns when anything visible to readers last changed, to the second, or None if unknown.

    The entries of a feed do not show that: a retracted article leaves no date. So the result is the time of the last event that the
    index has processed. It is unknown shortly after an event and while a retraction is not indexed yet: clients that send only
    ``If-Modified-Since`` would miss another change within the same second.
    """

    async def last_modified() -> datetime | None:
        return (await read()).last_modified

    return last_modified


def _settled(entry_id: bytes, refresh: timedelta) -> datetime | None:
    """Return the second of an event, or None while another change may have the same one."""
    second = datetime.fromtimestamp(int(entry_id.partition(b"-")[0]) // 1000, UTC)
    return second if datetime.now(UTC) - second > timedelta(seconds=SETTLING_SECONDS) + refresh else None

"""Reads the end of the article stream for the live stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.messaging.stream_position import Position, format_position, newest_entry, parse_position
from newswire.observability import metrics
from newswire.storage.replication import ReplicationBarrier

PAGE = 200
"""Entries of one read."""
BLOCK_MS = 250
"""Maximum time of a blocking read, and so the longest delay of a stop."""

StreamEntry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
"""An entry as Redis returns it: its id, and its fields."""


@dataclass(frozen=True, slots=True)
class StreamRead:
    """What one read returned."""

    entries: Sequence[StreamEntry] = ()
    newest: Position | None = None
    """The newest id of the stream, where it was asked for because no entry came: it shows that the stream was replaced."""


class StreamSource(Protocol):
    """Where the live stream gets its entries from."""

    async def read(self, after: Position) -> StreamRead:
        """Return the next entries after a position; wait a moment for them.

        Raises:
            redis.exceptions.RedisError, OSError: the stream cannot be read.
        """

    def rest(self) -> None:
        """Note that nothing is read until the next `read`."""


class RedisStream:
    """Reads the stream from Redis, and only what enough replicas have."""

    def __init__(self, redis: "Redis", keys: Keyspace, barrier: ReplicationBarrier) -> None:
        self._redis = redis
        self._keys = keys
        self._barrier = barrier

    async def read(self, after: Position) -> StreamRead:
        """Return the next entries after a position, see `StreamSource`."""
        history = await self._barrier.history()
        answer = await self._redis.xread({self._keys.stream: format_position(after)}, count=PAGE, block=BLOCK_MS)
        if not answer:
            return StreamRead(newest=parse_position(await newest_entry(self._redis, self._keys.stream)))
        await self._barrier.confirm(history)
        entries = [entry for _, found in answer for entry in found]
        metrics.live_entries.labels("redis").inc(len(entries))
        return StreamRead(entries)

    def rest(self) -> None:
        """Nothing is to be done: Redis is read on request."""

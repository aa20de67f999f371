"""A stream of numbered changes: a follower receives every change, or detects that it missed some.

Each change is one entry with its number as ``count``; a counter next to the stream holds the last number. Both are written in one
atomic step, so a follower detects a gap, whether old entries were trimmed or the server was flushed.
"""

from dataclasses import dataclass
from typing import TypeAlias

from redis.asyncio import Redis

PAGE = 1000

Fields: TypeAlias = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """The position after a change: its number, and its entry."""

    count: int
    after: str


class ChangeFeed:
    """The position of one reader. Only `advance_to` moves it, so that changes that were read but not handled are read again."""

    def __init__(self, redis: "Redis", stream: str, counter: str) -> None:
        self.position: FeedPosition | None = None
        """None before the first `advance_to`."""
        self._redis = redis
        self._stream = stream
        self._counter = counter

    def advance_to(self, position: FeedPosition) -> None:
        """Continue from a position."""
        self.position = position

    async def latest(self) -> FeedPosition:
        """Return the position after the last change. Call it before reading the full data that the changes refer to."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xrevrange(self._stream, count=1)
            pipe.get(self._counter)
            latest, counter = await pipe.execute()
        return FeedPosition(int(counter or 0), latest[0][0].decode() if latest else "0-0")

    async def wait(self, block_ms: int) -> bool:
        """Wait for a change, for at most this time; return whether there may be one."""
        if self.position is None:
            return True
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(self._counter)
            pipe.xread({self._stream: self.position.after}, count=1, block=block_ms)
            counter, found = await pipe.execute()
        return bool(found) or int(counter or 0) != self.position.count

    async def read(self) -> tuple[list[Fields], FeedPosition] | None:
        """Return all changes after the position, and the position after them; None if some were missed, or without a position."""
        if self.position is None:
            return None
        count, after = self.position.count, self.position.after
        found: list[Fields] = []
        while True:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xread({self._stream: after}, count=PAGE)
                pipe.get(self._counter)
                answer, counter = await pipe.execute()
            entries = [entry for _, page in answer or () for entry in page]
            for entry_id, fields in entries:
                if int(fields[b"count"]) != count + 1:  # some were trimmed, or the server was flushed
                    return None
                count, after = count + 1, entry_id.decode()
                found.append(fields)
            if count == int(counter or 0):
                return found, FeedPosition(count, after)
            if len(entries) < PAGE:
                return None

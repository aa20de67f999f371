"""Following a stream of counted changes: whoever keeps something by it learns of every change, or that it missed some.

Each change is one entry, which bears the number of the change as ``count``; a counter beside the stream holds that of the last
one. Both are written in one step. So a gap shows, whether old entries were trimmed or the server was emptied.
"""

from dataclasses import dataclass
from typing import TypeAlias

from redis.asyncio import Redis

PAGE = 1000

Fields: TypeAlias = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """Behind a change: its number, and its entry."""

    count: int
    after: str


class ChangeFeed:
    """One reader's place on such a stream; it is moved by `advance_to` alone, so that what was read and not done is read again."""

    def __init__(self, redis: "Redis", stream: str, counter: str) -> None:
        self.position: FeedPosition | None = None
        """None: nothing is known yet."""
        self._redis = redis
        self._stream = stream
        self._counter = counter

    def advance_to(self, position: FeedPosition) -> None:
        """Read on from a place."""
        self.position = position

    async def latest(self) -> FeedPosition:
        """Return the place behind the last change: to be asked for before what it tells of is read as a whole."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xrevrange(self._stream, count=1)
            pipe.get(self._counter)
            latest, counter = await pipe.execute()
        return FeedPosition(int(counter or 0), latest[0][0].decode() if latest else "0-0")

    async def wait(self, block_ms: int) -> None:
        """Wait so long at the most for a change to come."""
        if self.position is not None:
            await self._redis.xread({self._stream: self.position.after}, count=1, block=block_ms)

    async def read(self) -> tuple[list[Fields], FeedPosition] | None:
        """Return all changes after the place, and the place behind them; None: some were missed, or there is no place yet."""
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
                if int(fields[b"count"]) != count + 1:  # some were trimmed, or the server was emptied
                    return None
                count, after = count + 1, entry_id.decode()
                found.append(fields)
            if count == int(counter or 0):
                return found, FeedPosition(count, after)
            if len(entries) < PAGE:
                return None

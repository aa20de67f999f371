"""The live stream: every event as it happens, as server-sent events.

One tail per process reads the article stream and encodes each event once; readers get it from their own bounded queue. A
reader that falls behind is cut off and resumes by ``Last-Event-ID``, which reads from the stream itself.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.consume import pause
from newswire.events import RETRACTED, ArticlePublished, ArticleRetracted, PoisonEntry, UnknownType, decode
from newswire.filters import Facts, Filter
from newswire.keyspace import Keyspace
from newswire.stream import newest_entry

log = logging.getLogger(__name__)

PAGE = 200
BLOCK_MS = 1000
RETRY_MS = 2000
TOGETHER = 32
"""Events that wait for one reader and are written at once, at the most."""
# Lines that are no event end without a blank line, for there are clients that take every blank line for an event.
_ENTRY_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


@dataclass(frozen=True, slots=True)
class Live:
    """One event, encoded for the wire once."""

    entry: tuple[int, int]
    article: str
    facts: Facts
    retraction: bool
    frame: bytes

    def wanted_by(self, filter_: Filter) -> bool:
        """Tell whether a reader asked for it; a retraction is found by the fields alone, for its text is gone."""
        return filter_.matches(self.facts, text=not self.retraction)


def position(entry_id: str) -> tuple[int, int]:
    """Return a stream id as two numbers, which sort as the stream does.

    Raises:
        ValueError: it is no stream id.
    """
    if not _ENTRY_ID.fullmatch(entry_id):
        raise ValueError("not a stream id")
    time, _, sequence = entry_id.partition("-")
    both = int(time), int(sequence or 0)
    if max(both) >= 2**64:
        raise ValueError("not a stream id")
    return both


def encode(entry_id: bytes, fields: dict[bytes, bytes]) -> Live | None:
    """Make the frame of a stream entry; None for what readers have no use for."""
    if not fields:
        return None
    try:
        event, payload = decode(fields)
    except (PoisonEntry, UnknownType):
        return None
    if not isinstance(payload, ArticlePublished | ArticleRetracted):
        return None
    name = entry_id.decode()
    frame = b"id: %s\nevent: %s\ndata: %s\n\n" % (entry_id, event.type.encode(), event.to_json())
    return Live(position(name), payload.id, Facts.of(payload), event.type == RETRACTED, frame)


@dataclass(eq=False, slots=True)
class Listener:
    """A reader's place at the tail."""

    limit: int
    waiting: deque[Live] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    retracted: dict[str, tuple[int, int]] = field(default_factory=dict)
    cut_off: bool = False
    resumed_at: tuple[int, int] = (0, 0)
    """Up to where the reader was served from the stream itself: what the tail hands out of that is a repeat."""

    def offer(self, live: Live) -> None:
        """Queue an event, or cut the reader off when it has fallen too far behind."""
        if live.retraction:
            self.retracted[live.article] = live.entry
        if len(self.waiting) >= self.limit:
            self.cut_off = True
            self.waiting.clear()
        elif not self.cut_off:
            self.waiting.append(live)
        self.news.set()

    def may_have(self, live: Live) -> bool:
        """Tell whether an event that waited has not been erased since by the retraction of its article."""
        return live.entry >= self.retracted.get(live.article, live.entry)


class Tail:
    """Follows the article stream for all readers of this process."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self.running = False
        self._redis = redis
        self._keys = keys
        self._listeners: set[Listener] = set()
        self._after = "$"
        self._stopping: asyncio.Event | None = None

    @property
    def ended(self) -> bool:
        """Whether the process is about to end, and its readers with it."""
        return self._stopping is not None and self._stopping.is_set()

    async def check(self) -> str | None:
        """Tell why readers get nothing at the moment: a readiness check."""
        return None if self.running else "the live stream is not running"

    async def run(self, stopping: asyncio.Event) -> None:
        """Read the stream until stopping is set, and begin again after every trouble."""
        self._stopping = stopping
        failures = 0
        ending = asyncio.create_task(self._end_readers(stopping))
        try:
            while not stopping.is_set():
                try:
                    await self._read()
                    failures, self.running = 0, True
                except (RedisError, OSError) as error:
                    self.running = False
                    log.warning("the live stream cannot be read", extra={"reason": str(error)})
                    await pause(stopping, min(0.1 * 2 ** min(failures, 6), 5.0))
                    failures += 1
        finally:
            ending.cancel()
            self.running = False

    async def _read(self) -> None:
        if self._after == "$":
            newest = await self._redis.xrevrange(self._keys.stream, count=1)
            self._after = newest[0][0].decode() if newest else "0-0"
            self.running = True
        answer = await self._redis.xread({self._keys.stream: self._after}, count=PAGE, block=BLOCK_MS)
        if not answer and await self._replaced_since(self._after):
            log.warning("the stream was replaced and is read from its beginning")
            self._after = "0-0"
            for listener in self._listeners:
                listener.resumed_at = (0, 0)
        for entry_id, fields in (entry for _, entries in answer or () for entry in entries):
            self._after = entry_id.decode()
            live = encode(entry_id, fields)
            if live is not None:
                self._hand_out(live)

    async def _replaced_since(self, after: str) -> bool:
        """Tell whether the stream ends before an id that was read from it: flushed, or another server's in its place."""
        newest = await newest_entry(self._redis, self._keys.stream)
        return position(newest) < position(after)

    def _hand_out(self, live: Live) -> None:
        for listener in self._listeners:
            listener.offer(live)

    async def _end_readers(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        for listener in self._listeners:
            listener.news.set()

    async def follow(
        self, filter_: Filter, after: str | None, *, limit: int, heartbeat: float, stopped: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Yield frames for one reader: what came after an id it has seen, then what comes, without gap or repeat."""
        listener = Listener(limit)
        self._listeners.add(listener)
        try:
            yield b"retry: %d\n" % RETRY_MS
            if after is not None:
                # Of a stream that was replaced the reader has seen nothing, whatever the id that it last saw.
                seen = (0, 0) if await self._replaced_since(after) else position(after)
                listener.resumed_at = seen
                while not stopped():
                    page = await self._redis.xrange(self._keys.stream, f"({seen[0]}-{seen[1]}", count=PAGE)
                    if not page:
                        break
                    for entry_id, fields in page:
                        seen = listener.resumed_at = position(entry_id.decode())
                        live = encode(entry_id, fields)
                        if live is not None and live.wanted_by(filter_) and listener.may_have(live):
                            yield live.frame
            while not stopped():
                while listener.waiting and not stopped():
                    taken = [listener.waiting.popleft() for _ in range(min(len(listener.waiting), TOGETHER))]
                    wanted = [
                        live.frame
                        for live in taken
                        if live.entry > listener.resumed_at and live.wanted_by(filter_) and listener.may_have(live)
                    ]
                    if wanted:
                        yield b"".join(wanted)
                if listener.cut_off:
                    yield b": too slow, resume from the last id\n"
                    return
                listener.retracted.clear()
                listener.news.clear()
                if listener.waiting or stopped():
                    continue
                try:
                    await asyncio.wait_for(listener.news.wait(), heartbeat)
                except TimeoutError:
                    yield b": still here\n"
        finally:
            self._listeners.discard(listener)

"""The relay: the process of a host that reads the stream for all of them, and sends it to the others.

Followers read from the same recent entries, each at its own position. What one of them does not take in time is forgotten, and
the follower with it: no follower delays another one, or the reading.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from redis.exceptions import RedisError

from newswire.messaging.stream_position import Position
from newswire.observability import metrics
from newswire_notify.stream_relay.folder import is_own_peer
from newswire_notify.stream_relay.messages import (
    PAGE_BYTES,
    Answer,
    Hello,
    ProtocolError,
    alive_message,
    entries_message,
    line,
    read_hello,
)
from newswire_notify.stream_relay.recent_entries import RecentEntries
from newswire_notify.streaming.stream_reading import StreamRead, StreamSource

log = logging.getLogger(__name__)

MAX_FOLLOWERS = 256
HELLO_SECONDS = 1.0
"""How long the first lines may take."""
WRITE_SECONDS = 5.0
"""How long a follower may take nothing of what waits for it."""


class Relay:
    """Reads the stream from a position on, and serves followers."""

    def __init__(self, source: StreamSource, after: Position, identify: Callable[[Position], Awaitable[Hello]]) -> None:
        """Read from ``source``; ``identify`` returns what a follower of the same stream would send."""
        self.recent = RecentEntries(after)
        self.followers = 0
        self._closed = False
        self._source = source
        self._identify = identify
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self, needed: Callable[[], bool]) -> None:
        """Read as long as it is needed; end if the stream was replaced.

        Raises:
            redis.exceptions.RedisError, OSError: the stream cannot be read.
        """
        while needed():
            found = await self._source.read(self.recent.after)
            if found.newest is None:
                self.recent.add(found.entries)
            elif found.newest < self.recent.after:
                log.warning("the stream went back; every process reads it for itself")
                return
            else:
                self.recent.note_idle(found.newest)

    async def read(self, after: Position, seconds: float) -> StreamRead | None:
        """Return the next entries for this process; None if it has to read them for itself."""
        changed = self.recent.changed
        if (page := self.recent.since(after, PAGE_BYTES)) == []:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await changed.wait()
            page = self.recent.since(after, PAGE_BYTES)
        return None if page is None or self._closed else StreamRead([each.entry for each in page])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections.add(task)
        try:
            if (after := await self._admitted(reader, writer)) is None:
                writer.close()
                return
            self.followers += 1
            metrics.stream_relay_followers.inc()
            try:
                await self._send(writer, after)
            finally:
                self.followers -= 1
                metrics.stream_relay_followers.dec()
                writer.transport.abort()  # what it has not taken is of no use
        except (OSError, ProtocolError, RedisError) as error:  # a TimeoutError is an OSError
            log.debug("a follower of the stream left", extra={"reason": repr(error)})
            writer.close()
        except asyncio.CancelledError:  # by `close`; no other caller awaits this task
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def close(self) -> None:
        """End all connections, and what this process waits for."""
        self._closed = True
        self.recent.notify()
        ending = list(self._connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _admitted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Position | None:
        """Return the position of a follower, or None if it is refused."""
        if len(self._connections) > MAX_FOLLOWERS or not is_own_peer(writer.get_extra_info("socket")):
            return None
        async with asyncio.timeout(HELLO_SECONDS):
            hello = await read_hello(reader)
            refusal = None
            if hello != await self._identify(hello.after):
                refusal = "the relay reads another database: give each installation a folder of its own"
            elif self.recent.since(hello.after, PAGE_BYTES) is None:
                refusal = "the position is too old"
            writer.write(line(Answer(refused=refusal)))
            await writer.drain()
        return hello.after if refusal is None else None

    async def _send(self, writer: asyncio.StreamWriter, after: Position) -> None:
        """Send what follows a position until the follower is gone or too slow."""
        idle_reads = self.recent.idle_reads
        while True:
            changed = self.recent.changed
            page = self.recent.since(after, PAGE_BYTES)
            if page is None:
                metrics.stream_relay_disconnects.labels("too_slow").inc()
                return
            if page:
                after = page[-1].at
                writer.write(entries_message(each.encoded for each in page))
            elif idle_reads != self.recent.idle_reads:
                idle_reads = self.recent.idle_reads
                writer.write(alive_message(self.recent.newest))
            else:
                await changed.wait()
                continue
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await writer.drain()
            except TimeoutError:
                metrics.stream_relay_disconnects.labels("too_slow").inc()
                return

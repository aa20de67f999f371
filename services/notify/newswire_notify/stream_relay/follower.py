"""A follower: a process that gets the stream from the relay of its host."""

import asyncio
import os
from pathlib import Path

from newswire.concurrency.unawaited_tasks import retrieve_result
from newswire.messaging.stream_position import Position, parse_position
from newswire.observability import metrics
from newswire_notify.stream_relay.folder import is_own_peer
from newswire_notify.stream_relay.messages import Hello, ProtocolError, line, read_answer, read_message
from newswire_notify.streaming.stream_reading import StreamRead

SILENCE_SECONDS = 1.5
"""After so long without a message, the relay does not respond: with an idle stream, there are four a second."""
MAX_BEHIND = 4
"""Messages in a row by which the relay may be behind this process, as it is for a moment when it began to follow."""
_BUFFER_BYTES = 256 * 1024


class RefusedError(Exception):
    """The relay does not serve this process; the message says why."""


class Follower:
    """A connection to the relay."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lost = asyncio.Event()
        """Set when the connection has ended."""
        self.silent = False
        """Whether it was ended because the relay does not respond."""
        self._reader = reader
        self._writer = writer
        self._next: asyncio.Task[StreamRead] | None = None
        self._waited = 0.0
        self._behind = 0

    async def read(self, after: Position, seconds: float) -> StreamRead | None:
        """Return the next entries after a position, none if none came in time; None if the connection is lost."""
        if self.lost.is_set():
            return None
        if self._next is None:
            self._next = asyncio.create_task(read_message(self._reader))
            self._next.add_done_callback(retrieve_result)
        done, _ = await asyncio.wait({self._next}, timeout=seconds)
        if not done:
            self._waited += seconds
            self.silent = self._waited >= SILENCE_SECONDS
            return self._lost("silent") if self.silent else StreamRead()
        reading, self._next, self._waited = self._next, None, 0.0
        if reading.cancelled():  # closed meanwhile
            return None
        try:
            found = reading.result()
        except asyncio.IncompleteReadError:
            return self._lost("gone")
        except (OSError, ProtocolError):
            return self._lost("broken")
        if found.newest is not None:
            self._behind = self._behind + 1 if found.newest < after else 0
            return StreamRead() if self._behind < MAX_BEHIND else self._lost("behind")
        later = [entry for entry in found.entries if parse_position(entry[0].decode()) > after]
        metrics.live_entries.labels("relay").inc(len(later))
        return StreamRead(later)

    def close(self) -> None:
        """End the connection."""
        if self._next is not None:
            self._next.cancel()
        self._writer.transport.abort()
        self.lost.set()

    def _lost(self, reason: str) -> StreamRead | None:
        metrics.stream_relay_disconnects.labels(reason).inc()
        self.close()
        return None


async def follow(socket_path: Path, hello: Hello) -> Follower:
    """Connect to the relay.

    Raises:
        RefusedError: it does not serve this process.
        OSError, ProtocolError: nothing that responds listens there.
    """
    reader, writer = await asyncio.open_unix_connection(os.fspath(socket_path), limit=_BUFFER_BYTES)
    try:
        if not is_own_peer(writer.get_extra_info("socket")):
            raise RefusedError("the socket belongs to another user")
        writer.write(line(hello))
        answer = await read_answer(reader)
        if answer.refused is not None:
            raise RefusedError(answer.refused)
    except BaseException:
        writer.transport.abort()
        raise
    return Follower(reader, writer)

"""Readers of a live stream in one thread, by epoll: light enough to measure a server on the same machine."""

import asyncio
import select
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from threading import Event

from bench.load import address, request

BEGUN, END = b"retry: ", b"}\n\n"
"""Newswire's: the beginning of a stream, and the end of a frame with an event."""
_BUFFER_BYTES = 256 * 1024
_OPENING = 64
_READY_AT_ONCE = 64
PATIENCE = 60.0


class StreamReaders:
    """Connections to a live stream that all receive the same events."""

    def __init__(
        self,
        site: str,
        count: int,
        sent: bytes = request("GET", "/v1/stream"),
        begun: bytes = BEGUN,
        end: bytes = END,
    ) -> None:
        """Connect; return when each has received the beginning of its stream."""
        self._end, self._kept = end, len(end) - 1
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._buffer = bytearray(_BUFFER_BYTES)
        at_site = address(site)
        for at in range(0, count, _OPENING):
            opened = [socket.create_connection(at_site, timeout=PATIENCE) for _ in range(min(_OPENING, count - at))]
            for connection in opened:
                connection.sendall(sent)
            for connection in opened:
                received = b""
                while begun not in received:
                    received += connection.recv(4096)
                connection.setblocking(False)
                self._sockets[connection.fileno()] = connection
                self._poll.register(connection, select.EPOLLIN)
        self._ends = dict.fromkeys(self._sockets, b"\0" * self._kept)

    def __len__(self) -> int:
        return len(self._sockets)

    def close(self) -> None:
        """Close all connections."""
        self._poll.close()
        for connection in self._sockets.values():
            connection.close()

    def receive(self, events: int, started: Callable[[], object]) -> list[list[float]]:
        """Read until every reader has received this many events; return the times at which each of them came.

        ``started`` is called when reading begins. The times are those of `time.perf_counter`.

        Raises:
            TimeoutError: nothing came for a minute.
        """
        counts, left = dict.fromkeys(self._sockets, 0), events * len(self)
        arrivals: list[list[float]] = [[] for _ in range(events)]
        view, kept = memoryview(self._buffer), self._kept
        started()
        while left:
            ready = self._poll.poll(PATIENCE, _READY_AT_ONCE)
            if not ready:
                raise TimeoutError(f"{left} frames did not arrive")
            for at, _ in ready:
                self._buffer[:kept] = self._ends[at]
                size = self._sockets[at].recv_into(view[kept:]) + kept
                if size == kept:
                    raise ConnectionError("the server closed the connection")
                now = time.perf_counter()
                frames = self._buffer.count(self._end, 0, size)
                self._ends[at] = bytes(view[size - kept : size])
                for number in range(counts[at], counts[at] + frames):
                    arrivals[number].append(now)
                counts[at] += frames
                left -= frames
        return arrivals

    async def timed(
        self, rate: float, messages: Sequence[bytes], publish: Callable[[bytes], Awaitable[object]]
    ) -> list[float]:
        """Publish at a steady rate, while a thread reads; return how many ms after its publication each frame came."""
        sent, started = list[float](), Event()
        reading = asyncio.create_task(asyncio.to_thread(self.receive, len(messages), started.set))
        await asyncio.to_thread(started.wait)
        began = time.perf_counter()
        for number, message in enumerate(messages):
            await asyncio.sleep(max(began + number / rate - time.perf_counter(), 0))
            sent.append(time.perf_counter())
            await publish(message)
        return [(came - at) * 1000 for at, arrivals in zip(sent, await reading, strict=True) for came in arrivals]

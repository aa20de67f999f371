"""Readers of a live stream in one thread, by epoll: light enough to measure a server on the same machine."""

import asyncio
import select
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from threading import Event

from bench.load import address, request

END = b"}\n\n"
"""Ends a frame with an event."""
_KEPT = len(END) - 1
_BUFFER_BYTES = 256 * 1024
_OPENING = 64
_READY_AT_ONCE = 64
PATIENCE = 60.0


class StreamReaders:
    """Connections to a live stream that all receive the same events."""

    def __init__(self, site: str, count: int) -> None:
        """Connect; return when each has received the beginning of its stream."""
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._buffer = bytearray(_BUFFER_BYTES)
        at_site, sent = address(site), request("GET", "/v1/stream")
        for at in range(0, count, _OPENING):
            opened = [socket.create_connection(at_site, timeout=PATIENCE) for _ in range(min(_OPENING, count - at))]
            for connection in opened:
                connection.sendall(sent)
            for connection in opened:
                received = b""
                while b"retry: " not in received:
                    received += connection.recv(4096)
                connection.setblocking(False)
                self._sockets[connection.fileno()] = connection
                self._poll.register(connection, select.EPOLLIN)
        self._ends = dict.fromkeys(self._sockets, b"\0" * _KEPT)

    def __len__(self) -> int:
        return len(self._sockets)

    def close(self) -> None:
        """Close all connections."""
        self._poll.close()
        for connection in self._sockets.values():
            connection.close()

    def receive(self, sent: Sequence[float], events: int, started: Event) -> list[float]:
        """Read until every reader has received this many events; return how many ms after its sending each of them came.

        ``sent``: the times of sending, which may grow meanwhile. ``started`` is set when reading begins.

        Raises:
            TimeoutError: nothing came for a minute.
        """
        counts, taken, left = dict.fromkeys(self._sockets, 0), list[float](), events * len(self)
        view = memoryview(self._buffer)
        started.set()
        while left:
            ready = self._poll.poll(PATIENCE, _READY_AT_ONCE)
            if not ready:
                raise TimeoutError(f"{left} frames did not arrive")
            for at, _ in ready:
                self._buffer[:_KEPT] = self._ends[at]
                size = self._sockets[at].recv_into(view[_KEPT:]) + _KEPT
                if size == _KEPT:
                    raise ConnectionError("the server closed the connection")
                now = time.perf_counter()
                frames = self._buffer.count(END, 0, size)
                self._ends[at] = bytes(view[size - _KEPT : size])
                for number in range(counts[at], counts[at] + frames):
                    taken.append((now - sent[number]) * 1000)
                counts[at] += frames
                left -= frames
        return taken

    async def timed(
        self, rate: float, messages: Sequence[bytes], publish: Callable[[bytes], Awaitable[object]]
    ) -> list[float]:
        """Publish at a steady rate, while a thread reads; return how many ms after its publication each frame came."""
        sent, started = list[float](), Event()
        reading = asyncio.create_task(asyncio.to_thread(self.receive, sent, len(messages), started))
        await asyncio.to_thread(started.wait)
        began = time.perf_counter()
        for number, message in enumerate(messages):
            await asyncio.sleep(max(began + number / rate - time.perf_counter(), 0))
            sent.append(time.perf_counter())
            await publish(message)
        return await reading

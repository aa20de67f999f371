"""The floor of the live stream: what is posted to ``/send`` is written to all readers, by asyncio protocols alone. ``PORT``.

No server framework, no filters, no resuming, and no limits: the body of a POST is framed once, and the same bytes are given to the
transport of every reader in one loop.
"""

import asyncio
import re
import sys
from typing import cast

from newswire.http.application import run

_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n")
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nc\r\nretry: 2000\n\r\n"
)


class Connection(asyncio.Protocol):
    """A reader, or a client that posts."""

    transport: asyncio.Transport

    def __init__(self, readers: "set[asyncio.Transport]") -> None:
        self._readers = readers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._readers.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(found[1]) if (found := _LENGTH.search(head + b"\r\n")) else 0
        if len(rest) < length:
            return
        body, self._received = rest[:length], rest[length:]
        if head.startswith(b"GET /v1/stream "):
            self.transport.write(_STREAM_HEAD)
            self._readers.add(self.transport)
        elif head.startswith(b"POST /send "):
            self._send(body)
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    def _send(self, body: bytes) -> None:
        chunk = b"%x\r\n%b\r\n" % (len(body), body)
        for reader in self._readers:
            reader.write(chunk)


async def serve(port: int) -> None:
    """Serve until stopped."""
    readers: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(readers), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve(int(sys.argv[1])))

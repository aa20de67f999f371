"""A minimal webhook receiver. ``PORT``: as a process it counts; ``GET /`` returns ``{"count", "last"}``.

``last`` is the time of the latest POST on the clock of `time.perf_counter`, which all processes of a machine share.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import cast

import httptools
import orjson

from newswire.http.application import run

ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver(asyncio.Protocol):
    """One connection on which webhooks arrive."""

    def __init__(self, take: Callable[[bytes], bytes]) -> None:
        self._take = take
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        body, self._body = b"".join(self._body), []
        self._transport.write(self._take(body))


async def listen(port: int, take: Callable[[bytes], bytes]) -> asyncio.Server:
    """Pass every received body to ``take``, which returns the response."""
    return await asyncio.get_running_loop().create_server(lambda: Receiver(take), "127.0.0.1", port, backlog=2048)


async def count(port: int) -> None:
    """Count until stopped."""
    taken, last = 0, 0.0

    def take(body: bytes) -> bytes:
        nonlocal taken, last
        if body:
            taken, last = taken + 1, time.perf_counter()
            return ACCEPTED
        tally = orjson.dumps({"count": taken, "last": last})
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(tally), tally)

    async with await listen(port, take) as server:
        await server.serve_forever()


if __name__ == "__main__":
    run(count(int(sys.argv[1])))

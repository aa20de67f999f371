"""Misbehaving endpoints. ``PORT``: one process serves one at each path: hang, drip, endless, failing, busy."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

from newswire.http.application import run

HANGS = 30.0
ENDLESS = b"x" * 65_536

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def hang(writer: asyncio.StreamWriter) -> None:
    """Respond after half a minute."""
    await asyncio.sleep(HANGS)
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a byte per second, without end."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


async def endless(writer: asyncio.StreamWriter) -> None:
    """Send as fast as possible, without end."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(ENDLESS), ENDLESS))
        await writer.drain()


async def failing(writer: asyncio.StreamWriter) -> None:
    """Fail immediately."""
    writer.write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")


async def busy(writer: asyncio.StreamWriter) -> None:
    """Respond with 503 and Retry-After."""
    writer.write(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n")


BEHAVIOURS: dict[str, Answer] = {each.__name__: each for each in (hang, drip, endless, failing, busy)}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Handle the requests of one connection."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            behaviour = BEHAVIOURS.get(lines[0].split(b" ")[1].decode().strip("/"))
            if behaviour is None:
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            else:
                await behaviour(writer)
    writer.close()


async def serve(port: int) -> None:
    """Serve until stopped."""
    async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    run(serve(int(sys.argv[1])))

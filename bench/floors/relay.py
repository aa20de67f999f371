"""The floor of publish → received: each entry of a stream is posted to one address. ``PORT REDIS_URL STREAM URL``."""

import asyncio
import sys

import aiohttp

from newswire.http.application import run
from newswire.storage.redis_client import open_redis


async def relay(port: int, redis_url: str, stream: str, url: str) -> None:
    """Relay until stopped; the port responds to any request once the relay is running."""
    server = await asyncio.start_server(_alive, "127.0.0.1", port)
    async with server, open_redis(redis_url) as redis, aiohttp.ClientSession() as session:
        after: bytes | str = "0"
        while True:
            for _, entries in await redis.xread({stream: after}, block=1000):
                for entry, fields in entries:
                    after = entry
                    async with session.post(url, data=fields[b"__data__"]):
                        pass


async def _alive(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


if __name__ == "__main__":
    run(relay(int(sys.argv[1]), *sys.argv[2:]))

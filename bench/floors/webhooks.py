"""The floor of webhooks: the same signed requests by the fastest client, without a queue. ``PORT FILE``.

``POST /<connections>`` sends them all once, that many at a time, and returns how many per second were accepted.
"""

import asyncio
import sys
import time
from pathlib import Path

import aiohttp
import orjson
import uvicorn
from fastapi import FastAPI

from newswire.http.application import run


async def serve(port: int, file: Path) -> None:
    """Serve until stopped."""
    stored = orjson.loads(file.read_bytes())
    requests = [(url, headers, body.encode()) for url, headers, body in stored]
    app = FastAPI()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        @app.post("/{connections}")
        async def send(connections: int) -> float:
            left = iter(requests)

            async def work() -> None:
                for url, headers, body in left:
                    async with session.post(url, data=body, headers=headers) as answer:
                        answer.raise_for_status()

            began = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(connections)))
            return len(requests) / (time.perf_counter() - began)

        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off")).serve()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), Path(sys.argv[2])))

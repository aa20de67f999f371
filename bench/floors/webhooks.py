"""The floor of webhooks: the same signed requests, without a queue. ``PORT FILE``.

``POST /own/<connections>`` sends them all once with Newswire's own client, the fastest that is known here, that many at a time, and
returns how many per second were accepted. ``POST /aiohttp/<connections>`` does it with the client that most Python programs use.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal

import aiohttp
import orjson
import uvicorn
from fastapi import FastAPI

from newswire.http.application import run
from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.ssrf_guard import AddressPolicy

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]


async def serve(port: int, file: Path) -> None:
    """Serve until stopped."""
    stored = orjson.loads(file.read_bytes())
    requests = [(url, headers, body.encode()) for url, headers, body in stored]
    app = FastAPI()
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
        WebhookHttpClient(AddressPolicy(allow_private=True)) as client,
    ):

        async def own(url: str, headers: Mapping[str, str], body: bytes) -> int:
            return (await client.post(url, headers, body)).status

        async def general(url: str, headers: Mapping[str, str], body: bytes) -> int:
            async with session.post(url, data=body, headers=headers) as answer:
                return answer.status

        posts: dict[str, Post] = {"own": own, "aiohttp": general}

        @app.post("/{client_name}/{connections}")
        async def send(client_name: Literal["own", "aiohttp"], connections: int) -> float:
            left, post = iter(requests), posts[client_name]

            async def work() -> None:
                for url, headers, body in left:
                    if (status := await post(url, headers, body)) != 204:
                        raise RuntimeError(f"{url} answered {status}")

            began = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(connections)))
            return len(requests) / (time.perf_counter() - began)

        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off")).serve()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), Path(sys.argv[2])))

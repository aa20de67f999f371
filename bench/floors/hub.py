"""The floor of the hub: the same client pushes the same bytes, prepared and signed, without Redis. ``PORT TOPIC RECEIVER COUNT``.

``POST /<connections>`` fetches the topic, pushes it to that many callbacks at a time, and returns the seconds of all pushes.
``POST /first`` returns the seconds of fetching it and of one push.
"""

import asyncio
import sys
import time

import aiohttp
import uvicorn
from fastapi import FastAPI

from newswire.http.application import run
from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.websub.pushing import signature


async def serve(port: int, topic: str, receiver: str, count: int) -> None:
    """Serve until stopped."""
    app = FastAPI()
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session,
        WebhookHttpClient(AddressPolicy(allow_private=True)) as client,
    ):

        async def fetch() -> tuple[str, bytes]:
            async with session.get(topic, headers={"Accept-Encoding": "identity"}) as response:
                response.raise_for_status()
                return response.headers["Content-Type"], await response.read()

        def headers(kind: str, body: bytes, number: int) -> dict[str, str]:
            return {
                "Content-Type": kind,
                "User-Agent": "Newswire-WebSub/1",
                "Link": f'<{topic}>; rel="self"',
                "X-Hub-Signature": signature(f"secret {number}", body),
            }

        @app.post("/first")
        async def first() -> float:
            began = time.perf_counter()
            kind, body = await fetch()
            await client.post(f"{receiver}/first", headers(kind, body, 0), body)
            return time.perf_counter() - began

        @app.post("/{connections}")
        async def all_of_them(connections: int) -> float:
            kind, body = await fetch()
            prepared = iter([(f"{receiver}/{number}", headers(kind, body, number)) for number in range(count)])

            async def work() -> None:
                for url, named in prepared:
                    await client.post(url, named, body)

            began = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(connections)))
            return time.perf_counter() - began

        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off")).serve()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))

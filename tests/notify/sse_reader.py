"""Clients of the live stream, by a third-party library."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from tests.polling import DEADLINE_SECONDS


class Reader:
    """Follows a stream in the background."""

    def __init__(self) -> None:
        self.events: list[ServerSentEvent] = []
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self.headers: httpx.Headers = httpx.Headers()

    @property
    def ids(self) -> list[str]:
        return [json.loads(event.data)["id"] for event in self.events if event.event.startswith("newswire.article.")]

    def stream_events(self, event: str) -> list[dict[str, str]]:
        """The events about the stream itself."""
        return [json.loads(each.data) for each in self.events if each.event == event]


@asynccontextmanager
async def following(url: str, after: str | None = None, key: str | None = None, **params: Any) -> AsyncIterator[Reader]:
    reader = Reader()

    async def follow() -> None:
        headers = ({"Last-Event-ID": after} if after else {}) | ({"Authorization": f"Bearer {key}"} if key else {})
        async with (
            httpx.AsyncClient(timeout=DEADLINE_SECONDS) as http,
            aconnect_sse(http, "GET", f"{url}/v1/stream", headers=headers, params=params) as source,
        ):
            source.response.raise_for_status()
            reader.headers = source.response.headers
            reader.opened.set()
            async for event in source.aiter_sse():
                reader.events.append(event)
        reader.ended.set()

    task = asyncio.create_task(follow())
    try:
        await asyncio.wait_for(reader.opened.wait(), 60)
        yield reader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

"""The sample articles of the first start: published over HTTP, found by search, delivered to a webhook."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Any

import httpx

from newswire_cli.terminal.console import say

TIMEOUT_SECONDS = 15.0
RECEIVER_PATH = "/newswire-samples"


class Receiver:
    """A minimal webhook endpoint: it answers 204 and records when each article arrived."""

    def __init__(self) -> None:
        self.url = ""
        self._arrived: defaultdict[str, asyncio.Future[float]] = defaultdict(
            lambda: asyncio.get_running_loop().create_future()
        )

    async def arrival(self, article_id: str) -> float:
        """Wait for an article's first event; return when it arrived (monotonic clock)."""
        return await self._arrived[article_id]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one request."""
        with suppress(ValueError, KeyError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
            event = json.loads(await reader.readexactly(int(length.partition(":")[2])))
            arrived = self._arrived[event["subject"]]
            if not arrived.done():
                arrived.set_result(time.monotonic())
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()


@asynccontextmanager
async def _receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{RECEIVER_PATH}"
    try:
        yield receiver
    finally:
        server.close()


def samples() -> list[dict[str, Any]]:
    """Return the sample articles as a publisher sends them."""
    articles: list[dict[str, Any]] = json.loads(files("newswire_cli.local").joinpath("samples.json").read_text("utf-8"))
    return articles


async def publish_samples(
    site: str, publisher_key: str, subscriber_key: str, read_key: str, *, with_webhook: bool = True
) -> bool:
    """Publish the samples and print how soon each was found and delivered; return whether all succeeded.

    ``with_webhook=False`` if webhooks to this machine are not allowed: nothing is delivered then.
    """
    publisher = {"Authorization": f"Bearer {publisher_key}"}
    subscriber = {"Authorization": f"Bearer {subscriber_key}"}
    try:
        async with (
            _receiver() as receiver,
            httpx.AsyncClient(base_url=site, timeout=TIMEOUT_SECONDS, trust_env=False) as client,
        ):
            # The default for requests that set no other key: reading may be restricted.
            client.headers["Authorization"] = f"Bearer {read_key}"
            subscription = await _subscribe(client, subscriber, receiver.url) if with_webhook else None
            try:
                for article in samples():
                    await _publish(client, publisher, receiver if with_webhook else None, article)
            finally:
                if subscription is not None:
                    await client.delete(f"/v1/subscriptions/{subscription}", headers=subscriber)
    except TimeoutError:
        say(f"  Not found or not delivered within {TIMEOUT_SECONDS:.0f} s; the log and {site}/status may say why.")
    except httpx.HTTPStatusError as error:
        say(f"  The samples stopped: {error.request.method} {error.request.url} answered {error.response.status_code}.")
    except httpx.HTTPError as error:
        say(f"  The samples stopped: {type(error).__name__} {error}")
    else:
        return True
    return False


async def _subscribe(client: httpx.AsyncClient, headers: dict[str, str], url: str) -> str:
    answer = await client.post(
        "/v1/subscriptions",
        headers=headers,
        json={"channel": {"type": "webhook", "url": url}, "content": "reference"},
    )
    answer.raise_for_status()
    identity: str = answer.json()["id"]
    return identity


async def _publish(
    client: httpx.AsyncClient, headers: dict[str, str], receiver: Receiver | None, article: dict[str, Any]
) -> None:
    started = time.monotonic()
    answer = await client.post("/v1/articles", headers=headers, json=article)
    answer.raise_for_status()
    if answer.status_code != httpx.codes.CREATED:
        say(f"  already published          {article['title']}")
        return
    published, article_id = time.monotonic(), answer.json()["id"]
    waiting = [_until_found(client, article_id, article["title"])]
    if receiver is not None:
        waiting.append(receiver.arrival(article_id))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        found, *delivered = await asyncio.gather(*waiting)
    after = "".join(f", delivered after {_ms(published, moment)}" for moment in delivered)
    say(
        f"  published in {_ms(started, published)}, searchable after {_ms(published, found)}{after}   {article['title']}"
    )


async def _until_found(client: httpx.AsyncClient, article_id: str, title: str) -> float:
    while True:
        answer = await client.get("/v1/search", params={"q": f'"{title}"', "limit": 5})
        answer.raise_for_status()
        if any(found["id"] == article_id for found in answer.json()["articles"]):
            return time.monotonic()
        await asyncio.sleep(0.01)


def _ms(start: float, end: float) -> str:
    return f"{max(0.0, end - start) * 1000:3.0f} ms"

"""Publishes articles as one batch."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import orjson

from bench.articles import Article

TOGETHER = 50
PATIENCE = 600


async def publish(site: str, key: str, articles: Iterable[Article]) -> list[dict[str, Any]]:
    """Send articles as one batch; return the result of each.

    Raises:
        RuntimeError: not every article was published.
    """
    lines = [orjson.dumps(article) + b"\n" for article in articles]

    async def content() -> AsyncIterator[bytes]:
        for at in range(0, len(lines), TOGETHER):
            yield b"".join(lines[at : at + TOGETHER])

    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(PATIENCE)) as session,
        session.post(f"{site}/v1/articles/batch", data=content()) as answer,
    ):
        answers = [orjson.loads(line) for line in (await answer.read()).splitlines()]
    refused = [line for line in answers if line["status"] > 201]
    if refused or len(answers) != len(lines):
        raise RuntimeError(f"{len(answers)} of {len(lines)} lines answered, refused: {refused[:1]}")
    return answers

"""A process that publishes a draft and is killed between the article and the draft: `python -m tests.ingest.drafts.killed …`."""

import asyncio
import os
import signal
import sys

import httpx

from newswire.http.application import create_app
from newswire.storage.redis_client import open_redis
from newswire_ingest.app import assemble
from newswire_ingest.drafts.article_links import ArticleLinks
from newswire_ingest.settings import IngestSettings


async def _end(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def publish(redis_url: str, namespace: str, authorization: str, draft: str, revision: str) -> None:
    """Publish a revision of a draft; this process does not live to see it published."""
    ArticleLinks.complete = _end  # type: ignore[assignment, method-assign]
    settings = IngestSettings(namespace=namespace, allow_volatile=True)
    async with open_redis(redis_url) as redis:
        app = create_app([assemble(redis, settings)], settings, redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example") as http:
            headers = {"Authorization": authorization, "If-Match": f'"{revision}"'}
            answer = await http.post(f"/v1/drafts/{draft}/publish", json={}, headers=headers)
            sys.exit(f"{answer.status_code}: {answer.text}")


if __name__ == "__main__":
    asyncio.run(publish(*sys.argv[1:]))

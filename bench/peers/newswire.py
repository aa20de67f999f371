"""Newswire, as installed for production on one machine: ingest and notify, each in a process, on Valkey."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import version

import psutil

from bench.load import json_request, request
from bench.one_to_one import SETTINGS, Fsync
from bench.peers.contestants import Conditions, Story, Streaming, StreamService, WebhookService
from bench.servers import new_key, service, valkey
from bench.stream_readers import BEGUN, END
from newswire.auth.credentials import Scope
from newswire.storage.redis_client import open_redis

NAME = "Newswire"
ABOUT = "ingest and notify, a process each, on Valkey; defaults, without rate limits"


@asynccontextmanager
async def webhooks(conditions: Conditions) -> AsyncIterator[WebhookService]:
    """Run ingest and notify for webhooks."""
    with ExitStack() as stack:
        url = stack.enter_context(valkey(conditions.folder / "newswire-webhooks"))
        publisher, _ = await new_key(url, Scope.PUBLISH)
        subscriber, _ = await new_key(url, Scope.SUBSCRIBE)
        environment = SETTINGS | {"NEWSWIRE_REDIS_URL": url}
        ingest, notify = (
            stack.enter_context(service(name, environment, conditions.folder / f"newswire-{name}.log"))
            for name in ("ingest", "notify")
        )
        async with open_redis(url) as redis:
            store = psutil.Process((await redis.info("server"))["process_id"])

            async def set_fsync(policy: Fsync) -> None:
                await redis.config_set("appendfsync", policy)

            def subscriptions(category: str, endpoint: str) -> list[bytes]:
                wanted = {
                    "filter": {"categories": [category]},
                    "channel": {"type": "webhook", "url": endpoint},
                }
                return [json_request("/v1/subscriptions", wanted, subscriber)]

            yield WebhookService(
                NAME,
                version("newswire"),
                ABOUT,
                ingest.site,
                201,
                lambda story: _publication(story, publisher),
                [ingest.process, notify.process],
                [store],
                notify.site,
                subscriptions,
                set_fsync,
            )


@asynccontextmanager
async def stream(conditions: Conditions) -> AsyncIterator[StreamService]:
    """Run ingest and notify for readers of the live stream."""
    with ExitStack() as stack:
        url = stack.enter_context(valkey(conditions.folder / "newswire-stream"))
        publisher, _ = await new_key(url, Scope.PUBLISH)
        environment = {"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_LIVE_PER_ADDRESS": str(2 * conditions.readers)}
        ingest, notify = (
            stack.enter_context(service(name, environment, conditions.folder / f"newswire-stream-{name}.log"))
            for name in ("ingest", "notify")
        )
        async with open_redis(url) as redis:
            store = psutil.Process((await redis.info("server"))["process_id"])
        yield StreamService(
            NAME,
            version("newswire"),
            f"{ABOUT}, appendfsync always",
            ingest.site,
            201,
            lambda story: _publication(story, publisher),
            [ingest.process, notify.process],
            [store],
            Streaming(notify.site, request("GET", "/v1/stream"), BEGUN, END),
        )


def _publication(story: Story, key: str) -> bytes:
    return request(
        "POST", "/v1/articles", story.article, content_type="application/json", authorization=f"Bearer {key}"
    )

"""Ingest put together: settings, client, store, routes."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from redis.asyncio import Redis

from newswire.app import Service, durable, open_redis
from newswire.asyncapi import Channel
from newswire.keyspace import Keyspace
from newswire.retention import keep_trimming
from newswire.settings import Settings
from newswire_ingest import articles_api, batch_api, language, lists_api, scheduler
from newswire_ingest.editing import Editor
from newswire_ingest.publish import utc_now
from newswire_ingest.settings import IngestSettings
from newswire_ingest.store import ArticleStore


def assemble(redis: "Redis", settings: IngestSettings) -> Service:
    """Make the service over an open client."""
    keys = Keyspace(settings.namespace)
    store = ArticleStore(redis, keys, settings.idempotency_lifetime)
    editor = Editor(store, settings.site, utc_now)

    async def redis_keeps() -> str | None:
        if settings.allow_volatile:
            await redis.ping()
            return None
        return await durable(redis)

    return Service(
        name="ingest",
        routers=[
            articles_api.router(editor, settings),
            batch_api.router(editor),
            lists_api.router(store, editor),
        ],
        loops={
            "retention": partial(keep_trimming, redis, keys, settings.stream_retention),
            "scheduler": partial(scheduler.keep_publishing, store, store.time),
        },
        checks={"redis": redis_keeps},
        channels=[Channel("articles", "send")],
    )


@asynccontextmanager
async def service(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Open ingest's clients and close them at the end."""
    own = IngestSettings(**settings.model_dump()) if settings else IngestSettings()
    threading.Thread(target=language.load, daemon=True).start()
    async with open_redis(own.redis_url.get_secret_value()) as redis:
        yield assemble(redis, own)

"""A client of what programs read: feeds, sitemaps and the pages that lead to them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from redis.asyncio import Redis

from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire_search.feeds import api as feeds
from newswire_search.feeds.validators import last_change
from newswire_search.index.port import Reading
from newswire_search.query.service import ErasureAware
from newswire_search.settings import SearchSettings
from newswire_search.site import discovery, pages, sitemaps

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def client_for(index: Reading, redis: Redis, namespace: str, **more: Any) -> httpx.AsyncClient:
    settings = SearchSettings.model_validate({"namespace": namespace, "public_url": "https://news.example", **more})
    changed = last_change(redis, Keyspace(namespace), "search", timedelta())
    routers = [
        feeds.router(index, settings, changed),
        sitemaps.router(index, settings, changed, clock=lambda: NOW),
        discovery.router(settings),
        pages.router(ErasureAware(index, redis, Keyspace(namespace))),
    ]
    app = create_app([Service("search", routers=routers)], settings, redis=redis)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")

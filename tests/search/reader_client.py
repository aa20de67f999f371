"""A client of feeds, sitemaps and pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from redis.asyncio import Redis

from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire_search.feeds import api as feeds
from newswire_search.feeds.http_cache import last_modified_source
from newswire_search.index.port import IndexReader
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from newswire_search.settings import SearchSettings
from newswire_search.site import discovery, pages, sitemaps

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def client_for(index: IndexReader, redis: Redis, namespace: str, **more: Any) -> httpx.AsyncClient:
    settings = SearchSettings.model_validate({"namespace": namespace, "public_url": "https://news.example", **more})
    changed = last_modified_source(redis, Keyspace(namespace), "search", timedelta())
    routers = [
        feeds.router(index, settings, changed),
        sitemaps.router(index, settings, changed, clock=lambda: NOW),
        discovery.router(settings),
        pages.router(RetractionFilteredIndex(index, redis, Keyspace(namespace))),
    ]
    app = create_app([Service("search", routers=routers)], settings, redis=redis)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")

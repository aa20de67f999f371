"""A client of feeds, sitemaps and pages."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from redis.asyncio import Redis

from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire_search.feeds import api as feeds
from newswire_search.feeds.index_changes import index_state_source, last_modified_source
from newswire_search.index.port import IndexReader
from newswire_search.query import api
from newswire_search.query.kept_answers import KeptAnswers
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from newswire_search.settings import SearchSettings
from newswire_search.site import discovery, sitemaps
from newswire_search.site.assembly import reader_site

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def client_for(
    index: IndexReader,
    redis: Redis,
    namespace: str,
    **more: Any,
) -> httpx.AsyncClient:
    """Return a client of everything that readers read.

    ``more`` are settings, and optionally ``clock``, which decides how old kept pages are, and the ``newsletters`` of articles.
    """
    clock, newsletters = more.pop("clock", time.monotonic), more.pop("newsletters", None)
    settings = SearchSettings.model_validate({"namespace": namespace, "public_url": "https://news.example", **more})
    keys = Keyspace(namespace)
    read_state = index_state_source(redis, keys, "search", timedelta(), clock=clock)
    changed = last_modified_source(read_state)
    readable = RetractionFilteredIndex(index, redis, keys)
    site = reader_site(readable, settings, read_state, newsletters)
    routers = [
        api.router(readable, KeptAnswers(read_state, timedelta())),
        feeds.router(index, settings, changed),
        sitemaps.router(index, settings, changed, clock=lambda: NOW),
        discovery.router(settings),
        site.router,
    ]
    service = Service("search", routers=routers, state={"error_page": site.error_page})
    app = create_app([service], settings, redis=redis)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")

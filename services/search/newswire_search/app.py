"""Search put together: settings → clients → routes → consumer."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.asyncapi import OutcomeEvent
from newswire.http.application import Service
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import SEARCH
from newswire.settings import Settings
from newswire.storage.redis_client import open_redis
from newswire_search.feeds import api as feeds
from newswire_search.feeds.http_cache import last_modified_source
from newswire_search.index.admin import IndexAdmin
from newswire_search.index.mapping import index_settings
from newswire_search.index.port import ArticleIndex
from newswire_search.indexing.handlers import subscribe
from newswire_search.indexing.indexed_events import IndexedEventPublisher
from newswire_search.maintenance.index_maintainer import IndexMaintainer
from newswire_search.query import api
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from newswire_search.settings import SearchSettings
from newswire_search.site import discovery, pages, sitemaps

GROUP = SEARCH.name


async def open_index(settings: SearchSettings) -> ArticleIndex:
    """Open the index that the settings name.

    Raises:
        IndexInUseError: another process has the embedded index open.
    """
    # Only the engine that is used is imported: Elasticsearch's client takes longer than all the rest of search.
    if settings.index == "embedded":
        from newswire_search.index.embedded.index import EmbeddedIndex

        return await asyncio.to_thread(EmbeddedIndex, settings.data_dir / "index")
    # Nobody would see the spans it makes of every call; who has set up tracing for it says so in the same place.
    os.environ.setdefault("OTEL_PYTHON_INSTRUMENTATION_ELASTICSEARCH_ENABLED", "false")
    from elasticsearch import AsyncElasticsearch
    from elasticsearch.serializer import OrjsonSerializer

    from newswire_search.index.elasticsearch.index import ElasticsearchIndex

    password = settings.elasticsearch_password
    user = settings.elasticsearch_username
    credentials = (user, password.get_secret_value()) if user and password else None
    private_ca: dict[str, Any] = (
        {"ca_certs": str(settings.elasticsearch_ca_certs)} if settings.elasticsearch_ca_certs else {}
    )
    client = AsyncElasticsearch(
        str(settings.elasticsearch_url),
        **private_ca,
        basic_auth=credentials,
        request_timeout=10,
        max_retries=1,
        serializer=OrjsonSerializer(),
    )
    index_options = index_settings(
        settings.elasticsearch_shards, settings.elasticsearch_replicas, settings.elasticsearch_refresh_ms
    )
    return ElasticsearchIndex(client, settings.namespace, index_options)


def index_admin_for(index: ArticleIndex) -> IndexAdmin:
    """Return the admin of an index that `open_index` has opened."""
    if index.name == "embedded":
        from newswire_search.index.embedded.admin import EmbeddedIndexAdmin
        from newswire_search.index.embedded.index import EmbeddedIndex

        return EmbeddedIndexAdmin(cast("EmbeddedIndex", index))
    from newswire_search.index.elasticsearch.admin import ElasticsearchIndexAdmin
    from newswire_search.index.elasticsearch.index import ElasticsearchIndex

    return ElasticsearchIndexAdmin(cast("ElasticsearchIndex", index))


@asynccontextmanager
async def service(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Open search's clients and offer its routes, loops and checks; close the clients at the end."""
    own = SearchSettings() if settings is None else to_search_settings(settings)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(own.redis_url.get_secret_value()))
        index = await open_index(own)
        stack.push_async_callback(index.close)
        keys = Keyspace(own.namespace)
        broker = EventBroker(GroupMember(redis, keys, SEARCH, dead_letter_limit=own.dead_letter_limit))
        broker.publisher(stream=keys.outcomes, title="outcomes", schema=OutcomeEvent)
        publisher = IndexedEventPublisher(redis, broker, keys, index, f"{own.site}/search")
        subscribe(broker, index, publisher)
        readable = RetractionFilteredIndex(index, redis, keys)
        changed = last_modified_source(redis, keys, GROUP, timedelta(milliseconds=own.elasticsearch_refresh_ms))
        maintainer = IndexMaintainer(redis, keys, GROUP, index_admin_for(index), owns_index=index.name == "embedded")
        yield Service(
            name="search",
            routers=[
                api.router(readable),
                feeds.router(readable, own, changed),
                sitemaps.router(readable, own, changed),
                discovery.router(own),
                pages.router(readable),
            ],
            loops={
                "index": partial(maintainer.consume, broker),
                "outcomes": publisher.run,
                "maintenance": maintainer.run,
            },
            checks={
                "index": partial(maintainer.check, index),
                "redis": partial(reachable, redis),
                "consumer": broker.check,
            },
            brokers=[broker],
        )


def to_search_settings(settings: Settings) -> SearchSettings:
    """Return the settings with search's own added from the environment, where they lack them."""
    return settings if isinstance(settings, SearchSettings) else SearchSettings(**settings.model_dump())


async def reachable(redis: "Redis") -> str | None:
    """Tell why Redis cannot be reached, or None where it can: a readiness check."""
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        return f"redis: {error}"
    return None

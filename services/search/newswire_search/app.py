"""Composition root of the search service: settings, clients, routes, consumer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.asyncapi import OutcomeEvent
from newswire.http.application import Service
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.claiming_client import GIVE_WAY_SECONDS
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import SEARCH
from newswire.settings import Settings
from newswire.storage.document_archive import open_archive
from newswire.storage.redis_client import open_redis
from newswire.storage.redis_errors import reason
from newswire.storage.replication import ReplicationBarrier
from newswire_search.feeds import api as feeds
from newswire_search.feeds.index_changes import index_state_functions, index_state_source, last_modified_source
from newswire_search.index.admin import IndexAdmin
from newswire_search.index.mapping import index_settings
from newswire_search.index.port import ArticleIndex
from newswire_search.indexing.handlers import subscribe
from newswire_search.indexing.indexed_events import IndexedEventPublisher
from newswire_search.maintenance.index_maintainer import IndexMaintainer
from newswire_search.query import api
from newswire_search.query.kept_answers import KeptAnswers
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from newswire_search.settings import SearchSettings
from newswire_search.site import discovery, sitemaps
from newswire_search.site.assembly import reader_site
from newswire_search.site.newsletter_box import NewsletterBoxes
from newswire_search.site.preview_page import preview_router

GROUP = SEARCH.name


async def open_index(settings: SearchSettings) -> ArticleIndex:
    """Open the index that the settings select.

    Raises:
        IndexInUseError: another process has the embedded index open.
    """
    # Import only the engine in use: Elasticsearch's client takes longer to import than everything else in search.
    if settings.index == "embedded":
        from newswire_search.index.embedded.index import EmbeddedIndex

        return await asyncio.to_thread(EmbeddedIndex, settings.data_dir / "index")
    from newswire_search.index.elasticsearch.client import connect
    from newswire_search.index.elasticsearch.index import ElasticsearchIndex

    client = connect(settings)
    index_options = index_settings(
        settings.elasticsearch_shards, settings.elasticsearch_replicas, settings.elasticsearch_refresh_ms
    )
    return ElasticsearchIndex(client, settings.namespace, index_options)


def index_admin_for(index: ArticleIndex) -> IndexAdmin:
    """Return the administration of an index that `open_index` has opened."""
    if index.name == "embedded":
        from newswire_search.index.embedded.admin import EmbeddedIndexAdmin
        from newswire_search.index.embedded.index import EmbeddedIndex

        return EmbeddedIndexAdmin(cast("EmbeddedIndex", index))
    from newswire_search.index.elasticsearch.admin import ElasticsearchIndexAdmin
    from newswire_search.index.elasticsearch.index import ElasticsearchIndex

    return ElasticsearchIndexAdmin(cast("ElasticsearchIndex", index))


@asynccontextmanager
async def service(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Open the clients of search, yield its routes, loops and checks, and close the clients at the end."""
    search_settings = SearchSettings() if settings is None else to_search_settings(settings)
    async with AsyncExitStack() as stack:
        records_url = search_settings.redis_url.get_secret_value()
        redis = await stack.enter_async_context(
            open_redis(records_url, search_settings.namespace, search_settings.redis_connections)
        )
        index = await open_index(search_settings)
        stack.push_async_callback(index.close)
        keys = Keyspace(search_settings.namespace)
        barrier = ReplicationBarrier(redis, keys, search_settings.redis_min_replicas)
        limit = search_settings.dead_letter_limit
        member = GroupMember(redis, keys, SEARCH, dead_letter_limit=limit, barrier=barrier)
        broker = EventBroker(member, give_way_seconds=GIVE_WAY_SECONDS)
        broker.publisher(stream=keys.outcomes, title="outcomes", schema=OutcomeEvent)
        publisher = IndexedEventPublisher(redis, keys, index, f"{search_settings.site}/search")
        subscribe(broker, index, publisher)
        readable = RetractionFilteredIndex(index, redis, keys)
        refresh = timedelta(milliseconds=search_settings.elasticsearch_refresh_ms)
        read_state = index_state_source(redis, keys, GROUP, refresh)
        last_change = last_modified_source(read_state)
        site = reader_site(readable, search_settings, read_state, NewsletterBoxes(redis, keys))
        maintainer = IndexMaintainer(
            redis,
            keys,
            GROUP,
            index_admin_for(index),
            owns_index=index.name == "embedded",
            archive=open_archive(search_settings),
        )
        yield Service(
            name="search",
            routers=[
                api.router(readable, KeptAnswers(read_state, refresh)),
                feeds.router(readable, search_settings, last_change),
                sitemaps.router(readable, search_settings, last_change),
                discovery.router(search_settings),
                site.router,
                preview_router(site.frame, redis, keys),
            ],
            loops={
                "index": partial(maintainer.consume, broker),
                "outcomes": publisher.run,
                "maintenance": maintainer.run,
            },
            start_checks={"index": index.check},
            checks={
                "index": partial(maintainer.check, index),
                "redis": partial(check_redis, redis),
                "consumer": broker.check,
            },
            brokers=[broker],
            libraries=[index_state_functions(redis, keys)],
            state={"error_page": site.error_page},
        )


def to_search_settings(settings: Settings) -> SearchSettings:
    """Return the settings with those of search added from the environment, if they are missing."""
    return settings if isinstance(settings, SearchSettings) else SearchSettings(**settings.model_dump())


async def check_redis(redis: "Redis") -> str | None:
    """Return why Redis cannot be reached, or None if it can."""
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        return reason(error)
    return None

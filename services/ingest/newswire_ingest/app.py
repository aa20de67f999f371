"""Composition root of the ingest service: settings, client, store, routes, loops."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from redis.asyncio import Redis

from newswire.asyncapi import ArticleEvent
from newswire.http.application import Service
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.claiming_client import AT_LENGTH, GIVE_WAY_SECONDS
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import OUTCOMES
from newswire.messaging.requests import RequestBroker
from newswire.messaging.retention import keep_trimming
from newswire.observability import audit
from newswire.settings import Settings
from newswire.storage.disk_erasure import keep_rewriting
from newswire.storage.document_archive import open_archive
from newswire.storage.durability import durability_problem
from newswire.storage.memory_guard import MemoryGuard
from newswire.storage.redis_client import open_redis
from newswire.storage.replication import ReplicationBarrier
from newswire.timestamps import utc_now
from newswire.users.service import UserService
from newswire.workspace.browser_sessions import BrowserSessions
from newswire.workspace.frame import Workspace
from newswire_ingest.accounts import audit_api
from newswire_ingest.accounts.api import account_routes
from newswire_ingest.accounts.keys_api import key_routes
from newswire_ingest.archive.composition import archiver
from newswire_ingest.articles import admin_api, batch_api, lists_api, scheduler
from newswire_ingest.articles import api as articles_api
from newswire_ingest.articles.operator_actions import OperatorActions
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.content import language
from newswire_ingest.desk.pages import desk_routers
from newswire_ingest.desk.visit import Visits
from newswire_ingest.drafts import acts_api, upkeep
from newswire_ingest.drafts import api as drafts_api
from newswire_ingest.drafts.audience import Audiences
from newswire_ingest.drafts.composition import draft_service, draft_store
from newswire_ingest.imports.files import ImportFiles
from newswire_ingest.imports.publishing import ItemPublisher
from newswire_ingest.imports.runner import ImportRunner
from newswire_ingest.imports.service import ImportService
from newswire_ingest.labels.api import label_routes
from newswire_ingest.labels.repository import Labels
from newswire_ingest.limits.limits import Limits
from newswire_ingest.media import api as media_api
from newswire_ingest.media import files_api
from newswire_ingest.media.composition import media_service
from newswire_ingest.media.upkeep import MediaUpkeep
from newswire_ingest.media.variants import VariantMaker
from newswire_ingest.outcomes.api import outcome_routes
from newswire_ingest.outcomes.repository import Outcomes
from newswire_ingest.problem_handlers import PROBLEMS
from newswire_ingest.settings import IngestSettings
from newswire_ingest.users import password_pages, user_pages, users_api
from newswire_ingest.users.all_pages import sign_in_routers

MAX_MEMORY_SHARE = 0.85
"""The share of Redis' memory that publishing may use; the rest is reserved for deliveries."""


def assemble(redis: "Redis", settings: IngestSettings) -> Service:
    """Build the service with an open client."""
    keys = Keyspace(settings.namespace)
    archive = open_archive(settings)
    store = ArticleStore(redis, keys, settings.idempotency_lifetime, archive)
    memory_guard = MemoryGuard(redis, MAX_MEMORY_SHARE)
    limits = Limits(store.command_batcher, keys, memory_guard, settings.publish_rate, settings.daily_quota)
    labels = Labels(redis, keys, store.functions)
    media = media_service(redis, keys, settings)
    variants = VariantMaker(media.records, media.storage, utc_now)
    media_upkeep = MediaUpkeep(
        media.records, media.storage, variants, settings.media_unused_after, utc_now, redis, keys
    )
    articles = ArticleService(store, labels, limits, settings.site, utc_now, media.article_images)
    drafts = draft_service(redis, keys, store, articles, limits, settings)
    audiences = Audiences(drafts, RequestBroker(redis), keys)
    outcomes = Outcomes(redis, keys)
    imports = ImportService(redis, keys, ImportFiles(media.storage), settings.import_max_bytes, utc_now)
    users = UserService(redis, keys)
    barrier = ReplicationBarrier(redis, keys, settings.redis_min_replicas)
    import_runner = ImportRunner(
        imports, ItemPublisher(articles, limits, barrier), users.users.find, settings.import_retention, utc_now
    )
    browsers, workspace = BrowserSessions(users.sessions, settings), Workspace(settings.site_name)
    sign_in = sign_in_routers(users, browsers, workspace, settings, redis, keys)
    visits = Visits(browsers, workspace, secure=settings.public_url.scheme == "https")
    member = GroupMember(redis, keys, OUTCOMES, dead_letter_limit=settings.dead_letter_limit)
    broker = EventBroker(member, gather=AT_LENGTH, give_way_seconds=GIVE_WAY_SECONDS)
    outcomes.subscribe(broker)
    # For the AsyncAPI document only: the atomic function that writes an article appends its event.
    broker.publisher(stream=keys.stream, title="articles", schema=ArticleEvent)

    archive_loops = archiver(redis, keys, settings)

    async def check_durability() -> str | None:
        if settings.allow_volatile:
            await redis.ping()
            return None
        return await durability_problem(redis)

    return Service(
        name="ingest",
        routers=[
            articles_api.router(articles, settings),
            batch_api.router(articles, limits, barrier),
            lists_api.router(store, articles),
            drafts_api.router(drafts.editing),
            acts_api.router(drafts, audiences),
            outcome_routes(outcomes, redis, keys),
            key_routes(redis, keys),
            account_routes(redis, keys),
            label_routes(labels),
            media_api.router(media),
            files_api.router(media.records, media.storage, variants, browsers),
            audit_api.router(redis, keys),
            admin_api.router(OperatorActions(articles, store, redis, keys)),
            users_api.router(users, settings.site),
            *sign_in,
            password_pages.router(users, workspace),
            user_pages.router(users, browsers, workspace, settings.site),
            *desk_routers(
                drafts, audiences, articles, store, outcomes, media, labels, imports, visits, PROBLEMS, redis, keys
            ),
        ],
        loops={
            "retention": partial(keep_trimming, redis, keys, settings.stream_retention),
            "audit log": partial(audit.keep_trimming, redis, keys, settings.audit_retention),
            "failovers of Redis": store.writer.keep_watching,
            "scheduler": partial(scheduler.keep_publishing, store, store.time),
            "erasure on disk": partial(keep_rewriting, redis, redis, keys, settings.aof_rewrite_after, store="records"),
            "discarded drafts": partial(
                upkeep.keep_erasing, draft_store(redis, keys, settings), settings.discarded_draft_retention, utc_now
            ),
            "memory": memory_guard.run,
            "image variants": media_upkeep.keep_making_variants,
            "image removals": media_upkeep.keep_removing,
            "unused images": media_upkeep.keep_expiring,
            "imports": import_runner.keep_running,
            "old imports": import_runner.keep_expiring,
            "outcomes": broker.consume,
            "archive": archive_loops.keep_archiving,
            "archive erasures": archive_loops.keep_erasing,
        },
        start_checks={"redis": check_durability},
        checks={
            "redis": check_durability,
            "replicas": barrier.check,
            "memory": memory_guard.check,
            "outcomes": broker.check,
            **archive_loops.checks,
        },
        libraries=[store.functions, outcomes.functions],
        brokers=[broker],
        problems=PROBLEMS,
        warm_ups=[language.load],
        state={"limits": limits},
    )


def operator_actions(redis: "Redis", settings: IngestSettings) -> OperatorActions:
    """Build the actions of operators with an open client, for commands."""
    keys = Keyspace(settings.namespace)
    store = ArticleStore(redis, keys, settings.idempotency_lifetime, open_archive(settings))
    memory_guard = MemoryGuard(redis, MAX_MEMORY_SHARE)
    limits = Limits(store.command_batcher, keys, memory_guard, settings.publish_rate, settings.daily_quota)
    media = media_service(redis, keys, settings)
    labels = Labels(redis, keys, store.functions)
    articles = ArticleService(store, labels, limits, settings.site, utc_now, media.article_images)
    return OperatorActions(articles, store, redis, keys)


@asynccontextmanager
async def service(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Open the clients of ingest, and close them at the end."""
    own = IngestSettings() if settings is None else as_ingest_settings(settings)
    async with open_redis(own.redis_url.get_secret_value(), own.namespace, own.redis_connections) as redis:
        yield assemble(redis, own)


def as_ingest_settings(settings: Settings) -> IngestSettings:
    """Return the settings with those of ingest added from the environment, if they are missing."""
    return settings if isinstance(settings, IngestSettings) else IngestSettings(**settings.model_dump())

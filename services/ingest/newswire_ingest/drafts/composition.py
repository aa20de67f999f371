"""Builds the service of drafts, for the app."""

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.timestamps import utc_now
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.drafts.acts import DraftActs
from newswire_ingest.drafts.editing import DraftEditing, DraftRules
from newswire_ingest.drafts.history import HistoryLimits
from newswire_ingest.drafts.repository import DraftLimits, DraftStore
from newswire_ingest.drafts.service import DraftService
from newswire_ingest.limits.limits import Limits
from newswire_ingest.settings import IngestSettings


def draft_store(redis: "Redis", keys: Keyspace, settings: IngestSettings) -> DraftStore:
    """Return the store of drafts with an open client."""
    return DraftStore(redis, keys, DraftLimits(settings.draft_limit, settings.draft_space_bytes), settings.site)


def draft_service(
    redis: "Redis",
    keys: Keyspace,
    article_store: ArticleStore,
    articles: ArticleService,
    limits: Limits,
    settings: IngestSettings,
) -> DraftService:
    """Return the service of drafts with an open client."""
    store = draft_store(redis, keys, settings)
    history = HistoryLimits(settings.draft_revisions, settings.draft_revision_age)
    rules = DraftRules(history, settings.discarded_draft_retention)
    editing = DraftEditing(store, article_store, limits, rules, utc_now)
    acts = DraftActs(store, article_store, articles, utc_now)
    return DraftService(editing, acts, article_store, articles, limits, redis, keys, settings.site, utc_now)

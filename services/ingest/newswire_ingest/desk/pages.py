"""All pages of the desk, put together."""

from collections.abc import Sequence

from fastapi import APIRouter
from redis.asyncio import Redis

from newswire.http.problem_handlers import ProblemMakers
from newswire.keys import Keyspace
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.desk import (
    act_pages,
    article_pages,
    draft_pages,
    import_pages,
    key_pages,
    label_pages,
    list_pages,
    media_pages,
)
from newswire_ingest.desk.visit import Visits
from newswire_ingest.drafts.audience import Audiences
from newswire_ingest.drafts.service import DraftService
from newswire_ingest.imports.service import ImportService
from newswire_ingest.labels.repository import Labels
from newswire_ingest.media.service import MediaService
from newswire_ingest.outcomes.repository import Outcomes


def desk_routers(
    drafts: DraftService,
    audiences: Audiences,
    articles: ArticleService,
    store: ArticleStore,
    outcomes: Outcomes,
    media: MediaService,
    labels: Labels,
    imports: ImportService,
    visits: Visits,
    problems: ProblemMakers,
    redis: "Redis",
    keys: Keyspace,
) -> Sequence[APIRouter]:
    """Return the routers of the desk."""
    sheets = act_pages.Sheets(drafts, audiences, articles, visits)
    return [
        list_pages.router(drafts, store, media, visits, problems),
        draft_pages.router(drafts, visits, problems),
        media_pages.router(media, visits, problems),
        import_pages.router(imports, visits, problems),
        label_pages.router(labels, visits, problems),
        key_pages.router(visits, problems, redis, keys),
        act_pages.router(sheets, visits, problems, redis, keys),
        article_pages.router(drafts, audiences, articles, store, outcomes, visits, problems),
    ]

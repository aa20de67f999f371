"""The article that a draft would become, as its page shows it."""

from datetime import datetime
from typing import Any

from newswire_ingest.articles.publishing import next_version
from newswire_ingest.articles.versioning import sanitised
from newswire_ingest.drafts.content import article_draft
from newswire_ingest.drafts.models import Draft


async def preview_article(draft: Draft, site: str, now: datetime) -> dict[str, Any]:
    """Return the finished article of a draft.

    Raises:
        newswire_ingest.articles.errors.InvalidDraftError: it is not an article yet.
        newswire_ingest.content.markup_limits.MarkupLimitError: it has too much markup.
    """
    made = article_draft(draft.content)
    return next_version(
        made,
        id_=draft.article.id if draft.article else draft.id,
        publisher=draft.account,
        site=site,
        now=now,
        traceparent="",
        first_published=draft.article.published_at if draft.article else None,
        body=await sanitised(made),
    ).document

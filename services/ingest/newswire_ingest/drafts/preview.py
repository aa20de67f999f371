"""The article that a draft would become, to look at."""

from datetime import datetime
from typing import Any

from newswire.article import ArticleDraft
from newswire_ingest.articles.errors import InvalidDraftError
from newswire_ingest.articles.publishing import next_version
from newswire_ingest.articles.versioning import sanitised
from newswire_ingest.content.sanitised_body import SanitisedBody
from newswire_ingest.drafts.content import DraftContent, article_draft
from newswire_ingest.drafts.models import Draft

NO_TITLE = "…"


async def preview_body(draft: Draft) -> SanitisedBody:
    """Return the sanitised body of a draft.

    Raises:
        newswire_ingest.content.markup_limits.MarkupLimitError: it has too much markup.
        newswire.concurrency.offload.OffloadError: there is no capacity.
    """
    return await sanitised(_presentable(draft.content))


async def preview_article(draft: Draft, site: str, now: datetime) -> dict[str, Any]:
    """Return the finished article: sanitised, with its address. Members that are not valid yet are left out.

    Raises:
        newswire_ingest.content.markup_limits.MarkupLimitError: it has too much markup.
        newswire.concurrency.offload.OffloadError: there is no capacity.
    """
    made = _presentable(draft.content)
    body = await sanitised(made)
    article = draft.article
    version = next_version(
        made,
        id_=article.id if article else draft.id,
        publisher=draft.account,
        site=site,
        now=now,
        traceparent="",
        first_published=article.published_at if article else None,
        body=body,
    )
    return version.document


def _presentable(content: DraftContent) -> ArticleDraft:
    """Return the article of a draft, without the members that are not valid yet."""
    title = content.title if content.title.strip() else NO_TITLE
    shown = content.model_copy(update={"title": title})
    try:
        return article_draft(shown)
    except InvalidDraftError as error:
        wrong = {str(each["loc"][0]) for each in error.cause.errors(include_url=False) if each["loc"]}
        valid = {name: value for name, value in shown if name not in wrong}
        return article_draft(DraftContent.model_construct(**{"title": NO_TITLE} | valid))

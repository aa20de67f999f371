"""Drafts as the application sees them: stored drafts with the state that their articles have now."""

from datetime import timedelta
from typing import Any

from newswire.article import Status
from newswire.storage.article_records import ArticleState
from newswire_ingest.drafts.content import DraftContent, parse_content
from newswire_ingest.drafts.models import Draft, DraftState, DraftSummary, LinkedArticle, acts_of
from newswire_ingest.drafts.records import StoredDraft

_STATES = {Status.SCHEDULED: DraftState.SCHEDULED, Status.PUBLISHED: DraftState.PUBLISHED}


def summary(stored: StoredDraft, article: ArticleState | None, recoverable: timedelta) -> DraftSummary:
    """Return a draft without its text."""
    return DraftSummary(**_members(stored, article, recoverable))


def full_view(stored: StoredDraft, text: bytes | None, article: ArticleState | None, recoverable: timedelta) -> Draft:
    """Return a draft with its text."""
    content = parse_content(text) if text is not None else DraftContent()
    return Draft(**_members(stored, article, recoverable), content=content)


def _members(stored: StoredDraft, article: ArticleState | None, recoverable: timedelta) -> dict[str, Any]:
    discarded = stored.discarded_at
    return {
        "id": stored.id,
        "account": stored.account,
        "title": stored.title,
        "state": _state(stored, article),
        "revision": stored.revision,
        "article": _linked(article),
        "based_on": stored.based_on,
        "created_at": stored.created_at,
        "created_by": stored.created_by,
        "updated_at": stored.updated_at,
        "updated_by": stored.updated_by,
        "acts": () if discarded else acts_of(article.status if article else None),
        "last_act": stored.done,
        "discarded_at": discarded,
        "erased_at": discarded + recoverable if discarded else None,
    }


def _state(stored: StoredDraft, article: ArticleState | None) -> DraftState:
    """Return the state of a draft. Whether its text is published is read from the article alone."""
    if stored.discarded_at is not None:
        return DraftState.DISCARDED
    if article is None or stored.done is None or stored.done.revision != stored.revision:
        return DraftState.OPEN
    return _STATES.get(article.status, DraftState.OPEN)


def _linked(article: ArticleState | None) -> LinkedArticle | None:
    if article is None:
        return None
    return LinkedArticle(
        article.id,
        article.status,
        article.revision_tag,
        article.published_at,
        article.embargo_until,
        article.held,
    )

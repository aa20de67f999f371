"""Response models of the publishing API."""

from datetime import datetime
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from newswire.article import Article, Status, Tombstone
from newswire.events import Kind
from newswire.storage.article_records import ArticleState

_NOT_ANSWERED = ("text", "kind", "changed", "silent")


class PublisherArticle(Article):
    """An article as its publisher sees it. A scheduled one has version 0, and counts its revisions from 1."""

    text: str = ""
    embargo_until: datetime | None = None
    """When a scheduled article will be published."""
    held: str | None = None
    """``account_disabled``: the account was disabled when the article was due. The article stays scheduled until you publish it
    (``embargo_until: null``) or reschedule it.
    """


class ArticleListed(BaseModel):
    """An article in a list, without its body, or its tombstone."""

    id: str
    version: int
    status: Status
    publisher: str


class ArticleList(BaseModel):
    """Your articles, newest first."""

    articles: list[ArticleListed]
    next_cursor: str | None


class VersionListed(BaseModel):
    """A version in a list. ``changed`` lists the members that differ from the previous version."""

    version: int
    kind: Kind
    changed: list[str] = []
    updated_at: datetime
    correction_note: str | None = None


class VersionList(BaseModel):
    """The available versions of an article, newest first."""

    versions: list[VersionListed]
    next_cursor: str | None


class ArticleVersion(Article):
    """A version as it was published."""

    kind: Kind
    changed: list[str] = []
    silent: bool = False


class Cancelled(BaseModel):
    """A scheduled article that was cancelled."""

    id: str
    status: Literal["cancelled"] = "cancelled"


def published(document: dict[str, Any]) -> dict[str, Any]:
    """Return a version document as its publisher sees it."""
    return {name: value for name, value in document.items() if name not in _NOT_ANSWERED}


def version(document: dict[str, Any]) -> dict[str, Any]:
    """Return a version document as it was published, with its kind."""
    return {name: value for name, value in document.items() if name != "text"}


def scheduled(document: dict[str, Any], revision: int, due: str, updated_at: str | None) -> dict[str, Any]:
    """Return the document of a scheduled article as its publisher sees it."""
    place: dict[str, Any] = {"version": 0, "revision": revision, "status": Status.SCHEDULED.value, "embargo_until": due}
    if updated_at is not None:
        place["updated_at"] = updated_at
    return published(document) | place


def retracted(tombstone: Tombstone) -> dict[str, Any]:
    """Return a tombstone as its publisher sees it."""
    return tombstone.model_dump(mode="json", exclude_none=True)


def view(state: ArticleState, document: bytes | None) -> dict[str, Any]:
    """Return the current view of an article; ``document`` is None once it is retracted."""
    if document is None:
        if state.tombstone is None:
            raise ValueError(f"article {state.id} has neither a document nor a tombstone")
        shown = retracted(state.tombstone)
        return shown if state.retracted_by is None else shown | {"retracted_by": state.retracted_by}
    if state.status is Status.SCHEDULED and state.embargo_until is not None:
        shown = scheduled(orjson.loads(document), state.revision, state.embargo_until, state.updated_at)
        return shown if state.held is None else shown | {"held": state.held}
    return published(orjson.loads(document))

"""Drafts in requests and responses of the API."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from newswire.article import Status, Tombstone
from newswire.audience import MailCounts
from newswire.observability.audit import ActorType
from newswire.timestamps import rfc3339
from newswire.validation.fields import LongNote
from newswire_ingest.articles.schemas import PublisherArticle
from newswire_ingest.drafts.content import DraftContent
from newswire_ingest.drafts.models import (
    DoneAct,
    Draft,
    DraftAct,
    DraftAuthor,
    DraftRevision,
    DraftState,
    DraftSummary,
    RevisionKind,
)

ArticleRevision = Annotated[str, StringConstraints(max_length=60)]
_ARTICLE_REVISION = Field(
    description="The state of the article that you saw, such as `2-0`; by default the one that the draft is based on."
)


class DraftRequest(BaseModel):
    """A new draft. Without `content`, a draft of an article has the article's text."""

    model_config = ConfigDict(extra="forbid")

    content: DraftContent | None = None
    article_id: Annotated[str | None, StringConstraints(max_length=60)] = None


class ActRequestBody(BaseModel):
    """What an act is asked for, besides the text."""

    model_config = ConfigDict(extra="forbid")

    article_revision: Annotated[ArticleRevision | None, _ARTICLE_REVISION] = None


class CorrectionRequest(ActRequestBody):
    """A correction."""

    correction_note: Annotated[
        LongNote | None, Field(description="What was wrong, and what is right; by default the note of the draft.")
    ] = None


class ScheduleRequest(ActRequestBody):
    """When to publish. Without `at`, a scheduled article keeps its time."""

    at: Annotated[
        str | None,
        StringConstraints(max_length=40),
        Field(description="A local time with `zone`, such as `2026-03-01T09:30`; else an RFC 3339 date-time."),
    ] = None
    zone: Annotated[
        str | None,
        StringConstraints(max_length=64),
        Field(description="The time zone of `at`, such as `Europe/Berlin`."),
    ] = None
    past_is_meant: Annotated[bool, Field(strict=True, description="Publish at once if `at` has passed.")] = False


class DraftAuthorView(BaseModel):
    """Who wrote a text: a user, or a program by its API key."""

    type: ActorType
    id: str
    name: str


class DraftActView(BaseModel):
    """The last act with the text of a draft."""

    act: DraftAct
    revision: int
    at: datetime
    by: DraftAuthorView
    article_revision: str
    due: datetime | None
    """When it was to be published, in UTC."""
    zone: str | None
    local: str | None


class LinkedArticleView(BaseModel):
    """The article of a draft, as it is now."""

    id: str
    status: Status
    revision: str
    published_at: datetime | None
    embargo_until: datetime | None
    held: str | None


class DraftListed(BaseModel):
    """A draft in a list, without its text."""

    id: str
    title: str
    state: DraftState
    revision: int
    article: LinkedArticleView | None
    based_on: str | None
    """The state of the article that the text started from."""
    article_changed: bool
    """Whether the article was changed by other means since."""
    acts: list[DraftAct]
    """What can be done now."""
    last_act: DraftActView | None
    created_at: datetime
    created_by: DraftAuthorView
    updated_at: datetime
    updated_by: DraftAuthorView
    discarded_at: datetime | None
    erased_at: datetime | None
    """When a discarded draft is erased."""


class DraftView(DraftListed):
    """A draft."""

    content: DraftContent


class DraftList(BaseModel):
    """Drafts, those changed last first."""

    drafts: list[DraftListed]
    next_cursor: str | None


class RevisionListed(BaseModel):
    """A revision of a draft. Saves of one author within five minutes are one revision."""

    number: int
    kind: RevisionKind
    title: str
    saved_at: datetime
    by: DraftAuthorView
    is_current: bool
    is_published: bool
    """Whether it is the text of the last act."""


class RevisionList(BaseModel):
    """The history of a draft, newest first."""

    revisions: list[RevisionListed]


class RemarkView(BaseModel):
    """A remark on a draft. An act refuses a draft with an `error`."""

    code: str
    member: str
    level: Literal["error", "warning"]
    detail: str


class RemarkList(BaseModel):
    """The remarks on a draft."""

    remarks: list[RemarkView]


class UnderstoodTime(BaseModel):
    """How a local time was understood.

    `gap`: clocks skip it, and the first time after it is meant. `repeated`: clocks show it twice, and the first is meant.
    """

    utc: datetime
    local: str
    zone: str
    note: str


class AudienceParams(BaseModel):
    """Which act is meant."""

    model_config = ConfigDict(extra="forbid")

    act: Annotated[DraftAct, Field(description="What is to be done with the draft.")]


class AudienceView(BaseModel):
    """How many would be notified now, besides feeds, the site and the live stream. Null: it is not known, for `unknown_reason`."""

    webhooks: int | None
    mails: MailCounts | None
    unknown_reason: str | None


class ActResult(BaseModel):
    """The result of an act: the draft and the article as they are now."""

    draft: DraftView
    article: PublisherArticle | Tombstone
    article_revision: str
    understood: UnderstoodTime | None = None


def listed_document(draft: DraftSummary) -> dict[str, Any]:
    """Return a draft in a list as JSON members."""
    article = draft.article
    return {
        "id": draft.id,
        "title": draft.title,
        "state": draft.state,
        "revision": draft.revision,
        "article": None
        if article is None
        else {
            "id": article.id,
            "status": article.status,
            "revision": article.revision,
            "published_at": article.published_at,
            "embargo_until": article.embargo_until,
            "held": article.held,
        },
        "based_on": draft.based_on,
        "article_changed": draft.article_changed,
        "acts": list(draft.acts),
        "last_act": _act(draft.last_act),
        "created_at": rfc3339(draft.created_at),
        "created_by": author_document(draft.created_by),
        "updated_at": rfc3339(draft.updated_at),
        "updated_by": author_document(draft.updated_by),
        "discarded_at": rfc3339(draft.discarded_at) if draft.discarded_at else None,
        "erased_at": rfc3339(draft.erased_at) if draft.erased_at else None,
    }


def draft_document(draft: Draft) -> dict[str, Any]:
    """Return a draft as JSON members."""
    return listed_document(draft) | {"content": content_document(draft.content)}


def content_document(content: DraftContent) -> dict[str, Any]:
    """Return the text of a draft as JSON members; empty ones are left out, except title and body."""
    members = content.model_dump(mode="json", exclude_defaults=True)
    return {"title": content.title, "body": content.body} | members


def revision_document(revision: DraftRevision) -> dict[str, Any]:
    """Return a revision in the history as JSON members."""
    return {
        "number": revision.number,
        "kind": revision.kind,
        "title": revision.title,
        "saved_at": rfc3339(revision.saved_at),
        "by": author_document(revision.by),
        "is_current": revision.is_current,
        "is_published": revision.is_published,
    }


def author_document(author: DraftAuthor) -> dict[str, Any]:
    """Return an author as JSON members."""
    return {"type": author.type, "id": author.id, "name": author.name}


def _act(done: DoneAct | None) -> dict[str, Any] | None:
    if done is None:
        return None
    return {
        "act": done.act,
        "revision": done.revision,
        "at": rfc3339(done.at),
        "by": author_document(done.by),
        "article_revision": done.article_revision,
        "due": rfc3339(done.due) if done.due else None,
        "zone": done.zone,
        "local": done.local,
    }

"""Drafts, their revisions, and what was done with them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from newswire.article import Status
from newswire.observability.audit import Actor, ActorType
from newswire_ingest.drafts.content import DraftContent


class DraftState(StrEnum):
    """The state of a draft. ``scheduled`` and ``published``: its present text is that of the article."""

    OPEN = "open"
    SCHEDULED = "scheduled"
    PUBLISHED = "published"
    DISCARDED = "discarded"


class DraftAct(StrEnum):
    """What can be done with the text of a draft, and with its article."""

    PUBLISH = "publish"
    SCHEDULE = "schedule"
    UPDATE = "update"
    CORRECT = "correct"
    RETRACT = "retract"


class RevisionKind(StrEnum):
    """How a revision came about."""

    CREATED = "created"
    SAVED = "saved"
    RESTORED = "restored"
    CONFLICT = "conflict"
    """It was based on an older revision than the one that was current, so it never became current."""


@dataclass(frozen=True, slots=True)
class DraftAuthor:
    """Who wrote a revision: a user, or a program by its API key."""

    type: ActorType
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class DraftActor:
    """Who works with a draft: the actor for the audit log, and the name that people see."""

    audit: Actor
    name: str

    @property
    def author(self) -> DraftAuthor:
        """The same as the author of a revision."""
        return DraftAuthor(self.audit.type, self.audit.user_id or self.audit.key_id or "", self.name)


@dataclass(frozen=True, slots=True)
class DoneAct:
    """The last act with a draft's text. ``revision`` is the text, ``article_revision`` the state of the article that it led to.

    ``token`` is the write token of the article's version, ``parameters`` a digest of what the act was asked for.
    """

    act: DraftAct
    revision: int
    token: str
    parameters: str
    at: datetime
    by: DraftAuthor
    article_revision: str = ""
    before: str = ""
    """The state of the article before; '' for a new article."""
    due: datetime | None = None
    zone: str | None = None
    local: str | None = None
    """The local time in the zone, as it was asked for."""
    address: str | None = None
    """Where the request came from, for the audit log."""

    def repeats(self, other: "DoneAct") -> bool:
        """Return whether both are one act: with the same text, and the same parameters."""
        return (self.act, self.revision, self.parameters) == (other.act, other.revision, other.parameters)


@dataclass(frozen=True, slots=True)
class Revision:
    """One text of a draft. ``began`` is when its author's series of saves began, which later saves replace in the history."""

    number: int
    saved_at: datetime
    began: datetime
    by: DraftAuthor
    kind: RevisionKind
    title: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class DraftRevision:
    """A revision in the history of a draft."""

    number: int
    saved_at: datetime
    by: DraftAuthor
    kind: RevisionKind
    title: str
    is_current: bool
    is_published: bool
    """Whether it is the text of the last act."""


@dataclass(frozen=True, slots=True)
class LinkedArticle:
    """The article that a draft edits, as it is now."""

    id: str
    status: Status
    revision: str
    published_at: str | None
    embargo_until: str | None
    held: str | None


@dataclass(frozen=True, slots=True)
class DraftSummary:
    """A draft without its text."""

    id: str
    account: str
    title: str
    state: DraftState
    revision: int
    article: LinkedArticle | None
    based_on: str | None
    """The state of the article that the text started from."""
    created_at: datetime
    created_by: DraftAuthor
    updated_at: datetime
    updated_by: DraftAuthor
    acts: tuple[DraftAct, ...]
    """What can be done now."""
    last_act: DoneAct | None = None
    discarded_at: datetime | None = None
    erased_at: datetime | None = None
    """When a discarded draft is erased."""

    @property
    def article_changed(self) -> bool:
        """Whether the article was changed by other means since the text started from it."""
        return self.article is not None and self.article.revision != self.based_on


@dataclass(frozen=True, slots=True)
class Draft(DraftSummary):
    """A draft with its text."""

    content: DraftContent = field(default_factory=DraftContent)


@dataclass(frozen=True, slots=True)
class DraftPage:
    """Drafts, those changed last first, and the position of the next page; None on the last one."""

    drafts: list[DraftSummary]
    next_cursor: str | None


def acts_of(status: Status | None) -> tuple[DraftAct, ...]:
    """Return the acts that apply to an article with this status; None: there is no article yet."""
    return _ACTS[status]


_ACTS: dict[Status | None, tuple[DraftAct, ...]] = {
    None: (DraftAct.PUBLISH, DraftAct.SCHEDULE),
    Status.SCHEDULED: (DraftAct.SCHEDULE, DraftAct.PUBLISH, DraftAct.RETRACT),
    Status.PUBLISHED: (DraftAct.UPDATE, DraftAct.CORRECT, DraftAct.RETRACT),
    Status.RETRACTED: (DraftAct.PUBLISH,),
}

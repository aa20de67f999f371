"""The wire models of newsletters."""

from datetime import date, datetime

from pydantic import BaseModel

from newswire_notify.newsletters.issues import Issue, IssueKind, ReaderFeedback
from newswire_notify.newsletters.models import Newsletter, NewsletterDraft


class NewsletterView(NewsletterDraft):
    """A newsletter."""

    id: str
    url: str
    """Its page for readers, with the form to sign up."""
    created_at: datetime
    subscribers: dict[str, int]
    """How many subscribers are in each state: ``pending``, ``active``, ``unsubscribed``, ``bounced``, ``complained``."""


class NewsletterList(BaseModel):
    """All newsletters of an account, oldest first."""

    newsletters: list[NewsletterView]


class IssueView(BaseModel):
    """An issue, how many of its mails came into each state, and what readers did after them."""

    id: str
    kind: IssueKind
    created_at: datetime
    article: str | None
    """Of an alert."""
    local_date: date | None
    """Of a digest."""
    planned: int
    accepted: int
    deferred: int
    """Attempts that the mail server put off."""
    bounced: int
    failed: int
    cancelled: int
    empty: int
    """Digests that were not sent because nothing matched."""
    unsubscribed: int
    """Readers who unsubscribed by a link in the mail."""
    complained: int
    """Readers who reported the mail as spam, as far as receivers pass that on."""


class IssueList(BaseModel):
    """The last issues of a newsletter, newest first."""

    issues: list[IssueView]


def newsletter_view(found: Newsletter, url: str, counts: dict[str, int]) -> NewsletterView:
    """Return what the owner of a newsletter sees."""
    return NewsletterView.model_construct(
        **dict(found.draft), id=found.id, url=url, created_at=found.created_at, subscribers=counts
    )


def issue_view(issue: Issue) -> IssueView:
    """Return what the owner of a newsletter sees of an issue."""
    names = ("planned", "accepted", "deferred", "bounced", "failed", "cancelled", "empty", *ReaderFeedback)
    return IssueView(
        id=issue.id,
        kind=issue.kind,
        created_at=issue.created_at,
        article=issue.article,
        local_date=issue.local_date,
        **{name: issue.counts.get(name, 0) for name in names},
    )

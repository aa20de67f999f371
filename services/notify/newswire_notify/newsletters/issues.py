"""Issues: what is sent to the subscribers of a newsletter together, and the states of its mails."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

import orjson

from newswire.timestamps import from_epoch_ms


class IssueKind(StrEnum):
    """What the mails of an issue are."""

    ALERT = "alert"
    """One article, at once."""
    DIGEST = "digest"
    CONFIRMATION = "confirmation"
    REMINDER = "reminder"
    MANAGE = "manage"
    """The link to the preferences, for a reader who signs up once more."""


PRIORITIES = {
    IssueKind.CONFIRMATION: 0,
    IssueKind.REMINDER: 0,
    IssueKind.MANAGE: 0,
    IssueKind.ALERT: 1,
    IssueKind.DIGEST: 2,
}
"""The queue of each kind; lower ones are sent first."""


class MailState(StrEnum):
    """The state of one mail. `PLANNED` and `DEFERRED` ones wait; a `SENDING` one is claimed; the others have ended."""

    PLANNED = "planned"
    SENDING = "sending"
    DEFERRED = "deferred"
    ACCEPTED = "accepted"
    """The mail server has taken it."""
    FAILED = "failed"
    BOUNCED = "bounced"
    """The mail server says that there is no such mailbox."""
    CANCELLED = "cancelled"
    """It was not to be sent any more: the reader unsubscribed, or its article was retracted."""
    EMPTY = "empty"
    """Nothing matched the reader's choices since the last digest."""


class ReaderFeedback(StrEnum):
    """What readers did after a mail was accepted."""

    UNSUBSCRIBED = "unsubscribed"
    """They unsubscribed by a link in it."""
    COMPLAINED = "complained"
    """They reported it as spam."""


COUNTED = (*map(str, MailState), *map(str, ReaderFeedback))
"""What is counted for an issue."""

RETURNED = "returned"
"""The count of mails that bounced after they were accepted."""
REPORTED = (
    *map(
        str,
        (
            MailState.PLANNED,
            MailState.ACCEPTED,
            MailState.DEFERRED,
            MailState.BOUNCED,
            MailState.FAILED,
            MailState.CANCELLED,
        ),
    ),
    RETURNED,
)
"""What is reported of an alert to the publisher of its article."""


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue as it is stored. ``counts``: how many of its mails came into each state, and what readers did after them."""

    id: str
    newsletter: str
    kind: IssueKind
    created_at: datetime
    due_at: datetime
    last_seq: int = 0
    """The sequence number of the newest item that it may hold."""
    article: str | None = None
    topics: tuple[str, ...] = ()
    local_date: date | None = None
    audience: str = ""
    expanded: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> "Issue":
        """Read an issue from its record."""
        return cls(
            id=fields[b"id"].decode(),
            newsletter=fields[b"newsletter"].decode(),
            kind=IssueKind(fields[b"kind"].decode()),
            created_at=from_epoch_ms(int(fields[b"created"])),
            due_at=from_epoch_ms(int(fields[b"due"])),
            last_seq=int(fields.get(b"to", b"0")),
            article=fields[b"article"].decode() if fields.get(b"article") else None,
            topics=tuple(orjson.loads(fields.get(b"topics", b"[]"))),
            local_date=date.fromisoformat(fields[b"local_date"].decode()) if fields.get(b"local_date") else None,
            audience=fields.get(b"audience", b"").decode(),
            expanded=fields.get(b"expanded") == b"1",
            counts={name: int(fields[name.encode()]) for name in COUNTED if name.encode() in fields},
        )


@dataclass(frozen=True, slots=True)
class ClaimedMail:
    """A mail that a worker has claimed. ``in_doubt``: an earlier attempt may have been accepted without a reply."""

    issue: str
    subscriber: str
    attempt: int
    first_attempt_at: datetime
    after_seq: int
    last_seq: int
    in_doubt: bool
    domain: str
    """The receiving domain."""
    domain_level: int = 0
    """How often in a row the domain refused the sender."""
    day: str = ""
    """The day of a warm-up that the mail counts for."""


@dataclass(frozen=True, slots=True)
class MailResult:
    """What came of an attempt. ``retry_at`` is set for what is tried again."""

    mail: ClaimedMail
    state: MailState
    retry_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DueDigest:
    """The digest of a delivery group that was due last."""

    id: str
    due_at: datetime
    local_date: date


@dataclass(frozen=True, slots=True)
class DueGroup:
    """A delivery group whose time has come. ``following``: when it is due next; None where it has no readers any more."""

    newsletter: str
    audience: str
    scheduled: float
    """When it was due, as the schedule has it: in ms."""
    following: datetime | None = None
    digest: DueDigest | None = None
    """What is to be opened; None where nothing is to be sent."""


def alert_id(newsletter: str, article: str, version: int) -> str:
    """Return the id of the alert about a version of an article."""
    return f"alert.{newsletter}.{article}.{version}"


def version_of_alert(issue_id: str) -> int:
    """Return the version that an alert is about."""
    return int(issue_id.rpartition(".")[2])


def digest_id(newsletter: str, group: str, day: date) -> str:
    """Return the id of the digest of a delivery group for a local date."""
    return f"digest.{newsletter}.{group.replace('|', '_')}.{day.isoformat()}"


def daily_id(kind: IssueKind, newsletter: str, day: date) -> str:
    """Return the id of the mails about sign-ups of a kind, on one day (UTC)."""
    return f"{kind}.{newsletter}.{day.isoformat()}"

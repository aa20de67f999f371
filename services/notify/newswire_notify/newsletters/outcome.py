"""What the reply of a mail server means for a mail and its reader: a pure function of stage and codes (RFC 5321, RFC 3463).

Codes of the class 5.7 say that the sender is refused, not that the mailbox is bad: they never count against a reader.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MAX_RETRY_TIME = timedelta(hours=72)
"""After the first attempt a mail is given up."""
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 60.0, 4 * 3600.0
_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_HARD = frozenset({(1, 0), (1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (4, 4)})
"""Subject and detail of enhanced codes of an address that does not exist, or has moved."""
_SENDER_AT_FAULT = frozenset({(3, 4), (3, 2), (5, 0), (6, 0)})
"""Message too big, system full, protocol and content errors, besides the class 5.7."""


class Stage(StrEnum):
    """How far an attempt came."""

    CONNECT = "connect"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


class Outcome(StrEnum):
    """What follows from a reply."""

    ACCEPTED = "accepted"
    UNAVAILABLE = "unavailable"
    """The mail server cannot be used at the moment, by any mail."""
    LATER = "later"
    BOUNCED = "bounced"
    """The mailbox does not exist."""
    SOFT_BOUNCED = "soft_bounced"
    """The mailbox cannot take mail now; it counts once a day."""
    MAILBOX_DISABLED = "mailbox_disabled"
    """It may be enabled again; on the second day it counts as gone."""
    SENDER_FAULT = "sender_fault"
    """The receiver refuses the sender or this mail."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a mail server. ``code`` is 0 where there was none: the connection broke, or time ran out."""

    stage: Stage
    code: int
    text: str = ""

    @property
    def enhanced(self) -> tuple[int, int] | None:
        """Subject and detail of the enhanced code, such as (1, 1) of 5.1.1."""
        found = _ENHANCED.search(self.text)
        return (int(found[2]), int(found[3])) if found else None


def outcome_of(reply: Reply) -> Outcome:
    """Return what follows from a reply."""
    if reply.stage is Stage.CONTENT and 200 <= reply.code < 300:
        return Outcome.ACCEPTED
    if reply.stage in (Stage.CONNECT, Stage.LOGIN):
        return Outcome.UNAVAILABLE
    if reply.code < 500:  # 0 as well: the reply was not read, and the mail may have been accepted
        return Outcome.LATER
    enhanced = reply.enhanced
    if enhanced is not None and (enhanced[0] == 7 or enhanced in _SENDER_AT_FAULT):
        return Outcome.SENDER_FAULT
    if reply.stage is not Stage.RECIPIENT:
        return Outcome.SENDER_FAULT
    if enhanced is None or enhanced in _HARD:
        return Outcome.BOUNCED
    if enhanced == (2, 1):
        return Outcome.MAILBOX_DISABLED
    return Outcome.SOFT_BOUNCED if enhanced[0] == 2 else Outcome.BOUNCED


def retry_delay(attempt: int) -> timedelta:
    """Return how long to wait after an attempt that failed for the moment."""
    return timedelta(seconds=min(FIRST_RETRY_SECONDS * 2.0 ** min(attempt - 1, 12), MAX_RETRY_SECONDS))


def is_given_up(first_attempt: datetime, now: datetime) -> bool:
    """Return whether a mail has been tried long enough."""
    return now - first_attempt >= MAX_RETRY_TIME

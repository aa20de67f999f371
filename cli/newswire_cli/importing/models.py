"""What a reader finds in a file."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Story:
    """One article as its source has it: the members of ``POST /v1/articles``, not yet held to their limits.

    ``published_at`` is what the source says: a date, a date-time or their text, or several of them, the best first.
    ``notes`` tell what was left out or changed.
    """

    file: str
    line: int | None
    draft: dict[str, Any]
    notes: tuple[str, ...] = ()
    base: str = ""
    """The address from which the relative ones in the draft count."""
    scheduled: bool = False
    """Whether its source meant to publish it at ``embargo_until``, and had not yet."""
    expires: Any = None
    """When its source takes it away again, as the source says it."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is no published article (a page, a picture, a draft), and is not meant to become one."""

    file: str
    line: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that should have become an article and cannot."""

    file: str
    line: int | None
    reason: str


Found = Story | Skipped | Fault


class Unreadable(Exception):
    """The file, or what is left of it, cannot be read; the message says why."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line

"""What the format readers find in a file."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SourceArticle:
    """One article as its source has it: the members of ``POST /v1/articles``, not yet checked against their limits.

    ``published_at`` is the value of the source: a date, a date-time, their text, or a list of candidates, best first.
    ``notes`` describe what was omitted or changed.
    """

    file: str
    line: int | None
    draft: dict[str, Any]
    notes: tuple[str, ...] = ()
    base: str = ""
    """The base of relative addresses in the draft."""
    scheduled: bool = False
    """Whether its source has scheduled it for ``embargo_until``."""
    expires: Any = None
    """When it expires in its source, as written there."""


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """An item that is not a published article, such as a page, a picture or a draft, and is not imported."""

    file: str
    line: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that should be imported and cannot."""

    file: str
    line: int | None
    reason: str


SourceItem = SourceArticle | SkippedItem | FailedItem


class UnreadableSourceError(Exception):
    """The file, or the rest of it, cannot be read; the message says why."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line

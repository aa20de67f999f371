"""An import: a file with articles of another system, what became of them, and how far it is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class ImportState(StrEnum):
    """How far an import is."""

    READING = "reading"
    """The file is stored, and its articles are being read."""
    COMPARING = "comparing"
    """What they would change is being found out."""
    READY = "ready"
    """It waits until a user starts it."""
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """It cannot continue; its reason says why."""


WORKING = frozenset({ImportState.READING, ImportState.COMPARING, ImportState.RUNNING})
"""States in which a process works on an import."""
ENDED = frozenset({ImportState.DONE, ImportState.CANCELLED, ImportState.FAILED})
COUNTED = ("created", "updated", "unchanged", "skipped", "failed")
"""What is counted of the items of an import."""


@dataclass(frozen=True, slots=True)
class Import:
    """An import as it is stored. ``counts``: of the comparison until it is started, then of what was done."""

    id: str
    account: str
    file_name: str
    size: int
    silent: bool
    expired: bool
    user: str
    """The id of the user who uploaded the file; the articles are published in the name of the one who started it."""
    user_name: str
    created_at: datetime
    state: ImportState
    counts: dict[str, int]
    chunks: int = 0
    items: int = 0
    cursor: int = 0
    """The chunks that are done in this state."""
    begun: int = 0
    """The chunks that began to be published."""
    done: int = 0
    """The items in them."""
    failed_chunks: tuple[int, ...] = ()
    """Chunks with items that failed; the first ones, of many."""
    reason: str = ""
    """Why it failed, or what it waits for."""
    started: bool = False
    """Whether anything was published by it."""

    @property
    def is_working(self) -> bool:
        """Whether a process works on it."""
        return self.state in WORKING


Row = dict[str, Any]
"""What became, or would become, of an item: ``what``, ``title``, ``external_id``, ``line``, ``remarks``, ``article``.

``changed`` names the members that an update changes, ``refused`` those that are not valid, each with the mistake.
"""

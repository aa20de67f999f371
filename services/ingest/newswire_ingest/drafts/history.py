"""The history of a draft: which revisions a new one replaces, and which are dropped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from newswire_ingest.drafts.models import Revision, RevisionKind

SERIES = timedelta(minutes=5)
"""Saves of one author in this time are one revision in the history."""
_COLLAPSING = (RevisionKind.SAVED, RevisionKind.CONFLICT)


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How many revisions of a draft are kept, and for how long. The current one is always kept."""

    revisions: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class NewHistory:
    """A history with a new revision. ``is_new``: it begins a series, and does not replace the last one."""

    revisions: tuple[Revision, ...]
    dropped: tuple[int, ...]
    is_new: bool


def with_revision(
    history: Sequence[Revision], new: Revision, limits: HistoryLimits, *, current: int, kept: frozenset[int]
) -> NewHistory:
    """Add a revision. ``current`` is the number of the current one once it is added; ``kept`` are not replaced by later ones."""
    last = next((each for each in reversed(history) if each.kind is new.kind or each.kind not in _COLLAPSING), None)
    replaced: frozenset[int] = frozenset()
    if last is not None and _continues(last, new) and last.number not in kept:
        replaced = frozenset((last.number,))
        new = replace(new, began=last.began)
    revisions = [each for each in history if each.number not in replaced] + [new]
    oldest = new.saved_at - limits.age
    spare = len(revisions) - limits.revisions
    for each in list(revisions):
        if each.number not in (current, new.number) and (spare > 0 or each.saved_at < oldest):
            revisions.remove(each)
            spare -= 1
    numbers = {each.number for each in revisions}
    dropped = tuple(each.number for each in history if each.number not in numbers)
    return NewHistory(tuple(revisions), dropped, not replaced)


def _continues(last: Revision, new: Revision) -> bool:
    same = (last.kind, last.by.type, last.by.id) == (new.kind, new.by.type, new.by.id)
    return same and new.kind in _COLLAPSING and new.saved_at - last.began < SERIES

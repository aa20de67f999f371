"""Which drafts a list contains, and the positions of its pages."""

import re
from dataclasses import dataclass

from newswire.text.folding import fold
from newswire_ingest.drafts.models import DraftState, DraftSummary

_POSITION = re.compile(r"([0-9]{1,15})-([0-9a-z_]{1,80})")


@dataclass(frozen=True, slots=True)
class DraftSelection:
    """The drafts of a list: of a state (by default all but discarded ones), by an author, with words in the title."""

    state: DraftState | None = None
    author: str | None = None
    """The id of the user or key that created or last changed the draft."""
    text: str | None = None


def matches(draft: DraftSummary, selection: DraftSelection) -> bool:
    """Return whether a list contains a draft."""
    if selection.state is None and draft.state is DraftState.DISCARDED:
        return False
    if selection.state not in (None, draft.state):
        return False
    if selection.author is not None and selection.author not in (draft.created_by.id, draft.updated_by.id):
        return False
    return selection.text is None or all(word in fold(draft.title) for word in fold(selection.text).split())


def position(after: tuple[int, str]) -> str:
    """Return the position after a draft: the time of its last change in ms, and its id."""
    return f"{after[0]}-{after[1]}"


def parse_position(text: str | None) -> tuple[int, str] | None:
    """Read a position that `position` made; None for the beginning."""
    if text is None:
        return None
    parts = _POSITION.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is not a position")
    return int(parts[1]), parts[2]

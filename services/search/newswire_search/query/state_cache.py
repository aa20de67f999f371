"""What was made from the index, kept for as long as the index stays the same.

Everything is kept under the name of the state that was read *before* it was made, so it is at least as new as that state. It is
used only while the index still has that name: from the moment in which a retraction is acknowledged, the name is another one, and
nothing that was made before is ever used again.

An index shows what it has processed a moment later (its refresh interval). What is made within that time may lack the last
events, so it is kept only briefly; so is everything while further events are being indexed.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from newswire_search.feeds.index_changes import SETTLING_SECONDS, IndexState

BRIEF_SECONDS = 0.5
"""An article must be on the front page within a second of its publication."""
MAX_SECONDS = 60.0
"""Some changes have no event: a repair of the index, a restored backup. Links to next pages expire after five minutes."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Value]):
    value: Value
    read_at: float
    """When the state was read that it was made after."""
    is_lasting: bool
    size: int


class StateCache(Generic[Value]):
    """Values by key, bounded by their total size; the ones not used for the longest time are removed.

    All are of the same state of the index, the last one that was asked for: no text stays in memory that can no longer be used.
    """

    def __init__(self, max_size: int, refresh: timedelta, *, brief_seconds: float = BRIEF_SECONDS) -> None:
        """Keep nothing yet.

        Args:
            max_size: the maximum of the sizes of all values.
            refresh: the time after which searches see a write.
            brief_seconds: how long something is kept that may lack the last events; 0: not at all.
        """
        self._max_size = max_size
        self._brief_seconds = brief_seconds
        self._settling = SETTLING_SECONDS + refresh.total_seconds()
        self._entries: OrderedDict[Hashable, _Entry[Value]] = OrderedDict()
        self._size = 0
        self._state: str | None = None
        self._state_since = 0.0

    def get(self, key: Hashable, state: IndexState) -> Value | None:
        """Return the value of a key if it was made in this state of the index."""
        if state.name != self._state:
            self._entries.clear()
            self._size = 0
            self._state, self._state_since = state.name, state.read_at
        entry = self._entries.get(key)
        if entry is None:
            return None
        lasts = entry.is_lasting and not state.is_changing
        if state.read_at - entry.read_at >= (MAX_SECONDS if lasts else self._brief_seconds):
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: Hashable, state: IndexState, value: Value, size: int = 1) -> None:
        """Keep a value that was made after `get` returned None for this state, unless the index has changed meanwhile."""
        if state.name is None or state.name != self._state or size > self._max_size:
            return
        is_lasting = not state.is_changing and state.read_at - self._state_since >= self._settling
        if not (is_lasting or self._brief_seconds):
            return
        self._remove(key)
        self._entries[key] = _Entry(value, state.read_at, is_lasting, size)
        self._size += size
        while self._size > self._max_size:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.size

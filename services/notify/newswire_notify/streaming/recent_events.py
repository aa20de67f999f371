"""The newest events of the stream, in memory: many clients can resume without each reading Redis."""

from collections import deque
from collections.abc import Iterator

from newswire.messaging.stream_position import BEGINNING, Position
from newswire_notify.streaming.stream_events import StreamEvent

RECENT_EVENTS_LIMIT, RECENT_BYTES_LIMIT = 500, 4 * 1024 * 1024


class RecentEvents:
    """Events in the order of the stream, up to `RECENT_EVENTS_LIMIT` and `RECENT_BYTES_LIMIT`."""

    def __init__(self, after: Position = BEGINNING) -> None:
        self.after = after
        """All later events are here."""
        self._events = deque[StreamEvent]()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[StreamEvent]:
        return iter(self._events)

    @property
    def full(self) -> bool:
        """Whether there is no room for older events."""
        return len(self._events) >= RECENT_EVENTS_LIMIT or self._bytes >= RECENT_BYTES_LIMIT

    def prepend(self, at: Position, entry: StreamEvent | None) -> None:
        """Add the entry at ``at``, the last before `after`; None for one without an event."""
        self.after = at
        if entry is not None:
            self._events.appendleft(entry)
            self._bytes += len(entry.json)

    def add(self, entry: StreamEvent) -> None:
        """Add the newest event, and drop the oldest ones above the limits; a retraction drops the events of its article."""
        if entry.retraction:
            self._events = deque(each for each in self._events if each.article != entry.article)
            self._bytes = sum(len(each.json) for each in self._events)
        self._events.append(entry)
        self._bytes += len(entry.json)
        while len(self._events) > RECENT_EVENTS_LIMIT or self._bytes > RECENT_BYTES_LIMIT:
            oldest = self._events.popleft()
            self._bytes -= len(oldest.json)
            self.after = oldest.at

    def last_until(self, newest: Position) -> Position:
        """Return the position of the last event that is not after ``newest``; `BEGINNING` if there is none."""
        return max((entry.at for entry in self._events if entry.at <= newest), default=BEGINNING)

    def cut_after(self, kept: Position) -> None:
        """Drop the events after a position."""
        while self._events and self._events[-1].at > kept:
            self._bytes -= len(self._events.pop().json)

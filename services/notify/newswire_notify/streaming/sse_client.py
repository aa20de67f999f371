"""A client of the live stream, the filter that it shares with others, and where it resumes."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import orjson

from newswire.messaging.stream_position import BEGINNING, Position, format_position
from newswire.observability import metrics
from newswire_notify.streaming.event_names import TRIMMED
from newswire_notify.streaming.stream_events import SseFrame, StreamFilter

ACCESS_CHANGED, EXPIRED = "access_changed", "expired"
LOST_ACCESS = frozenset({ACCESS_CHANGED, EXPIRED})
"""Reasons for disconnecting a client whose account or key must be checked again."""
GONE = "gone"
"""The client closed the connection."""


@dataclass(eq=False, slots=True)
class SseClient:
    """A client of the live stream, or a waiting pull."""

    limit: int
    account: str | None = None
    ends: float | None = None
    """When the client's key or token expires, in seconds since the epoch."""
    waiting: deque[SseFrame] = field(default_factory=deque)
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    retracted: dict[str, Position] = field(default_factory=dict)
    ended: str | None = None
    """Why the client receives nothing more."""
    resuming: bool = True
    served: Position = BEGINNING
    """Position of the last event sent: the client resumes after it, and earlier events are repeats."""
    newest: Position = BEGINNING
    """End of the stream when the client connected: earlier retractions have already erased their articles."""

    def offer(self, frame: SseFrame) -> None:
        """Queue an event; disconnect the client where its queue is full."""
        if self.ended is None and len(self.waiting) >= self.limit:
            self.end("too_slow")
        elif self.ended is None:
            self.waiting.append(frame)
            self.wakeup.set()

    def end(self, reason: str) -> None:
        """Disconnect the client."""
        if self.ended is None:
            self.ended = reason
            self.waiting.clear()
            self.wakeup.set()
            metrics.live_disconnects.labels(reason).inc()

    def leave(self) -> None:
        """End the client after it closed its connection."""
        self.ended = self.ended or GONE
        self.waiting.clear()
        self.wakeup.set()

    def drop_article(self, article: str, at: Position) -> None:
        """Do not send queued events of an article: it was retracted."""
        if self.waiting or self.resuming:
            self.retracted[article] = at

    def is_entitled(self, frame: SseFrame) -> bool:
        """Return whether no retraction has erased a queued event since."""
        return frame.entry >= self.retracted.get(frame.article, frame.entry)


@dataclass(frozen=True, slots=True)
class FilterGroup:
    """All clients with equal filters."""

    stream_filter: StreamFilter
    clients: set[SseClient] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ResumeFrom:
    """Where a client wants to resume: after a position that it saw, or at a time."""

    after: Position
    by_time: bool = False


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a client is actually resumed."""

    after: Position
    first_left: Position | None = None
    """The first entry left, where some of the requested entries are gone."""


def trimmed_frame(resumed: ResumePoint) -> bytes:
    """Return the event that says which entries are no longer on the stream."""
    first = format_position(resumed.first_left or BEGINNING)
    return stream_frame(TRIMMED, {"resumed_from": format_position(resumed.after), "first": first})


def stream_frame(event: str, data: dict[str, str]) -> bytes:
    """Return an event about the stream itself."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(data))

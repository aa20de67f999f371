"""A client of the live stream, the filter that it shares with others, and where it resumes."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson

from newswire.messaging.stream_position import BEGINNING, Position, format_position
from newswire.observability import metrics
from newswire.shared_parts import PartWriter, RefusingWriter, SharedPart
from newswire_notify.streaming.event_names import TRIMMED
from newswire_notify.streaming.stream_events import SseFrame, StreamFilter

ACCESS_CHANGED, EXPIRED = "access_changed", "expired"
LOST_ACCESS = frozenset({ACCESS_CHANGED, EXPIRED})
"""Reasons for disconnecting a client whose account or key must be checked again."""
GONE = "gone"
"""The client closed the connection."""
WRITE_BATCH_SIZE, WRITE_BATCH_BYTES = 32, 128 * 1024
"""Maximum events, and bytes of them, that are written at once; a larger event is written alone."""
HEARTBEAT = SharedPart(b": still here\n")
# Lines that are not events end without a blank line, because some clients treat every blank line as an event.


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Consecutive events of one filter, joined once for all clients."""

    frames: tuple[SseFrame, ...]
    first: Position
    last: Position
    part: SharedPart

    @classmethod
    def of(cls, frames: tuple[SseFrame, ...]) -> "FrameBatch":
        """Join events, at least one, in the order of the stream."""
        part = SharedPart(b"".join(frame.data for frame in frames))
        return cls(frames, frames[0].entry, frames[-1].entry, part)


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
    body: PartWriter = field(default_factory=RefusingWriter)
    """Where events are written as they happen while the client is idle."""
    idle: bool = False
    """Its task has sent everything and waits: nothing is queued."""
    written_at: float = 0.0
    """When something was last written to it, on the clock of `ClientTimers`; for a client that is not idle, earlier."""
    slot: int = 0
    """Where `ClientTimers` keeps it."""
    heartbeat_due: bool = False
    """Its task is to send a heartbeat."""

    def deliver(self, batch: FrameBatch, now: float) -> None:
        """Write events that follow each other on the stream; queue them where the client lags behind."""
        if self.idle and self.served < batch.first and self.body.write(batch.part):
            self.served, self.written_at = batch.last, now
            return
        for frame in batch.frames:
            if frame.entry > self.served:
                self.offer(frame)

    async def wait_idle(self, now: float) -> None:
        """Wait, in the client's task and with nothing queued, until there is something for the task to do."""
        self.retracted.clear()
        self.wakeup.clear()
        self.written_at = now
        self.idle = True
        try:
            await self.wakeup.wait()
        finally:
            self.idle = False

    def beat(self, now: float) -> None:
        """Send a heartbeat if nothing is queued."""
        if not self.idle:
            return
        if self.body.write(HEARTBEAT):
            self.written_at = now
        else:
            self.heartbeat_due = True
            self._wake()

    def offer(self, frame: SseFrame) -> None:
        """Queue an event; disconnect the client where its queue is full."""
        if self.ended is None and len(self.waiting) >= self.limit:
            self.end("too_slow")
        elif self.ended is None:
            self.waiting.append(frame)
            self._wake()

    def end(self, reason: str) -> None:
        """Disconnect the client."""
        if self.ended is None:
            self.ended = reason
            self.waiting.clear()
            self._wake()
            metrics.live_disconnects.labels(reason).inc()

    def leave(self) -> None:
        """End the client after it closed its connection."""
        self.ended = self.ended or GONE
        self.waiting.clear()
        self._wake()

    def take_waiting(self) -> list[SseFrame]:
        """Take as many queued events as may be written at once."""
        taken = list(next(divided(self.waiting), ()))
        for _ in taken:
            self.waiting.popleft()
        return taken

    def drop_article(self, article: str, at: Position) -> None:
        """Do not send queued events of an article: it was retracted."""
        if self.waiting or self.resuming:
            self.retracted[article] = at

    def is_entitled(self, frame: SseFrame) -> bool:
        """Return whether no retraction has erased a queued event since."""
        return frame.entry >= self.retracted.get(frame.article, frame.entry)

    def _wake(self) -> None:
        self.idle = False  # what follows must not overtake what the task is about to send
        self.wakeup.set()


@dataclass(slots=True)
class FilterGroup:
    """All clients with equal filters, and the events that match and were not written yet."""

    stream_filter: StreamFilter
    clients: set[SseClient] = field(default_factory=set)
    pending: list[SseFrame] = field(default_factory=list)

    def drop_article(self, article: str) -> None:
        """Do not write pending events of an article: it was retracted."""
        if self.pending:
            self.pending = [frame for frame in self.pending if frame.article != article]

    def take_pending(self) -> list[tuple[SseFrame, ...]]:
        """Return the pending events, divided into parts that may be written at once."""
        taken, self.pending = self.pending, []
        return list(divided(taken))


def divided(frames: Iterable[SseFrame]) -> Iterator[tuple[SseFrame, ...]]:
    """Divide events into parts that may be written at once."""
    part: list[SseFrame] = []
    size = 0
    for frame in frames:
        if len(part) == WRITE_BATCH_SIZE or (part and size + len(frame.data) > WRITE_BATCH_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(frame)
        size += len(frame.data)
    if part:
        yield tuple(part)


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

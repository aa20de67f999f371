"""The last entries that a relay has read, for any number of followers, each at a position of its own."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from newswire.events import RETRACTED, article_event
from newswire.messaging.stream_position import Position, parse_position
from newswire_notify.stream_relay.messages import encode_entry
from newswire_notify.streaming.stream_reading import StreamEntry

MAX_ENTRIES, MAX_BYTES = 1000, 8 * 1024 * 1024
"""How far a follower may fall behind. Beyond that it reads Redis for itself."""


@dataclass(frozen=True)
class RecentEntry:
    """An entry with its position."""

    at: Position
    entry: StreamEntry

    @cached_property
    def encoded(self) -> bytes:
        """The entry as followers receive it."""
        return encode_entry(self.entry)

    def is_about(self, article: str) -> bool:
        """Return whether it is an event of an article."""
        if not any(article.encode() in value for value in self.entry[1].values()):
            return False  # found without decoding it
        read = article_event(self.entry[1])
        return read is not None and read[1].id == article

    @cached_property
    def size(self) -> int:
        """The bytes of its fields."""
        return sum(len(name) + len(value) for name, value in self.entry[1].items())


class RecentEntries:
    """The entries after a position up to the last one that was read, without a gap but for the texts of retracted articles."""

    def __init__(self, after: Position) -> None:
        self.after = after
        """All entries up to here were read."""
        self.newest = after
        """The newest id of the stream, as far as it is known."""
        self.idle_reads = 0
        """How often a read returned nothing."""
        self.changed = asyncio.Event()
        """Set with the next read; then there is another one."""
        self._floor = after
        self._kept: deque[RecentEntry] = deque()
        self._bytes = 0

    def add(self, entries: Sequence[StreamEntry]) -> None:
        """Add the entries of a read; forget the oldest."""
        for entry in entries:
            recent = RecentEntry(parse_position(entry[0].decode()), entry)
            if (article := _retracted_article(entry)) is not None:
                self._drop(article)
            self._kept.append(recent)
            self._bytes += recent.size
            self.after = self.newest = recent.at
        while len(self._kept) > MAX_ENTRIES or (self._bytes > MAX_BYTES and len(self._kept) > 1):
            oldest = self._kept.popleft()
            self._bytes -= oldest.size
            self._floor = oldest.at
        self.notify()

    def note_idle(self, newest: Position) -> None:
        """Note that a read returned nothing."""
        self.newest = newest
        self.idle_reads += 1
        self.notify()

    def since(self, after: Position, page_bytes: int) -> list[RecentEntry] | None:
        """Return the next entries after a position: one, or as many as fit; None if some of them are forgotten."""
        if after < self._floor:
            return None
        later: list[RecentEntry] = []
        for recent in reversed(self._kept):
            if recent.at <= after:
                break
            later.append(recent)
        page: list[RecentEntry] = []
        size = 0
        for recent in reversed(later):
            size += recent.size
            if page and size > page_bytes:
                break
            page.append(recent)
        return page

    def _drop(self, article: str) -> None:
        """Forget the events of a retracted article: its text is erased from the stream as well."""
        kept = [recent for recent in self._kept if not recent.is_about(article)]
        self._kept, self._bytes = deque(kept), sum(recent.size for recent in kept)

    def notify(self) -> None:
        """Wake all tasks that wait for the next read."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _retracted_article(entry: StreamEntry) -> str | None:
    """Return the article that an entry retracts, if any."""
    if not any(RETRACTED.encode() in value for value in entry[1].values()):
        return None
    read = article_event(entry[1])
    return None if read is None or read[0].type != RETRACTED else read[1].id

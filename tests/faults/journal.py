"""What was observed from outside: acknowledged writes, received webhooks, and events that readers received.

The checker compares the stores with this, and with nothing that Newswire reports about itself.
"""

from dataclasses import dataclass, field
from hashlib import sha1
from typing import Literal

Kind = Literal["published", "retracted"]


@dataclass(frozen=True, slots=True)
class Write:
    """An acknowledged request (2xx); ``version`` is that of the response."""

    article: str
    version: int
    kind: Kind
    title: str
    category: str
    topics: tuple[str, ...] = ()

    @property
    def event(self) -> str:
        """The id of the event that this write must have created."""
        return f"{self.article}.{self.version}" + (".retracted" if self.kind == "retracted" else "")

    @property
    def rank(self) -> int:
        """Its position in the life of its article: a retraction comes after the version that it withdraws."""
        return self.version * 2 + (self.kind == "retracted")


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscription with a single condition."""

    id: str
    secret: str = field(repr=False)
    path: str
    category: str | None = None
    topic: str | None = None
    word: str | None = None

    def asked_for(self, write: Write) -> bool:
        """Return whether its filter matches a published article."""
        return write.category == self.category or self.topic in write.topics or self.word in write.title.split()

    def delivery(self, event: str) -> str:
        """Return the ``webhook-id`` of the delivery of an event."""
        return "msg_" + sha1(f"{event}|{self.id}".encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Receipt:
    """A received webhook; ``at`` in seconds since the epoch."""

    path: str
    webhook_id: str
    event: str
    article: str
    rank: int
    signed: bool
    at: float


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as a reader received it; ``entry`` is its position in the stream, if the reader got one."""

    entry: str
    event: str


@dataclass(frozen=True)
class Reading:
    """What one reader received from the live stream or page by page, over reconnections, and its filter."""

    place: str
    category: str | None = None
    heard: list[Heard] = field(default_factory=list)


def readings() -> list[Reading]:
    """Return the readers of a run, before they have received anything."""
    return [
        Reading("live stream"),
        Reading("pull"),
        Reading("live stream of Desk 1", "Desk 1"),
        Reading("pull of Desk 2", "Desk 2"),
    ]


@dataclass
class Journal:
    """All observations of one run."""

    writes: list[Write] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    """Titles of articles whose requests got no response: they may exist or not."""
    subscribers: list[Subscriber] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=readings)
    failed_requests: list[str] = field(default_factory=list)
    """Requests of clients that were refused, broken off or answered with 5xx; the clients repeated them."""

    @property
    def heard(self) -> list[Heard]:
        """The events of the unfiltered live stream."""
        return self.readings[0].heard

    def clear(self) -> None:
        """Remove everything: the store was flushed."""
        for kept in (self.writes, self.unanswered, self.subscribers, self.receipts):
            kept.clear()
        for reading in self.readings:
            reading.heard.clear()

    def by_article(self) -> dict[str, list[Write]]:
        """Return the writes of each article in the order of its life."""
        lives: dict[str, list[Write]] = {}
        for write in self.writes:
            lives.setdefault(write.article, []).append(write)
        return {article: sorted(life, key=lambda write: write.rank) for article, life in lives.items()}

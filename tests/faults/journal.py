"""What the outside saw of an installation: writes it acknowledged, webhooks its subscribers got, events its listeners heard.

The checker holds what the stores say against this, and against nothing that Newswire says of itself.
"""

from dataclasses import dataclass, field
from hashlib import sha1
from typing import Literal

Kind = Literal["published", "retracted"]


@dataclass(frozen=True, slots=True)
class Write:
    """A request that was answered with 2xx; ``version`` is the one that the answer named."""

    article: str
    version: int
    kind: Kind
    title: str
    category: str
    topics: tuple[str, ...] = ()

    @property
    def event(self) -> str:
        """The id of the one event that this write must have made."""
        return f"{self.article}.{self.version}" + (".retracted" if self.kind == "retracted" else "")

    @property
    def rank(self) -> int:
        """Where it stands in the life of its article: a retraction comes after the version that it withdraws."""
        return self.version * 2 + (self.kind == "retracted")


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscription, and the one thing it asked for."""

    id: str
    secret: str = field(repr=False)
    path: str
    category: str | None = None
    topic: str | None = None
    word: str | None = None

    def asked_for(self, write: Write) -> bool:
        """Return whether its filter is met by what was published."""
        return write.category == self.category or self.topic in write.topics or self.word in write.title.split()

    def delivery(self, event: str) -> str:
        """Return the ``webhook-id`` under which it is to be told of an event."""
        return "msg_" + sha1(f"{event}|{self.id}".encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Receipt:
    """A webhook that arrived; ``at`` in seconds since the epoch."""

    path: str
    webhook_id: str
    event: str
    article: str
    rank: int
    signed: bool
    at: float


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as a reader got it; ``entry`` is its place in the stream, where the reader was told."""

    entry: str
    event: str


@dataclass(frozen=True)
class Reading:
    """What one reader got of the live stream or page by page, reconnections included, and what of it was asked for."""

    place: str
    category: str | None = None
    heard: list[Heard] = field(default_factory=list)


def readings() -> list[Reading]:
    """Return the readers of a run, who have got nothing yet."""
    return [
        Reading("live stream"),
        Reading("pull"),
        Reading("live stream of Desk 1", "Desk 1"),
        Reading("pull of Desk 2", "Desk 2"),
    ]


@dataclass
class Journal:
    """All of it, for one run."""

    writes: list[Write] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    """Titles of articles whose requests were never answered: they may exist, or not."""
    subscribers: list[Subscriber] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=readings)

    @property
    def heard(self) -> list[Heard]:
        """What came on the whole live stream."""
        return self.readings[0].heard

    def clear(self) -> None:
        """Forget everything: the store was flushed."""
        for kept in (self.writes, self.unanswered, self.subscribers, self.receipts):
            kept.clear()
        for reading in self.readings:
            reading.heard.clear()

    def by_article(self) -> dict[str, list[Write]]:
        """Return each article's writes in the order of its life."""
        lives: dict[str, list[Write]] = {}
        for write in self.writes:
            lives.setdefault(write.article, []).append(write)
        return {article: sorted(life, key=lambda write: write.rank) for article, life in lives.items()}

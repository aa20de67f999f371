"""What the works need of a contestant: how to subscribe, to publish and to read, and which processes to measure."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil

from bench.articles import Article
from bench.load import Connection
from bench.one_to_one import Fsync
from bench.peers.programs import cpu_seconds
from bench.publishing import events, versions

TO_ALL = "All desks"
"""The category of the events that go to all endpoints."""


@dataclass(frozen=True, slots=True)
class Story:
    """One event: the article as it is sent to Newswire, and the event that Newswire makes of it, which peers are given."""

    article: bytes
    event: bytes
    category: str


def stories(articles: Iterable[Article]) -> list[Story]:
    """Prepare events, so that publishing them costs little."""
    listed = list(articles)
    made = events(versions(listed, "bench"))
    return [
        Story(orjson.dumps(article), event, article["category"]) for article, event in zip(listed, made, strict=True)
    ]


@dataclass(frozen=True)
class Contestant:
    """A running service. ``service`` are its own processes, ``stores`` those of its databases and queues."""

    name: str
    version: str
    settings: str
    site: str
    accepted: int
    """The status of the response to a publication."""
    publication: Callable[[Story], bytes]
    """The bytes of the request that publishes an event."""
    service: Sequence[psutil.Process]
    stores: Sequence[psutil.Process]

    def spent(self) -> dict[str, float]:
        """Return the processor time so far, in seconds."""
        return {"service": cpu_seconds(self.service), "stores": cpu_seconds(self.stores)}


@dataclass(frozen=True)
class WebhookService(Contestant):
    """A service that posts events to endpoints."""

    subscribing: str
    """The site that takes subscriptions."""
    subscriptions: Callable[[str, str], list[bytes]]
    """The requests that send the events of a category to a URL."""
    set_fsync: Callable[[Fsync], Awaitable[None]]
    """Set when its store writes to disk."""


@dataclass(frozen=True)
class Streaming:
    """How a live stream is read."""

    site: str
    subscription: bytes
    """The request that opens a stream."""
    begun: bytes
    """Occurs in the response as soon as events are sent."""
    end: bytes
    """Ends the frame of an event, and of nothing else."""


@dataclass(frozen=True)
class StreamService(Contestant):
    """A service that sends events to connected readers."""

    streaming: Streaming


@dataclass
class Conditions:
    """What contestants need to start."""

    folder: Path
    programs: Path
    readers: int
    endpoints: int
    singles: int
    seconds: float
    tell: Callable[[str], None] = field(default=lambda _: None)


async def asked(connection: Connection, data: bytes, *statuses: int) -> bytes:
    """Return the body of a response.

    Raises:
        RuntimeError: its status is not one of these.
    """
    answer = await connection.ask(data)
    if answer.status not in statuses:
        raise RuntimeError(f"answered {answer.status} instead of {statuses}: {answer.body[:300]!r}")
    return answer.body


def changes(before: dict[str, float], after: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Yield what was spent in between."""
    return ((name, after[name] - before[name]) for name in before)


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Return the resident memory of processes."""
    return sum(process.memory_info().rss for process in processes)

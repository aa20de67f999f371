"""What the queue takes and returns: claimed deliveries, attempts and their results, planned and expanded events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import NamedTuple, TypeAlias

Documents: TypeAlias = Mapping[tuple[str, int], bytes]
"""Stored versions of articles by id and version; empty where erased."""


class AttemptOutcome(StrEnum):
    """Outcome of an attempt for the queue."""

    DELIVERED = "delivered"
    RETRY = "retry"
    RETRY_AFTER = "retry_after"
    """To be retried, and nothing else is sent to this endpoint before: it sent ``Retry-After``."""
    DEAD = "dead"
    GONE = "gone"
    """The endpoint responded with 410: the delivery is dead, and the subscription is disabled."""
    CANCELLED = "cancelled"
    RELEASED = "released"
    """Not attempted: another worker may claim it at once."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of a subscription. Contains secrets: never log or show it."""

    subscription: str
    url: str
    secret: str = field(repr=False)
    previous: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """Former secrets that still sign, each with its end (seconds since the epoch)."""
    content: str = "full"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    entitlement: str | None = None
    """Entitlement of the account as JSON; None: everything."""
    verified_origin: str | None = None
    """The origin to which it consented; deliveries name it."""


class ClaimedDelivery(NamedTuple):
    """A claimed delivery."""

    id: str
    attempt: int
    failures: int
    event: str
    type: str
    article: str
    version: int
    reason: str
    endpoint: Endpoint
    envelope: bytes


class Attempt(NamedTuple):
    """One attempt, as subscribers may see it. ``error`` names the stage that failed."""

    time: float
    attempt: int
    status: int | None
    latency_ms: float
    error: str | None = None
    answer: str = ""


class AttemptResult(NamedTuple):
    """The result of an attempt. ``wait``: seconds until the retry."""

    delivery: ClaimedDelivery
    outcome: AttemptOutcome
    wait: float
    attempt: Attempt | None


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    """Result of settling and claiming. ``wait``: seconds until an endpoint has work, None where none has."""

    states: list[str | None]
    """State of each settled delivery, in order; None where its lease was lost."""
    wait: float | None
    deliveries: list[ClaimedDelivery]
    documents: Documents
    """Their versions at the time of the claim; empty where the records are on another server."""
    blocked: bool = False
    """Whether due deliveries were left because as many as allowed are in flight to their endpoint."""


@dataclass(frozen=True, slots=True)
class ExpansionProgress:
    """Progress of the expansion of an event."""

    enqueued: int
    left: int
    matched: int
    previously_matched: int
    announced: bool


@dataclass(frozen=True, slots=True)
class ExpandedEvent:
    """An event after a chunk of its deliveries was enqueued."""

    event: str
    envelope: bytes
    article: str
    version: int
    progress: ExpansionProgress


class ExpansionTurn(Enum):
    """Result of an expansion step that expanded no event, or one."""

    NOTHING_LEFT = "nothing is left to be expanded"
    QUEUE_FULL = "the queue is long enough"
    EXPANDED = "a chunk was enqueued"


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """An event as the queue plans it."""

    id: str
    type: str
    article: str
    version: int
    entry_id: str
    retracted: bool
    envelope: bytes
    announcement: bytes
    """The JSON of the event on the outcomes stream that says how many deliveries it has, up to these numbers."""

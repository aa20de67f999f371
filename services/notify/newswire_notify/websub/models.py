"""Requests to the hub, subscriptions, and the feeds that are pushed."""

from dataclasses import dataclass
from enum import StrEnum

from yarl import URL

DEFAULT_LEASE_SECONDS = 864_000
MIN_LEASE_SECONDS = 3_600
MAX_LEASE_SECONDS = 30 * 86_400
MAX_SECRET_BYTES = 199
"""The Recommendation, section 5.1: a secret is shorter than 200 bytes."""


class Mode(StrEnum):
    """What a subscriber asks for."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True)
class HubRequest:
    """A valid request that is not verified yet."""

    mode: Mode
    callback: str
    topic: str
    """The canonical URL of the feed."""
    sent_topic: str
    """The topic as it was sent: the verification repeats it."""
    lease_seconds: int
    """The granted lease."""
    secret: str | None = None

    @property
    def host(self) -> str:
        """The host of the callback."""
        return host_of(self.callback)


@dataclass(frozen=True, slots=True)
class HubSubscription:
    """A verified subscription."""

    topic: str
    callback: str
    expires_at: float
    """The end of its lease, in seconds since 1970."""
    secret: str | None = None
    sent_topic: str | None = None
    """The topic as the subscriber wrote it, if that is another way: a denial repeats it."""

    @property
    def host(self) -> str:
        """The host of the callback."""
        return host_of(self.callback)


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """The content of a topic."""

    address: str
    """The canonical URL, which the feed names as its own: a topic may be another URL of the same feed."""
    etag: str | None
    content_type: str
    body: bytes


class PushResult(StrEnum):
    """The result of one push."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"
    """The callback responded with 410: the subscription ends."""


def granted_lease(requested: int | None) -> int:
    """Return the lease that is granted, in seconds."""
    if requested is None:
        return DEFAULT_LEASE_SECONDS
    return min(max(requested, MIN_LEASE_SECONDS), MAX_LEASE_SECONDS)


def host_of(url: str) -> str:
    """Return the host of a URL, in lower case and without a final dot."""
    return (URL(url).raw_host or "").rstrip(".").lower()

"""Subscriptions: as they are asked for, as they are stored, and the errors of changing them."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from newswire.auth.credentials import read_entitlement
from newswire.events import ArticlePublished
from newswire.filter_input import FilterInput
from newswire.filters import ArticleFeatures, Filter
from newswire.validation.fields import Moment, Text
from newswire_notify.deliveries.queue import read_former_secrets
from newswire_notify.webhooks.circuit_breaker import HEALTHY, EndpointHealth, read_health
from newswire_notify.webhooks.rendering import Content
from newswire_notify.webhooks.webhook_endpoint import Webhook


class PausedBy(StrEnum):
    """Who paused a subscription: its ``status_reason``. Only the same can resume it."""

    OWNER = ""
    OPERATOR = "operator"
    ACCOUNT = "account_disabled"


PAUSED_BY_OTHERS = {
    PausedBy.OPERATOR.value: "an operator paused it, and only an operator can resume it",
    PausedBy.ACCOUNT.value: "its account is disabled",
}
"""Why its owner cannot resume a subscription."""


class EventKind(StrEnum):
    """Kinds of events that a subscription can receive."""

    PUBLISHED = "published"
    UPDATED = "updated"
    CORRECTED = "corrected"
    RETRACTED = "retracted"


Labels = Annotated[
    dict[
        Annotated[Text, StringConstraints(min_length=1, max_length=50, pattern="^[^:]+$")],
        Annotated[Text, StringConstraints(max_length=200)],
    ],
    Field(max_length=20),
]


class SubscriptionDraft(BaseModel):
    """The members of a subscription that its owner sends and can change."""

    model_config = ConfigDict(extra="forbid")

    channel: Webhook
    filter: FilterInput = Field(default_factory=Filter)
    events: list[EventKind] = list(EventKind)
    content: Content = Content.FULL
    labels: Labels = {}
    """Your own names and values, by which lists can be filtered."""

    @field_validator("events")
    @classmethod
    def _require_retractions(cls, events: list[EventKind]) -> list[EventKind]:
        if EventKind.RETRACTED not in events:
            raise ValueError("must include 'retracted': recipients of an article must learn of its retraction")
        return [wanted for wanted in EventKind if wanted in events]


class NewSubscription(SubscriptionDraft):
    """The body of a request that creates a subscription."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "channel": {"type": "webhook", "url": "https://receiver.example/newswire"},
                    "filter": {"categories": ["Transport"], "query": "ferry -strike"},
                }
            ]
        }
    )

    start: Literal["now"] | Moment = "now"
    """Start time: current versions published since then are delivered too."""


@dataclass(frozen=True, slots=True)
class SubscriptionCriteria:
    """What a subscription matches: its filter and events, narrowed by the entitlement of its account."""

    filter: Filter
    events: Sequence[str]
    entitlement: Filter | None = None

    def digest(self) -> str:
        """Return the digest that equal criteria share, so that they are matched once."""
        canonical = f"{self.filter.canonical()}\n{','.join(sorted(self.events))}"
        if self.entitlement is not None:
            canonical += f"\n{self.entitlement.canonical()}"
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def matches(self, article: ArticlePublished) -> bool:
        """Return whether a version matches, regardless of what was sent before."""
        if article.silent or str(article.kind) not in self.events:
            return False
        features = ArticleFeatures.of(article)
        return self.filter.matches(features) and (self.entitlement is None or self.entitlement.matches(features))


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it is stored."""

    id: str
    account: str
    channel: Webhook
    filter: dict[str, Any]
    events: list[str]
    content: str
    status: str
    created_at: datetime
    secret: str = field(repr=False)
    labels: dict[str, str] = field(default_factory=dict)
    revision: str = "1"
    entitlement: str | None = None
    """Entitlement of its account as JSON; None: everything."""
    former_secrets: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """Secrets that still sign, each with its end (seconds since the epoch)."""
    status_reason: str | None = None
    status_note: str | None = None
    """The note of the operator who paused it."""
    verified_origin: str | None = None
    """The origin from which its URL consented to receive webhooks."""
    health: EndpointHealth = HEALTHY

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> "Subscription":
        """Read a subscription from its record."""
        return cls(
            id=fields[b"id"].decode(),
            account=fields[b"account"].decode(),
            channel=stored_channel(fields),
            filter=orjson.loads(fields[b"filter"]),
            events=fields[b"events"].decode().split(","),
            content=fields[b"content"].decode(),
            status=fields[b"status"].decode(),
            created_at=datetime.fromtimestamp(int(fields[b"created"]) / 1000, UTC),
            secret=fields[b"secret"].decode(),
            labels=orjson.loads(fields.get(b"labels", b"{}")),
            revision=fields.get(b"revision", b"1").decode(),
            entitlement=fields[b"entitlement"].decode() if fields.get(b"entitlement") else None,
            former_secrets=read_former_secrets(fields.get(b"former_secrets", b"[]")),
            status_reason=fields[b"status_reason"].decode() if b"status_reason" in fields else None,
            status_note=fields[b"status_note"].decode() if fields.get(b"status_note") else None,
            verified_origin=fields[b"verified_origin"].decode() if fields.get(b"verified_origin") else None,
            health=read_health(fields, time.time()),
        )

    def criteria(self) -> SubscriptionCriteria:
        """Return its criteria."""
        return SubscriptionCriteria(
            Filter.model_validate(self.filter), tuple(self.events), entitlement_of(self.entitlement)
        )

    def members(self) -> dict[str, Any]:
        """Return the members that its owner sends. Never show them: headers may be secrets."""
        return {
            "channel": self.channel.model_dump(exclude_defaults=True),
            "filter": self.filter,
            "events": self.events,
            "content": self.content,
            "labels": self.labels,
        }

    def public_view(self) -> dict[str, Any]:
        """Return what its owner may see at any time: everything but the secrets."""
        created = self.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        verified = {"verified_origin": self.verified_origin} if self.verified_origin else {}
        return {
            "id": self.id,
            **self.members(),
            "channel": self.channel.public_view() | verified,
            "status": self.status,
            "status_reason": self.status_reason,
            "status_note": self.status_note,
            "endpoint": self.health.public_view(),
            "created_at": created,
        }


def channel_fields(channel: Webhook) -> dict[str, str]:
    """Return a channel as the record fields of its subscription; unset ones are empty."""
    return {
        "url": channel.url,
        "headers": orjson.dumps(channel.headers).decode(),
        "rate": str(channel.rate) if channel.rate else "",
        "concurrency": str(channel.concurrency) if channel.concurrency else "",
        "verify": str(int(channel.verify)),
        "notices": str(int(channel.notices)),
    }


def stored_channel(fields: Mapping[bytes, bytes]) -> Webhook:
    """Read a channel from the record of its subscription, without validation: it passed the rules of the time it was written."""
    return Webhook.model_construct(
        type="webhook",
        url=fields[b"url"].decode(),
        headers=orjson.loads(fields.get(b"headers", b"{}")),
        rate=float(fields[b"rate"]) if fields.get(b"rate") else None,
        concurrency=int(fields[b"concurrency"]) if fields.get(b"concurrency") else None,
        verify=fields.get(b"verify") == b"1",
        notices=fields.get(b"notices") == b"1",
    )


def entitlement_of(stored: str | None) -> Filter | None:
    """Return the stored entitlement of an account as a filter; None: everything."""
    return None if stored is None else read_entitlement(stored)

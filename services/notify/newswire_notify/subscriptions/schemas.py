"""The wire models of subscriptions."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from newswire.filter_input import FilterInput
from newswire.filters import Filter
from newswire.validation.fields import WHOLE
from newswire_notify.subscriptions.models import EventKind
from newswire_notify.webhooks.circuit_breaker import EndpointHealthView
from newswire_notify.webhooks.rendering import Content
from newswire_notify.webhooks.webhook_endpoint import WebhookView


class SubscriptionView(BaseModel):
    """A subscription."""

    id: str
    channel: WebhookView
    filter: Filter
    events: list[EventKind]
    content: Content
    labels: dict[str, str]
    status: str
    """``active``; ``paused`` until it is resumed; or ``disabled`` until it is enabled."""
    status_reason: str | None
    """Why it is disabled: ``gone`` (its endpoint responded with 410) or ``failing`` (every delivery failed for days). Why it is
    paused, where its owner did not pause it: ``operator`` or ``account_disabled``."""
    status_note: str | None = None
    """The note of the operator who paused it."""
    endpoint: EndpointHealthView
    created_at: datetime


class CreatedSubscription(SubscriptionView):
    """A new subscription."""

    secret: str
    """Key for verifying signatures; shown only once."""


class SubscriptionList(BaseModel):
    """Subscriptions of an account, oldest first."""

    subscriptions: list[SubscriptionView]
    next_cursor: str | None


class SubscriptionPreviewRequest(BaseModel):
    """The criteria of a subscription that is to be previewed."""

    model_config = ConfigDict(extra="forbid")

    filter: FilterInput = Field(default_factory=Filter)
    events: list[EventKind] = list(EventKind)
    limit: Annotated[int, Field(ge=1, le=50), WHOLE] = 10


class PreviewedArticle(BaseModel):
    """A version that the subscription would have received."""

    id: str
    version: int
    kind: str
    title: str
    publisher: str
    category: str | None
    topics: list[str]
    language: str
    url: str
    published_at: datetime
    updated_at: datetime


class SubscriptionPreview(BaseModel):
    """The last versions that a subscription would have received, newest first, and how far back the search went."""

    articles: list[PreviewedArticle]
    looked_at: int
    """Number of events examined, newest first."""
    back_to: datetime | None
    """Time of the oldest event examined."""
    whole: bool
    """Whether all events on the stream were examined."""

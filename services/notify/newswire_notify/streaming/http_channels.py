"""The channels of notify without a broker, for the AsyncAPI document: webhooks, the live stream and its input."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from newswire.asyncapi import ArticleEvent, Channel, SubscriptionDisabledEvent
from newswire.events import ENDPOINT_TEST, CloudEvent, EndpointTest
from newswire.keys import Keyspace
from newswire_notify.streaming.event_names import ENDED, TRIMMED


class DeliveredArticleEvent(CloudEvent):
    """An article event as a subscription receives it: with the reason, and with data according to its ``content``."""

    type: Literal["newswire.article.published.v1", "newswire.article.retracted.v1"]
    reason: Literal["matched", "previously_matched"] | None = None


class EndpointTestEvent(CloudEvent):
    """Sent to one endpoint when its owner requests a test."""

    type: Literal["newswire.test.v1"] = ENDPOINT_TEST  # type: ignore[assignment]
    data: EndpointTest  # type: ignore[assignment]


class StreamTrimmed(BaseModel):
    """Data of ``newswire.stream.trimmed``: some of the requested events are no longer kept."""

    resumed_from: str = Field(description="The stream id that the client resumed from.")
    first: str = Field(description="The first stream id that is still kept.")


class StreamEnded(BaseModel):
    """Data of ``newswire.stream.ended``: the server ends the stream."""

    reason: Literal["too_slow", "access_changed", "expired"]
    resume_from: str = Field(description="The stream id to resume from.")


_WEBHOOK_HEADERS: dict[str, Any] = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type"],
    "properties": {
        "webhook-id": {"type": "string", "description": "The same at every attempt: deduplicate by it."},
        "webhook-timestamp": {"type": "string", "pattern": "^[0-9]+$", "description": "Seconds since 1970."},
        "webhook-signature": {"type": "string", "description": "Standard Webhooks: HMAC-SHA256 of id.timestamp.body."},
        "traceparent": {"type": "string", "description": "W3C Trace Context: the publisher's trace."},
        "content-type": {"const": "application/cloudevents+json"},
    },
}
_LIVE_FIELDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The stream id; send it as `Last-Event-ID` to resume after it."},
        "event": {"type": "string", "description": f"The type of the CloudEvent, or `{TRIMMED}` or `{ENDED}`."},
    },
}


def described_channels(keys: Keyspace) -> list[Channel]:
    """Return the channels that notify sends over HTTP, or reads without a consumer group."""
    return [
        Channel(
            "articles_tail",
            "receive",
            keys.stream,
            "Every process of notify reads every article event, for its clients of the live stream.",
            ArticleEvent,
            channel_bindings={"redis": {"channel": keys.stream, "method": "xread", "bindingVersion": "custom"}},
        ),
        Channel(
            "webhooks",
            "send",
            None,
            "The events of a subscription, each in a signed POST to the URL of the subscription.",
            DeliveredArticleEvent | SubscriptionDisabledEvent | EndpointTestEvent,
            headers=_WEBHOOK_HEADERS,
            operation_bindings={"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        ),
        Channel(
            "live_stream",
            "send",
            "/v1/stream",
            "Article events as they happen: server-sent events, whose `id` and `event` are described as headers.",
            ArticleEvent | StreamTrimmed | StreamEnded,
            headers=_LIVE_FIELDS,
            operation_bindings={"http": {"method": "GET", "bindingVersion": "0.3.0"}},
        ),
    ]

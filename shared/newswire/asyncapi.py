"""The AsyncAPI 3 document: FastStream's description of the running brokers, and the channels over HTTP.

The brokers of a service describe the streams that it consumes and publishes to. Channels without a broker (webhooks, the live
stream) are declared as `Channel`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from newswire.events import (
    FANNED_OUT,
    INDEXED,
    MAILED,
    PROGRESSED,
    PUBLISHED,
    RETRACTED,
    STREAMED,
    SUBSCRIPTION_DISABLED,
    ArticleFannedOut,
    ArticleIndexed,
    ArticlePublished,
    ArticleRetracted,
    ArticlesStreamed,
    CloudEvent,
    DeliveriesProgressed,
    MailsProgressed,
    SubscriptionDisabled,
)
from newswire.messaging.messages import Messages

if TYPE_CHECKING:
    from newswire.messaging.broker import EventBroker


class PublishedEvent(CloudEvent):
    """A version of an article was published."""

    type: Literal["newswire.article.published.v1"] = PUBLISHED  # type: ignore[assignment]
    data: ArticlePublished  # type: ignore[assignment]


class RetractedEvent(CloudEvent):
    """An article was withdrawn."""

    type: Literal["newswire.article.retracted.v1"] = RETRACTED  # type: ignore[assignment]
    data: ArticleRetracted  # type: ignore[assignment]


class IndexedEvent(CloudEvent):
    """A version can be found by search, or a retracted one no longer."""

    type: Literal["newswire.article.indexed.v1"] = INDEXED  # type: ignore[assignment]
    data: ArticleIndexed  # type: ignore[assignment]


class FannedOutEvent(CloudEvent):
    """The deliveries of an event were enqueued."""

    type: Literal["newswire.article.fanned_out.v1"] = FANNED_OUT  # type: ignore[assignment]
    data: ArticleFannedOut  # type: ignore[assignment]


class ProgressedEvent(CloudEvent):
    """The number of deliveries of an event that have ended so far."""

    type: Literal["newswire.deliveries.progressed.v1"] = PROGRESSED  # type: ignore[assignment]
    data: DeliveriesProgressed  # type: ignore[assignment]


class MailedEvent(CloudEvent):
    """The mails about a version, as far as they came."""

    type: Literal["newswire.mails.progressed.v1"] = MAILED  # type: ignore[assignment]
    data: MailsProgressed  # type: ignore[assignment]


class StreamedEvent(CloudEvent):
    """The clients of the live stream that received events."""

    type: Literal["newswire.articles.streamed.v1"] = STREAMED  # type: ignore[assignment]
    data: ArticlesStreamed  # type: ignore[assignment]


class SubscriptionDisabledEvent(CloudEvent):
    """A subscription was disabled. Also delivered to the endpoints of its account that have subscribed to notices."""

    type: Literal["newswire.subscription.disabled.v1"] = SUBSCRIPTION_DISABLED  # type: ignore[assignment]
    data: SubscriptionDisabled  # type: ignore[assignment]


ArticleEvent = PublishedEvent | RetractedEvent
OutcomeEvent = IndexedEvent | FannedOutEvent | ProgressedEvent | MailedEvent | StreamedEvent | SubscriptionDisabledEvent


@dataclass(frozen=True, slots=True)
class EntrySchema:
    """Annotates a handler's parameter with the schema of one stream entry, for the AsyncAPI document."""

    event: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the event, for the document only: the broker's parser has validated the data."""
        return core_schema.json_or_python_schema(
            json_schema=handler.generate_schema(self.event), python_schema=core_schema.any_schema()
        )


ArticleBatch = Annotated[Messages, EntrySchema(ArticleEvent)]
OutcomeBatch = Annotated[Messages, EntrySchema(OutcomeEvent)]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel without a broker: clients use it over HTTP, or read it without a consumer group."""

    name: str
    action: Literal["send", "receive"]
    address: str | None
    """The path or the stream; None if the receiver chooses it."""
    description: str
    event: Any
    """The model, or union of models, that one message carries."""
    headers: dict[str, Any] | None = None
    """JSON Schema of the message's headers."""
    operation_bindings: dict[str, Any] = field(default_factory=dict)
    channel_bindings: dict[str, Any] = field(default_factory=dict)


def document(brokers: "Sequence[EventBroker]", channels: Sequence[Channel] = ()) -> bytes:
    """Return the AsyncAPI document of brokers and channels as JSON. The first call is slow: make it in a thread."""
    # The import takes a third of the start-up time of a service, for a document that is rarely requested.
    from faststream.specification import AsyncAPI

    specification = AsyncAPI(
        *brokers,
        title="Newswire",
        version="1",
        description="CloudEvents 1.0 as JSON: in the field `__data__` of Redis stream entries, as bodies of webhooks, and"
        " as data of server-sent events.",
    ).to_specification()
    made: dict[str, Any] = orjson.loads(specification.to_json())
    for described in made["channels"].values():
        described["bindings"]["redis"].pop("consumerName", None)  # it contains the names of this process and its host
    for channel in channels:
        _add(made, channel)
    return orjson.dumps(made)


def _add(made: dict[str, Any], channel: Channel) -> None:
    name = channel.name
    payload = TypeAdapter(channel.event).json_schema(ref_template="#/components/schemas/{model}")
    schemas = made["components"].setdefault("schemas", {})
    schemas.update({model: schema for model, schema in payload.pop("$defs", {}).items() if model not in schemas})
    schemas[f"{name}:Message:Payload"] = payload
    message = {"title": f"{name}:Message", "payload": {"$ref": f"#/components/schemas/{name}:Message:Payload"}}
    if channel.headers:
        message["headers"] = channel.headers
    made["components"].setdefault("messages", {})[f"{name}:Message"] = message
    made["channels"][name] = {
        "address": channel.address,
        "description": channel.description,
        "messages": {"Message": {"$ref": f"#/components/messages/{name}:Message"}},
        "bindings": channel.channel_bindings,
    }
    made["operations"][name] = {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/Message"}],
        "bindings": channel.operation_bindings,
    }

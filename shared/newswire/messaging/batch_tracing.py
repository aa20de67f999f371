"""Spans of the events that are handled: each belongs to the trace of the request that caused it.

One event is handled in the trace of its request. Several are handled together, in a trace of their own with links to theirs; and
each has a span of its own in its trace, with a link to the common one. FastStream's telemetry is not used: see ADR 32.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind

from newswire.messaging.group_member import GroupMember
from newswire.messaging.messages import Message
from newswire.observability import tracing

MAX_LINKS = 128
"""Links that the SDK keeps of one span."""


def handling(member: GroupMember, messages: Sequence[Message]) -> AbstractContextManager[None]:
    """Record that a consumer handles messages; nothing where no request of theirs is recorded."""
    if not tracing.is_set_up():
        return nullcontext()
    causes = [
        (message, context) for message in messages if (context := tracing.sampled_context(message.event.traceparent))
    ]
    if not causes:
        return nullcontext()
    return _one(member, *causes[0]) if len(messages) == 1 else _several(member, len(messages), causes)


@contextmanager
def _one(member: GroupMember, message: Message, cause: SpanContext) -> Iterator[None]:
    with tracing.span(_name(member), SpanKind.CONSUMER, _attributes(member, message), tracing.inside(cause)):
        yield


@contextmanager
def _several(member: GroupMember, count: int, causes: Sequence[tuple[Message, SpanContext]]) -> Iterator[None]:
    attributes = _attributes(member) | {"messaging.batch.message_count": count}
    links = [cause for _, cause in causes[:MAX_LINKS]]
    with tracing.span(_name(member), SpanKind.CONSUMER, attributes, Context(), *links) as common:
        to_common = [common.get_span_context()] if common.is_recording() else []
        parts: list[Span] = [
            tracing.start(
                _name(member), SpanKind.CONSUMER, _attributes(member, message), tracing.inside(cause), *to_common
            )
            for message, cause in causes
        ]
        try:
            yield
        except Exception as error:
            for part in parts:
                tracing.failed(part, type(error).__name__)
            raise
        finally:
            for part in parts:
                part.end()


def _name(member: GroupMember) -> str:
    return f"process {member.stream}"


def _attributes(member: GroupMember, message: Message | None = None) -> dict[str, str | int]:
    attributes: dict[str, str | int] = tracing.messaging_attributes("process", member.stream) | {
        "messaging.consumer.group.name": member.group.name
    }
    if message is not None:
        attributes |= {
            "messaging.message.id": message.entry_id,
            "cloudevents.event_id": message.event.id,
            "cloudevents.event_type": message.event.type,
        }
    return attributes

"""The span of an attempt to deliver a webhook, in the trace of the request that caused its event."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanContext, SpanKind

from newswire.observability import tracing
from newswire_notify.deliveries.models import Attempt, ClaimedDelivery


class AttemptSpan:
    """What is recorded of an attempt. Its endpoint is named by host and port: the rest of a URL may contain secrets."""

    def __init__(self, recorded: Span, traceparent: str | None) -> None:
        self._recorded = recorded
        self.traceparent = tracing.header_of(recorded, traceparent)
        """The header for the endpoint: it names this attempt if the attempt is recorded, else what caused the event."""

    def note(self, attempt: Attempt) -> None:
        """Record the result."""
        if attempt.status is not None:
            self._recorded.set_attribute("http.response.status_code", attempt.status)
        if attempt.error is not None:
            stage = str(attempt.status) if attempt.status is not None else attempt.error.partition(":")[0]
            tracing.failed(self._recorded, stage)


@contextmanager
def attempt_span(delivery: ClaimedDelivery, cause: SpanContext, traceparent: str | None) -> Iterator[AttemptSpan]:
    """Record an attempt. ``cause``: the recorded request that caused its event, which ``traceparent`` names."""
    with tracing.span("POST", SpanKind.CLIENT, _attributes(delivery), tracing.inside(cause)) as recorded:
        yield AttemptSpan(recorded, traceparent)


def _attributes(delivery: ClaimedDelivery) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "cloudevents.event_id": delivery.event,
        "cloudevents.event_type": delivery.type,
        "newswire.delivery.id": delivery.id,
        "newswire.subscription.id": delivery.endpoint.subscription,
    }
    if delivery.attempt > 1:
        attributes["http.request.resend_count"] = delivery.attempt - 1
    try:
        url = urlsplit(delivery.endpoint.url)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:  # the attempt fails for the same reason
        return attributes
    return attributes | {"url.scheme": url.scheme, "server.address": url.hostname or "", "server.port": port}

"""W3C Trace Context and spans: every event continues the trace of the request that caused it.

Where spans are recorded (`set_up`, or an OpenTelemetry SDK that the operator has set up), each request is a span and its events
name that span. Otherwise nothing is recorded, and the trace of the caller is continued all the same.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from types import TracebackType
from typing import Protocol

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

log = logging.getLogger(__name__)

Attributes = Mapping[str, str | int]

PROTOCOL = "http/protobuf"
_TRACEPARENT = re.compile(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")
_tracer = trace.get_tracer("newswire", schema_url="https://opentelemetry.io/schemas/1.44.0")
_NO_PROVIDERS = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
_NOTHING = nullcontext(trace.INVALID_SPAN)


class RequestSampler(Protocol):
    """Decides which requests are recorded."""

    def chooses(self, trace_id: int | None) -> bool:
        """Return whether a request is recorded; ``trace_id``: the trace that its caller has begun."""


_request_sampler: RequestSampler | None = None


def is_set_up() -> bool:
    """Return whether spans are recorded: the process has a tracer provider, of `set_up` or from ``opentelemetry-instrument``."""
    return not isinstance(trace.get_tracer_provider(), _NO_PROVIDERS)


def set_up(service: str) -> None:
    """Send spans to the OTLP receiver that the variables ``OTEL_…`` name; without them, nothing is imported.

    ``service``: the service name, unless ``OTEL_SERVICE_NAME`` is set. What cannot be set up is logged: a service must not stay
    down because of its telemetry.
    """
    if is_set_up() or not _export_wanted():
        return
    if (protocol := _variable("PROTOCOL")) not in ("", PROTOCOL):
        log.error("no spans are sent: OTLP by this protocol is not supported", extra={"set": protocol, "use": PROTOCOL})
        return
    if mistake := _mistake():
        log.error("no spans are sent: a variable of OpenTelemetry has to be corrected", extra={"reason": mistake})
        return
    global _request_sampler
    try:
        from newswire.observability.span_export import start_exporting

        _request_sampler = start_exporting(service)
    except ImportError as error:
        log.error("no spans are sent: install newswire[otel]", extra={"reason": str(error)})
    except Exception as error:  # noqa: BLE001 (of any kind: the SDK reads some variables when it is imported)
        log.error("no spans are sent: the variables OTEL_… cannot be used", extra={"reason": str(error)})


def is_chosen(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request is recorded, before anything is done for its span: most are not, and must cost nothing."""
    if _request_sampler is None:
        return True
    header = next((value for name, value in headers if name == b"traceparent"), None)
    parts = _parts(header.decode("latin-1")) if header else None
    return _request_sampler.chooses(int(parts[0], 16) if parts else None)


def is_recording() -> bool:
    """Return whether the current request or event is recorded."""
    return bool(context.get_current()) and trace.get_current_span().is_recording()


def traceparent(header: str | None) -> str:
    """Return the trace context of an event (W3C Trace Context, level 1).

    It is the span of the current request where spans are recorded, else the caller's trace with a span id of our own, else a new
    trace. ``header`` is the caller's ``traceparent``; an invalid one is ignored. A trace that would have no first span because
    nothing is recorded of what caused the event is not recorded further on either.
    """
    if context.get_current():  # without a span, nothing is in it
        current = trace.get_current_span().get_span_context()
        if current.is_valid:
            return _header(current)
    if header and (parts := _parts(header)):
        trace_id, _, flags = parts
        return f"00-{trace_id}-{os.urandom(8).hex()}-{0 if is_set_up() else flags & 1:02x}"
    ids = os.urandom(24).hex()
    return f"00-{ids[:32]}-{ids[32:]}-{'00' if is_set_up() else '01'}"


def current_ids() -> tuple[str, str] | None:
    """Return the ids of the current trace and span; None if there is no span."""
    current = trace.get_current_span().get_span_context()
    return (f"{current.trace_id:032x}", f"{current.span_id:016x}") if current.is_valid else None


def trace_id_of(header: str | None) -> str | None:
    """Return the id of the trace that a ``traceparent`` names; None if it is missing or invalid."""
    parts = _parts(header) if header else None
    return parts[0] if parts else None


def sampled_context(header: str | None) -> SpanContext | None:
    """Return the span that a ``traceparent`` names, if it is recorded somewhere; None without recording in this process."""
    if header is None or header.endswith("-00") or not is_set_up():
        return None
    parts = _parts(header)
    if parts is None or not parts[2] & TraceFlags.SAMPLED:
        return None
    trace_id, span, flags = parts
    return SpanContext(int(trace_id, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(flags & 1))


def inside(parent: SpanContext) -> Context:
    """Return the context of what a span of another process has caused."""
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def start(name: str, kind: SpanKind, attributes: Attributes, parent: Context, *links: SpanContext) -> Span:
    """Start a span that the caller ends."""
    return _tracer.start_span(name, parent, kind, attributes, [Link(each) for each in links])


def span(
    name: str, kind: SpanKind, attributes: Attributes, parent: Context | None = None, *links: SpanContext
) -> AbstractContextManager[Span]:
    """Record what happens inside, as part of the current request or event, or of ``parent``; nothing if none is recorded.

    An error is recorded by its type: its message may quote an article, or an address with a password. Where attributes take
    effort, ask `is_recording` first.
    """
    if not (is_recording() if parent is None else is_set_up()):
        return _NOTHING
    return _Recorded(_tracer.start_span(name, parent, kind, attributes, [Link(each) for each in links]))


def messaging_attributes(operation: str, stream: str) -> dict[str, str | int]:
    """Return the attributes of a span that sends or processes events, by the semantic conventions of messaging."""
    return {
        "messaging.system": "redis",
        "messaging.destination.name": stream,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }


def failed(current: Span, error_type: str) -> None:
    """Record that the work of a span failed."""
    current.set_attribute("error.type", error_type)
    current.set_status(StatusCode.ERROR)


def header_of(current: Span, otherwise: str | None) -> str | None:
    """Return the ``traceparent`` that names a span; ``otherwise`` if it is not recorded."""
    return _header(current.get_span_context()) if current.is_recording() else otherwise


class _Recorded:
    """Makes a span the current one, and ends it. Does what `start_as_current_span` does with three generators."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token: Token[Context]

    def __enter__(self) -> Span:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        context.detach(self._token)
        if kind is not None and issubclass(kind, Exception):
            failed(self._span, kind.__name__)
        self._span.end()


def _export_wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter in ("", "otlp"):
        return exporter == "otlp" or bool(_variable("ENDPOINT"))
    if exporter != "none":
        log.error("no spans are sent: OTEL_TRACES_EXPORTER accepts otlp or none", extra={"set": exporter})
    return False


def _variable(name: str) -> str:
    """Return a variable of the OTLP exporter: that of traces, else that of all signals."""
    specific = os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}")
    return (specific or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") or "").strip()


def _mistake() -> str | None:
    """Return what is wrong with the variables of the exporter, which itself would only log that each batch was lost."""
    endpoint = _variable("ENDPOINT")
    if endpoint and not re.match(r"https?://[^/?#]", endpoint):
        return "OTEL_EXPORTER_OTLP_ENDPOINT begins with http:// or https://, and a host"
    for name in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"):
        if (path := _variable(name)) and not os.access(path, os.R_OK):
            return f"OTEL_EXPORTER_OTLP_{name}: the file {path} cannot be read"
    return None


def _parts(header: str) -> tuple[str, str, int] | None:
    """Return trace, span and flags; None if the header is invalid."""
    if not (match := _TRACEPARENT.match(header.strip())):
        return None
    version, trace_id, span_id, flags, more = match.groups()
    is_valid = version != "ff" and trace_id.strip("0") and span_id.strip("0") and not (version == "00" and more)
    return (trace_id, span_id, int(flags, 16)) if is_valid else None


def _header(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"

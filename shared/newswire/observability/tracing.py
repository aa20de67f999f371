"""W3C Trace Context: every event continues the trace of the request that caused it.

Where the operator sets up an OpenTelemetry SDK, each request is a span and its events name that span. Without one nothing is
recorded, and the trace of the caller is continued all the same.
"""

import re
import secrets

from opentelemetry import trace

_TRACEPARENT = re.compile(r"^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")


def is_set_up() -> bool:
    """Return whether spans are recorded: the process has a tracer provider, for example from ``opentelemetry-instrument``."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)


def traceparent(header: str | None) -> str:
    """Return the trace context of an event (W3C Trace Context, level 1).

    It is the span of the current request where spans are recorded, else the caller's trace with a span id of our own, else a new
    trace. ``header`` is the caller's ``traceparent``; an invalid one is ignored.
    """
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags & 1:02x}"
    span = secrets.token_hex(8)
    if header and (match := _TRACEPARENT.match(header.strip())):
        version, trace_id, parent, flags, more = match.groups()
        is_valid = version != "ff" and trace_id.strip("0") and parent.strip("0") and not (version == "00" and more)
        if is_valid:
            return f"00-{trace_id}-{span}-{int(flags, 16) & 1:02x}"
    return f"00-{secrets.token_hex(16)}-{span}-01"

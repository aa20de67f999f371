"""Sends spans to an OTLP receiver by the OpenTelemetry SDK, as the variables ``OTEL_…`` say. Part of ``newswire[otel]``."""

import atexit
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

EXIT_SECONDS = 3.0
"""How long the exit of a process may wait for the receiver. The SDK itself waits up to 30 s for one that hangs."""
_BEGINNINGS = (SpanKind.SERVER, SpanKind.CONSUMER)
_chosen: ContextVar[int] = ContextVar("chosen", default=trace.INVALID_TRACE_ID)
"""The trace id by which the current request was chosen, until its span begins."""


class ChosenIds(RandomIdGenerator):
    """Random ids; the trace of a request that was chosen has the id by which it was."""

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        if (chosen := _chosen.get()) == trace.INVALID_TRACE_ID:
            return super().generate_trace_id()
        _chosen.set(trace.INVALID_TRACE_ID)
        return chosen


class EntryPointSampler(Sampler):
    """Applies another sampler where a trace enters Newswire. That sampler must decide by the trace id alone, as those do that
    ``OTEL_TRACES_SAMPLER`` can name.

    The caller of an API does not decide what is recorded: a flag in its ``traceparent`` would otherwise defeat the ratio that
    the operator has chosen. Its trace is continued all the same.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.inner = sampler
        self._ids = RandomIdGenerator()

    def chooses(self, trace_id: int | None) -> bool:
        """Return whether a request is recorded, in a trace that its caller has begun or in a new one."""
        asked = self._ids.generate_trace_id() if trace_id is None else trace_id
        if self.inner.should_sample(Context(), asked, "").decision is Decision.DROP:
            return False
        if trace_id is None:
            _chosen.set(asked)
        return True

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return whether a span is recorded: one inside a recorded span of this process is, without asking again."""
        parent = trace.get_current_span(parent_context).get_span_context()
        if parent.trace_flags.sampled and not parent.is_remote:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, parent.trace_state)
        if kind is SpanKind.SERVER and parent.is_remote:
            parent_context = Context()
        return self.inner.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Return its name with that of the other sampler."""
        return f"EntryPointSampler({self.inner.get_description()})"


class ConstantResource(Resource):
    """What all spans of a process say about it. The exporter looks it up for each span, and a `Resource` makes JSON of itself for
    that.
    """

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class EntryPointTracer(trace.Tracer):
    """Starts spans by another tracer, but none outside a recorded request or event.

    Consumers and loops ask Redis and Elasticsearch many times a second for nothing: such calls would be most of the traces. And
    what belongs to a request that is not recorded would cost a third of a span to find that out.
    """

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start_span(
        self, name: str, context: Context | None = None, kind: SpanKind = SpanKind.INTERNAL, *more: Any, **options: Any
    ) -> trace.Span:
        """Start a span."""
        if kind not in _BEGINNINGS and not trace.get_current_span(context).get_span_context().trace_flags.sampled:
            return trace.INVALID_SPAN
        return self._tracer.start_span(name, context, kind, *more, **options)

    @contextmanager
    def start_as_current_span(  # type: ignore[override] # the decorator of the API is private
        self, name: str, *more: Any, **options: Any
    ) -> Iterator[trace.Span]:
        """Start a span, and make it the current one."""
        span = self.start_span(name, *more, **options)
        if not span.is_recording():
            yield span
            return
        with trace.use_span(span, end_on_exit=True) as current:
            yield current


class EntryPointProvider(TracerProvider):
    """Provides tracers that record requests and events, as the operator's sampler chooses, and what belongs to them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(id_generator=ChosenIds(), **options)
        self.sampler = self.requests = EntryPointSampler(self.sampler)

    def get_tracer(self, *name: Any, **options: Any) -> trace.Tracer:
        """Return a tracer."""
        return EntryPointTracer(super().get_tracer(*name, **options))


def start_exporting(service: str) -> EntryPointSampler:
    """Record the spans of this process, and send them in batches from a thread; the rest is sent at the exit, if it can be.

    Return what decides about requests.
    """
    known = {
        SERVICE_NAME: service,
        SERVICE_VERSION: version("newswire"),
        SERVICE_INSTANCE_ID: str(uuid.uuid4()),
    }
    resource = ConstantResource(Resource.create(known).merge(OTELResourceDetector().detect()))
    provider = EntryPointProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _send_rest_at_exit(provider)
    return provider.requests


def _send_rest_at_exit(provider: TracerProvider) -> None:
    """Send the last spans at the exit of the process, for `EXIT_SECONDS` at most.

    The thread is started now: at the exit, Python starts none.
    """
    leaving = threading.Event()

    def finish() -> None:
        leaving.wait()
        provider.shutdown()

    finishing = threading.Thread(target=finish, name="last spans", daemon=True)
    finishing.start()

    def wait() -> None:
        leaving.set()
        finishing.join(EXIT_SECONDS)

    atexit.register(wait)

"""Sends spans to an OTLP receiver by the OpenTelemetry SDK, as the variables ``OTEL_…`` say. Part of ``newswire[otel]``."""

import uuid
from collections.abc import Sequence
from importlib.metadata import version

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
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

_BEGINNINGS = (SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.PRODUCER)


class EntryPointSampler(Sampler):
    """Applies another sampler where a trace enters Newswire, and drops what is part of no request and no event.

    Consumers and loops ask Redis and Elasticsearch many times a second for nothing: such calls would be most of the traces. And
    the caller of an API does not decide what is recorded: a flag in its ``traceparent`` would otherwise defeat the ratio that
    the operator has chosen. Its trace is continued all the same.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

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
        """Return whether a span is recorded."""
        parent = trace.get_current_span(parent_context).get_span_context()
        if not parent.is_valid and kind not in _BEGINNINGS:
            return SamplingResult(Decision.DROP)
        if kind is SpanKind.SERVER and parent.is_remote:
            parent_context = Context()
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Return its name with that of the other sampler."""
        return f"EntryPointSampler({self._sampler.get_description()})"


def start_exporting(service: str) -> None:
    """Record the spans of this process, and send them in batches from a thread; the rest is sent at the exit."""
    known = {
        SERVICE_NAME: service,
        SERVICE_VERSION: version("newswire"),
        SERVICE_INSTANCE_ID: str(uuid.uuid4()),
    }
    provider = TracerProvider(resource=Resource.create(known).merge(OTELResourceDetector().detect()))
    provider.sampler = EntryPointSampler(provider.sampler)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

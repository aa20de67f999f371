"""Fixtures for the tests of shared code."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from newswire.observability.span_export import EntryPointSampler


@pytest.fixture(scope="session")
def _recording() -> tuple[TracerProvider, InMemorySpanExporter]:
    """A provider for all tests: tracers keep the first one that they find."""
    kept, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.sampler = EntryPointSampler(provider.sampler)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return provider, kept


@pytest.fixture
def recorded_spans(
    _recording: tuple[TracerProvider, InMemorySpanExporter], monkeypatch: pytest.MonkeyPatch
) -> InMemorySpanExporter:
    """Record the spans of this process during the test."""
    provider, kept = _recording
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)  # there is no public way to take a provider back
    kept.clear()
    return kept

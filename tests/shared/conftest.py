"""Fixtures for the tests of shared code."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from newswire.observability.span_export import EntryPointProvider


@pytest.fixture(scope="session")
def _recording() -> tuple[EntryPointProvider, InMemorySpanExporter]:
    """A provider for all tests: tracers keep the first one that they find."""
    kept, provider = InMemorySpanExporter(), EntryPointProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return provider, kept


@pytest.fixture
def recorded_spans(
    _recording: tuple[EntryPointProvider, InMemorySpanExporter], monkeypatch: pytest.MonkeyPatch
) -> InMemorySpanExporter:
    """Record the spans of this process during the test."""
    provider, kept = _recording
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)  # there is no public way to take a provider back
    kept.clear()
    return kept

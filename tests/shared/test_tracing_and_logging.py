"""Traces are continued, and log lines contain no secret."""

import io
import json
import logging
import subprocess
import sys

import pytest

from newswire.observability import json_logging, tracing

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_valid_trace_continues_in_a_new_span() -> None:
    version, trace, span, flags = tracing.traceparent(f"00-{TRACE}-{SPAN}-00").split("-")
    assert (version, trace, flags) == ("00", TRACE, "00")
    assert span != SPAN
    assert tracing.traceparent(f"cc-{TRACE}-{SPAN}-01-later").split("-")[1] == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
    ],
)
def test_an_invalid_header_starts_a_new_trace(header: str | None) -> None:
    made = tracing.traceparent(header)
    assert made.split("-")[1] != TRACE
    assert tracing.traceparent(made).split("-")[1] == made.split("-")[1]


_TRACED = """
import asyncio, json, sys
import httpx
from fastapi import APIRouter, Request
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)

from newswire.http.application import Service, create_app
from newswire.observability import tracing
from newswire.settings import Settings

routes = APIRouter()

@routes.post("/events")
async def publish(request: Request) -> str:
    return tracing.traceparent(request.headers.get("traceparent"))

async def main() -> None:
    transport = httpx.ASGITransport(create_app([Service("example", [routes])], Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://example") as client:
        event = (await client.post("/events", headers={"traceparent": sys.argv[1]})).json()
        await client.get("/healthz")
    print(json.dumps({"event": event, "spans": [[s.name, f"{s.context.span_id:016x}"] for s in spans.get_finished_spans()]}))

asyncio.run(main())
"""


def test_an_event_names_the_span_of_its_request_where_spans_are_recorded() -> None:
    sent = f"00-{TRACE}-{SPAN}-01"
    run = subprocess.run([sys.executable, "-c", _TRACED, sent], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    [(name, span)] = found["spans"]
    assert name == "POST /events"
    assert found["event"] == f"00-{TRACE}-{span}-01"


def test_no_spans_are_recorded_without_a_provider() -> None:
    assert not tracing.is_set_up()


def test_log_lines_are_json_without_secrets() -> None:
    out = io.StringIO()
    record = logging.makeLogRecord(
        {
            "name": "a",
            "levelname": "INFO",
            "msg": "key nw_0123456789ab_%s and Bearer xyz.123",
            "args": ("s3cr3t" * 6,),
            "url": "redis://user:hunter2@cache:6379/0",
            "secret": "whsec_c2VjcmV0LWJ5dGVz",
            "address": "/v1/stream?token=nwt_q83vEjRWeJA-_t0k3n&q=a",
            "odd": "\ud800",
        }
    )
    out.write(json_logging.JsonLines().format(record))
    line = json.loads(out.getvalue())
    assert line["level"] == "info"
    for secret in ("s3cr3t", "xyz.123", "hunter2", "c2VjcmV0", "q83vEjRWeJA", "t0k3n"):
        assert secret not in out.getvalue()
    assert line["url"] == "redis://[redacted]@cache:6379/0"
    assert line["message"].startswith("key nw_0123456789ab_[redacted]")

"""Traces are continued, and log lines contain no secret."""

import io
import json
import logging
import subprocess
import sys

import httpx
import pytest
from fastapi import APIRouter, Request, Response
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from newswire.http.application import Service, create_app
from newswire.observability import json_logging, tracing
from newswire.observability.repeated_lines import RepeatedLines
from newswire.observability.span_export import ConstantResource, EntryPointProvider, EntryPointSampler
from newswire.settings import Settings
from newswire.storage.redis_client import open_redis

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


def request(span: trace.Tracer, flags: str) -> None:
    """Record a request of a caller that sends this flag."""
    parent = trace.SpanContext(int(TRACE, 16), int(SPAN, 16), True, trace.TraceFlags(int(flags, 16)))
    with span.start_as_current_span("GET /", tracing.inside(parent), trace.SpanKind.SERVER):
        pass


def test_the_operator_decides_what_is_recorded_and_not_the_caller() -> None:
    for ratio, flags, count in [(1.0, "00", 1), (1.0, "01", 1), (0.0, "01", 0)]:
        kept, provider = InMemorySpanExporter(), EntryPointProvider(sampler=ParentBasedTraceIdRatio(ratio))
        provider.add_span_processor(SimpleSpanProcessor(kept))
        request(provider.get_tracer("test"), flags)
        assert len(kept.get_finished_spans()) == count, (ratio, flags)


def test_what_belongs_to_a_recorded_request_of_this_process_is_recorded_without_asking_again() -> None:
    kept, provider = InMemorySpanExporter(), EntryPointProvider(sampler=ParentBasedTraceIdRatio(1.0))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("GET /", Context(), trace.SpanKind.SERVER):
        provider.requests.inner = ParentBasedTraceIdRatio(0.0)
        tracer.start_span("GET", kind=trace.SpanKind.CLIENT, attributes={"db.system.name": "redis"}).end()
    request(tracer, "01")
    part, whole = kept.get_finished_spans()
    assert (part.parent, part.attributes) == (whole.context, {"db.system.name": "redis"})


def test_what_spans_say_about_their_process_is_the_same_as_without_its_kept_hash() -> None:
    plain = Resource({"service.name": "example"}, "https://opentelemetry.io/schemas/1.44.0")
    assert ConstantResource(plain) == plain
    assert hash(ConstantResource(plain)) == hash(plain)


def test_calls_that_belong_to_no_request_are_not_recorded(recorded_spans: InMemorySpanExporter) -> None:
    with tracing.span("PING", trace.SpanKind.CLIENT, {}), tracing.span("part of it", trace.SpanKind.CLIENT, {}):
        assert tracing.traceparent(None).endswith("-00")
    with trace.get_tracer("a library").start_as_current_span("PING") as idle:
        assert not idle.get_span_context().is_valid
    assert recorded_spans.get_finished_spans() == ()


async def traced_events(ratio: float, monkeypatch: pytest.MonkeyPatch, *sent: str | None) -> list[str]:
    """Return the `traceparent` of the event of each request, which a caller sends with its own."""
    provider = trace.get_tracer_provider()
    assert isinstance(provider, EntryPointProvider)
    monkeypatch.setattr(provider.requests, "inner", ParentBasedTraceIdRatio(ratio))
    monkeypatch.setattr(tracing, "_request_sampler", provider.requests)
    routes = APIRouter()

    @routes.post("/events")
    async def publish(request: Request) -> str:
        with tracing.span("send", trace.SpanKind.PRODUCER, {}), trace.get_tracer("x").start_as_current_span("search"):
            return tracing.traceparent(request.headers.get("traceparent"))

    app = create_app([Service("example", [routes])], Settings())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://example") as client:
        headers = [{"traceparent": each} if each else {} for each in sent]
        return [(await client.post("/events", headers=each)).json() for each in headers]


async def test_nothing_is_done_for_a_request_that_is_not_recorded(
    recorded_spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(EntryPointSampler, "should_sample", lambda *asked, **_: started.append(asked))
    continued, new = await traced_events(0.0, monkeypatch, f"00-{TRACE}-{SPAN}-01", None)
    assert (continued[:35], continued[-2:], new[-2:]) == (f"00-{TRACE}", "00", "00")
    assert new[3:35] not in (TRACE, "0" * 32)
    assert started == []


async def test_a_request_is_chosen_by_the_id_of_its_trace(
    recorded_spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = f"00-{'8' * 16}{'0' * 15}1-{SPAN}-00", f"00-{'8' * 16}{'f' * 16}-{SPAN}-01"
    sent = [None] * 200
    events = await traced_events(0.3, monkeypatch, low, high, "00-nonsense", *sent)
    assert [each[-2:] for each in events[:2]] == ["01", "00"]
    servers = [each for each in recorded_spans.get_finished_spans() if each.kind is trace.SpanKind.SERVER]
    named = {f"{each.context.trace_id:032x}" for each in servers}
    assert named == {each[3:35] for each in events if each.endswith("-01")}
    assert all(each.context.trace_id & (2**64 - 1) < 0.3 * 2**64 for each in servers)
    assert len(servers) == len(named)
    assert 30 < len(servers) < 95  # of 203, with 0.3: outside in one run of 100,000


def test_an_error_is_recorded_by_its_type(recorded_spans: InMemorySpanExporter) -> None:
    with pytest.raises(OSError), tracing.span("process", trace.SpanKind.CONSUMER, {}, Context()):
        raise ConnectionRefusedError("redis://user:hunter2@cache")
    [span] = recorded_spans.get_finished_spans()
    assert (span.attributes, span.events) == ({"error.type": "ConnectionRefusedError"}, ())


async def test_round_trips_are_spans_of_their_request_and_name_no_key(
    redis_url: str, recorded_spans: InMemorySpanExporter
) -> None:
    async with open_redis(redis_url) as redis:
        await redis.ping()
        with tracing.span("GET /", trace.SpanKind.SERVER, {}, Context()):
            await redis.get("secret key")
            async with redis.pipeline(transaction=False) as pipe:
                await pipe.get("a").get("b").execute()
    one, several, _ = recorded_spans.get_finished_spans()
    assert [one.name, several.name] == ["GET", "PIPELINE"]
    assert (several.attributes or {})["db.operation.batch.size"] == 2
    assert "secret" not in one.to_json()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "not supported"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "accepts otlp or none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER": "parentbased_always_on"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({}, ""),
    ],
)
def test_the_sdk_is_imported_only_if_spans_are_sent(environment: dict[str, str], said: str) -> None:
    code = (
        "import sys; from newswire.observability import tracing; tracing.set_up('newswire-test');"
        "print(tracing.is_set_up(), 'opentelemetry.sdk.trace' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    wanted = "OTEL_TRACES_SAMPLER" in environment
    assert run.stdout.split() == [str(wanted)] * 2
    assert said in run.stderr


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


def test_identical_failures_are_counted_instead_of_written() -> None:
    out, now = io.StringIO(), [0.0]
    handler = logging.StreamHandler(out)
    handler.setFormatter(json_logging.JsonLines())
    handler.addFilter(RepeatedLines(handler, lambda: now[0]))
    logger = logging.Logger("a")
    logger.addHandler(handler)
    for _ in range(10):
        logger.warning("redis is down", extra={"reason": "refused"})
        logger.info("delivery failed", extra={"delivery": "one"})
    logger.warning("redis is down", extra={"reason": "other"})
    now[0] = 61.0
    logger.info("redis is up")

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    said = [line["message"] for line in lines]
    assert (said.count("redis is down"), said.count("delivery failed")) == (3 + 1 + 1, 10)
    assert [(line["reason"], line["repeated"]) for line in lines if "repeated" in line] == [("refused", 7)]
    assert said[-2:] == ["redis is down", "redis is up"]


@pytest.mark.parametrize("text", ["loud", "a b=info", "newswire=", "=info=x"])
def test_a_level_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is none of debug, info"):
        Settings(log_level=text)


def test_levels_apply_to_all_loggers_and_to_named_ones() -> None:
    assert json_logging.parse_levels("warning, newswire_notify.webhooks=Debug") == {
        "": "WARNING",
        "newswire_notify.webhooks": "DEBUG",
    }


async def test_log_lines_name_the_request_and_its_trace() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(json_logging.JsonLines())
    log = logging.Logger("a")
    log.addHandler(handler)
    routes = APIRouter()

    @routes.get("/logged")
    async def logged(request: Request) -> Response:
        log.info("here")
        return Response(status_code=int(request.query_params.get("status", "200")))

    app = create_app([Service("example", [routes])], Settings())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://example") as client:
        plain = await client.get("/logged")
        given = await client.get("/logged", headers={"X-Request-Id": "abc-1", "traceparent": f"00-{TRACE}-{SPAN}-01"})
        odd = await client.get("/logged?status=503", headers={"X-Request-Id": "a b"})
    log.info("elsewhere")

    first, second, third, last = (json.loads(line) for line in out.getvalue().splitlines())
    assert "x-request-id" not in plain.headers
    assert len(first["request_id"]) == 16
    assert "trace_id" not in first
    assert (given.headers["x-request-id"], second["request_id"], second["trace_id"]) == ("abc-1", "abc-1", TRACE)
    assert odd.headers["x-request-id"] == third["request_id"] != "a b"
    assert not {"request_id", "trace_id"} & set(last)

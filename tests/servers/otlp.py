"""A receiver of OTLP over HTTP, which keeps the spans that it receives."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.servers.http_server import serving


@dataclass(frozen=True)
class ReceivedSpan:
    """A span with the service that recorded it."""

    service: str
    span: Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def kind(self) -> str:
        return Span.SpanKind.Name(self.span.kind).removeprefix("SPAN_KIND_").lower()

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def links(self) -> list[str]:
        return [link.span_id.hex() for link in self.span.links]

    @property
    def attributes(self) -> dict[str, Any]:
        return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in self.span.attributes}


@dataclass
class OtlpReceiver:
    """The address for ``OTEL_EXPORTER_OTLP_ENDPOINT``, and what was received."""

    url: str
    spans: list[ReceivedSpan] = field(default_factory=list)

    def named(self, name: str, service: str = "") -> list[ReceivedSpan]:
        return [each for each in list(self.spans) if each.name == name and service in ("", each.service)]


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Run a receiver."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                known = {each.key: each.value.string_value for each in resource.resource.attributes}
                for scope in resource.scope_spans:
                    kept.spans += [ReceivedSpan(known["service.name"], span) for span in scope.spans]
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as site:
        kept = OtlpReceiver(site)
        yield kept

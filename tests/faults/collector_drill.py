"""Real OpenTelemetry collectors receive one trace from the request that publishes an article to its index and webhook.

``python -m tests.faults.collector_drill`` runs two: the first one with `deploy/opentelemetry/collector.yml`, which takes spans over
HTTP and passes them on over gRPC, the second one as what is behind it, which writes them to a file. The program is the argument,
or an ``otelcol…`` in ``PATH``; `deploy/opentelemetry/builder.yml` says how to build it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console
from rich.tree import Tree

from newswire.keys import Keyspace
from tests.e2e.conftest import Newswire, receiver, three_processes
from tests.e2e.test_main_job import ARTICLE, bearer, subscribe
from tests.polling import until
from tests.servers.elasticsearch import elasticsearch_server
from tests.servers.valkey import embedded_valkey, free_port

DEPLOY = Path(__file__).parents[2] / "deploy" / "opentelemetry"
PROGRAMS = ("otelcol-newswire", "otelcol", "otelcol-contrib")
NAMESPACE = "traced"
QUERY = "ferries"
"""What a reader searches for; the collector must not pass it on."""
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Span:
    """A span as the last collector wrote it."""

    service: str
    name: str
    trace: str
    id: str
    parent: str


@contextmanager
def collector(program: str, configuration: Path, log: Path, **environment: str) -> Iterator[None]:
    """Run a collector."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "--config", str(configuration)], env=os.environ | environment, stdout=output, stderr=output
        )
    try:
        until(lambda: b"Everything is ready" in log.read_bytes() or process.poll() is not None, 60)
        if process.poll() is not None:
            raise SystemExit(f"{program} ended: {log.read_text()[-2000:]}")
        yield
    finally:
        process.terminate()
        process.wait(30)


def last_collector(folder: Path, port: int) -> tuple[Path, Path]:
    """Return the configuration of a collector that takes spans over gRPC and writes them to a file, and that file."""
    configuration, file = folder / "last.yml", folder / "spans.jsonl"
    configuration.write_text(
        yaml.safe_dump(
            {
                "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}},
                "exporters": {"file": {"path": str(file), "flush_interval": "200ms"}},
                "service": {
                    "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
                },
            }
        )
    )
    return configuration, file


def received(file: Path) -> list[Span]:
    """Return the spans that the last collector wrote, without a line that it is writing."""
    written = file.read_text().rpartition("\n")[0].splitlines() if file.exists() else []
    return [
        Span(_service(resource), span["name"], span["traceId"], span["spanId"], span.get("parentSpanId", ""))
        for line in written
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def _service(resource: dict[str, Any]) -> str:
    attributes = resource["resource"]["attributes"]
    return next(each["value"]["stringValue"] for each in attributes if each["key"] == "service.name")


def trace_of_an_article(installed: Newswire, file: Path) -> list[Span]:
    """Publish an article that matches a subscription, and return its trace once it leads to index and webhook."""
    stream = Keyspace(NAMESPACE).stream
    wanted = {
        ("newswire-ingest", "POST /v1/articles"),
        ("newswire-ingest", f"send {stream}"),
        ("newswire-search", f"process {stream}"),
        ("newswire-search", "bulk"),
        ("newswire-notify", f"process {stream}"),
        ("newswire-notify", "POST"),
    }
    sent = httpx.post(
        f"{installed.ingest}/v1/articles", headers=bearer(installed.publisher_key), json=ARTICLE, trust_env=False
    )
    sent.raise_for_status()

    def whole() -> list[Span]:
        spans = received(file)
        traces = {each.trace for each in spans if each.name == "POST /v1/articles"}
        found = [each for each in spans if each.trace in traces]
        return found if wanted <= {(each.service, each.name) for each in found} else []

    return until(whole, 60)


def shown(spans: list[Span]) -> Tree:
    """Return a trace as a tree."""
    ids = {each.id for each in spans}
    tree = Tree(f"trace {spans[0].trace}")

    def add(to: Tree, parent: str) -> None:
        for each in spans:
            if each.parent == parent or (not parent and each.parent not in ids):
                add(to.add(f"{each.service}  {each.name}"), each.id)

    add(tree, "")
    return tree


def main() -> int:
    """Run the drill; the exit code is 0 if the whole trace arrived and nothing that must not."""
    program = sys.argv[1] if len(sys.argv) > 1 else next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit(
            f"no collector in PATH ({', '.join(PROGRAMS)}): {DEPLOY / 'builder.yml'} says how to build one"
        )
    folder = Path(tempfile.mkdtemp(prefix="newswire-collector-"))
    http, grpc = free_port(), free_port()
    last, file = last_collector(folder, grpc)
    addresses = {"COLLECTOR_HTTP": f"127.0.0.1:{http}", "COLLECTOR_FORWARD_TO": f"127.0.0.1:{grpc}"}
    with ExitStack() as stack:
        stack.enter_context(collector(program, last, folder / "last.log"))
        stack.enter_context(collector(program, DEPLOY / "collector.yml", folder / "first.log", **addresses))
        endpoint = stack.enter_context(receiver())
        valkey = stack.enter_context(embedded_valkey())
        environment = stack.enter_context(elasticsearch_server()).environment() | {
            "NEWSWIRE_REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
            "NEWSWIRE_NAMESPACE": NAMESPACE,
            "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
            "NEWSWIRE_ALLOW_VOLATILE": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{http}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        installed = stack.enter_context(three_processes(environment, folder))
        subscribe(installed, endpoint.url, {"query": QUERY})
        trace = trace_of_an_article(installed, file)
        httpx.get(f"{installed.search}/v1/search", params={"q": QUERY}, trust_env=False).raise_for_status()
        until(lambda: [each for each in received(file) if each.name == "GET /v1/search"], 60)
    console.print(shown(trace))
    leaked = [word for word in (QUERY, "url.query", "nw_", str(ARTICLE["title"])) if word in file.read_text()]
    console.print(
        f"[red]passed on: {', '.join(leaked)}[/]" if leaked else "[green]whole, and nothing else passed on[/]"
    )
    return 1 if leaked else 0


if __name__ == "__main__":
    sys.exit(main())

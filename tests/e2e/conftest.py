"""Newswire as its users run it: everything in one process, or each service in its own on real servers."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.running import BARE, NEWSWIRE, Running, newswire
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.http_server import serving
from tests.servers.valkey import embedded_valkey, free_port


@dataclass(frozen=True)
class Newswire:
    """The addresses of the three services, and keys for them."""

    ingest: str
    search: str
    notify: str
    publisher_key: str
    subscriber_key: str
    admin_key: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """The options by which commands find the installation."""


@dataclass
class Receiver:
    """A subscriber's webhook endpoint that records its requests."""

    url: str
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in list(self.requests)]


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as site:
        kept = Receiver(f"{site}/hook")
        yield kept


@contextmanager
def one_process(data_dir: Path) -> Iterator[Newswire]:
    running = Running(data_dir, "--no-samples")
    try:
        keys = running.credentials()
        yield Newswire(
            running.site,
            running.site,
            running.site,
            keys["NEWSWIRE_PUBLISHER_KEY"],
            keys["NEWSWIRE_SUBSCRIBER_KEY"],
            keys["NEWSWIRE_ADMIN_KEY"],
            options=("--data-dir", str(data_dir)),
        )
    finally:
        running.process.terminate()
        running.process.wait(DEADLINE_SECONDS)


@contextmanager
def three_processes(environment: dict[str, str], logs: Path) -> Iterator[Newswire]:
    def key(scope: str) -> str:
        made = newswire("keys", "create", "--account", f"tide-{scope}", "--scope", scope, **environment)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    with ExitStack() as stack:
        ingest, search, notify = (
            stack.enter_context(service(name, environment, logs / f"{name}.log"))
            for name in ("ingest", "search", "notify")
        )
        yield Newswire(ingest, search, notify, key("publish"), key("subscribe"), key("admin"), environment)


@contextmanager
def service(name: str, environment: dict[str, str], log: Path, ready_at: str = "/status") -> Iterator[str]:
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*NEWSWIRE, "serve", name, "--port", str(port)], env=BARE | environment, stdout=output, stderr=output
        )
    site = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(site + ready_at, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(ready, 180)
        yield site
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


@pytest.fixture
def delivery_redis_url() -> Iterator[str]:
    """A second server for the deliveries; with one process both are the same."""
    with embedded_valkey() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(params=["one process", "three processes"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Newswire]:
    if request.param == "one process":
        with one_process(tmp_path / "data") as newswire_:
            yield newswire_
        return
    deliveries = request.getfixturevalue("delivery_redis_url")
    environment = request.getfixturevalue("elasticsearch").environment() | {
        "NEWSWIRE_DELIVERY_REDIS_URL": deliveries,
        "NEWSWIRE_REDIS_URL": request.getfixturevalue("redis_url"),
        "NEWSWIRE_NAMESPACE": request.getfixturevalue("namespace"),
        "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
        "NEWSWIRE_ALLOW_VOLATILE": "true",
    }
    with three_processes(environment, tmp_path) as newswire_:
        yield newswire_

"""The measured servers, each in separate processes."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Caller, Scope
from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_cli.local.valkey import embedded_valkey
from tests.cli.running import BARE, NEWSWIRE, Running
from tests.servers.valkey import free_port

KEYS = Keyspace("newswire")
PATIENCE = 180.0


@dataclass(frozen=True)
class Server:
    """A process that serves HTTP."""

    site: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Return its processor time so far, in seconds."""
        spent = self.process.cpu_times()
        return spent.user + spent.system


@dataclass(frozen=True)
class Newswire:
    """A complete Newswire: the addresses of its services, its store, and keys."""

    ingest: str
    search: str
    notify: str
    redis_url: str
    publisher_key: str
    subscriber_key: str
    process: psutil.Process | None = None
    """The process of all services, if it is one."""

    def cpu_seconds(self) -> float:
        """Return the processor time of all services in one process so far, in seconds."""
        if self.process is None:
            raise ValueError("the services are in several processes")
        return Server(self.search, self.process).cpu_seconds()


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """Run the Valkey of `newswire run`, which syncs every write to disk before it responds; yield its address."""
    folder.mkdir(parents=True, exist_ok=True)
    with embedded_valkey(folder) as server:
        yield server.url


@contextmanager
def program(name: str, log: Path, *arguments: str) -> Iterator[Server]:
    """Run ``bench.<name>``, a program of the benchmark, whose first argument is its port."""
    port = free_port()
    with _running([sys.executable, "-m", f"bench.{name}", str(port), *arguments], {}, port, "/", log) as server:
        yield server


UNLIMITED = {f"NEWSWIRE_READ_{name}": "0" for name in ("RATE", "RATE_PER_KEY", "CONCURRENCY", "CONCURRENCY_PER_KEY")}
"""Settings without read limits: the capacity of the machine is measured, not the limits of a reader."""


@contextmanager
def service(name: str, settings: dict[str, str], log: Path, command: Sequence[str] = NEWSWIRE) -> Iterator[Server]:
    """Run `newswire serve` with one service; ``command`` is the `newswire` of this or of another installation."""
    port = free_port()
    with _running([*command, "serve", name, "--port", str(port)], UNLIMITED | settings, port, "/status", log) as server:
        yield server


@contextmanager
def heartbeat(name: str, settings: dict[str, str], log: Path) -> Iterator[tuple[Server, int]]:
    """Run one service with the limits in ``settings``, and yield it with the port of its `bench.heartbeat`."""
    beat, port = free_port(), free_port()
    command = [sys.executable, "-m", "bench.heartbeat", str(beat), name, str(port)]
    with _running(command, settings, port, "/status", log) as server:
        yield server, beat


@contextmanager
def switched(name: str, settings: dict[str, str], log: Path, control: int) -> Iterator[Server]:
    """Run one service that `bench.switched` controls at a port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.switched", str(control), name, str(port)]
    with _running(command, UNLIMITED | settings, port, "/status", log) as server:
        yield server


@contextmanager
def all_in_one(folder: Path) -> Iterator[Newswire]:
    """Run `newswire run`."""
    running = Running(folder, "--no-samples", environment=UNLIMITED)
    try:
        keys = running.credentials()
        site, store = running.site, (folder / "redis.url").read_text().strip()
        publisher, subscriber = keys["NEWSWIRE_PUBLISHER_KEY"], keys["NEWSWIRE_SUBSCRIBER_KEY"]
        yield Newswire(site, site, site, store, publisher, subscriber, psutil.Process(running.process.pid))
    finally:
        running.process.terminate()
        running.process.wait(30)


@asynccontextmanager
async def three_services(folder: Path, redis_url: str, elasticsearch: dict[str, str]) -> AsyncIterator[Newswire]:
    """Run the three services, each in a process, on Elasticsearch."""
    async with without_search(folder, redis_url) as newswire:
        settings = elasticsearch | {"NEWSWIRE_REDIS_URL": redis_url}
        with service("search", settings, folder / "search.log") as search:
            yield replace(newswire, search=search.site)


@asynccontextmanager
async def without_search(folder: Path, redis_url: str) -> AsyncIterator[Newswire]:
    """Run ingest and notify, each in a process: all that a webhook needs."""
    settings = {"NEWSWIRE_REDIS_URL": redis_url, "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true"}
    folder.mkdir(parents=True, exist_ok=True)
    publisher, _ = await new_key(redis_url, Scope.PUBLISH)
    subscriber, _ = await new_key(redis_url, Scope.SUBSCRIBE)
    with (
        service("ingest", settings, folder / "ingest.log") as ingest,
        service("notify", settings, folder / "notify.log") as notify,
    ):
        yield Newswire(ingest.site, "", notify.site, redis_url, publisher, subscriber)


async def new_key(
    redis_url: str, scope: Scope, keys: Keyspace = KEYS, *, account: str | None = None
) -> tuple[str, Caller]:
    """Create a key, by default of an account for this scope, and return it with its caller."""
    account = account or f"bench-{scope}"
    async with open_redis(redis_url) as redis:
        made = await create_key(redis, keys, account, [scope])
    return made.token, Caller(account, made.id, frozenset({scope}))


@contextmanager
def _running(command: list[str], settings: dict[str, str], port: int, path: str, log: Path) -> Iterator[Server]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=BARE | settings, stdout=output, stderr=output)
    try:
        site = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE
        while not answers(site + path):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(command)} does not answer:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Server(site, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    """Return whether a server answers; 404 is an answer too."""
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError as answer:
        return answer.code == 404
    except OSError:
        return False
    return True

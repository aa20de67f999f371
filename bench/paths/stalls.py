"""The most expensive request to each public endpoint: its cost, its stalls of the event loop, and the effect of eight clients."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.articles import made_up
from bench.figures import Figure, percentiles
from bench.load import Connection, address, json_request, request
from bench.machine import load
from bench.servers import UNLIMITED, Server, heartbeat, new_key, valkey
from bench.setting import Setting
from bench.worst_requests import Keys, Worst, worst_requests
from newswire.auth.credentials import Scope

LONG_TEXTS = {
    "en": "The harbour board met again on Tuesday. " * 22_000,
    "ja": "港湾局は火曜日に会議を開きました。" * 17_000,
}
LONG_ARTICLES = 4
"""The number of long articles of each kind."""
ARTICLES = 300
CLIENTS = 8
CROWD_SECONDS = 0.7
ALONE_SECONDS = 0.5
VICTIM_PAUSE = 0.02
ANSWER_SECONDS = 60.0
STREAM_SILENCE = 0.3
"""A live stream that sends nothing for this many seconds is read completely, and is closed."""
PROCESSOR_MS, STALL_MS, SLOWER = 250, 100, 3
SERVICES = ("ingest", "search", "notify")


@dataclass(frozen=True)
class Site:
    """Three services with long articles, and keys."""

    servers: dict[str, Server]
    beats: dict[str, int]
    victims: dict[str, bytes]
    quiet: dict[str, "Quiet"]


@dataclass(frozen=True, slots=True)
class Quiet:
    """A service that only the normal client uses."""

    p99: float
    busy: float
    """Processor time per second."""


@dataclass(frozen=True, slots=True)
class Found:
    """The effect of one request; times in ms."""

    processor: float
    stall: float
    slower: float
    """The p99 of a normal client, another account, with eight such clients, in multiples of that without: with default limits."""
    slower_without_limits: float
    """The same without read limits."""


async def measure(setting: Setting) -> list[Figure]:
    """Return a row for each request: its processor time; as details the stall, and the p99 with and without limits."""
    found: dict[str, Found] = {}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(valkey(setting.folder / "stalls"))
        publisher, _ = await new_key(url, Scope.PUBLISH)
        subscriber, _ = await new_key(url, Scope.SUBSCRIBE)
        reader, _ = await new_key(url, Scope.READ)
        keys = Keys(publisher, subscriber, reader)
        own, _ = await new_key(url, Scope.PUBLISH, account="victim")
        reading, _ = await new_key(url, Scope.READ, account="victim")
        victims = {
            "ingest": json_request("/v1/articles", {"title": "T", "body": "<p>Short.</p>", "language": "en"}, own),
            "search": request("GET", "/v1/search?q=ferries", authorization=f"Bearer {reading}"),
            "notify": request("GET", "/healthz"),
        }
        alone: dict[str, tuple[float, float]] = {}
        without: dict[str, float] = {}
        async with _site(setting.folder, url, victims, UNLIMITED) as site:
            article = await _fill(site, keys)
            chosen = _chosen(setting, keys, article)
            for worst in setting.steps("stalls without limits", chosen):
                alone[worst.name] = await _alone(site, worst)
                without[worst.name] = await _slower(site, worst)
        async with _site(setting.folder, url, victims, {}) as site:
            for worst in setting.steps("stalls with limits", chosen):
                slower = await _slower(site, worst)
                found[worst.name] = Found(*alone[worst.name], slower, without[worst.name])
    return [_figure(name, each) for name, each in found.items()]


def _chosen(setting: Setting, keys: Keys, article: str) -> list[Worst]:
    every = worst_requests(keys, article)
    return every[::6] if setting.quick else every


def _figure(name: str, found: Found) -> Figure:
    detail = {
        "stall": found.stall,
        "others": found.slower,
        "others_without_limits": found.slower_without_limits,
        "load": float(load()),
    }
    met = found.processor <= PROCESSOR_MS and found.stall <= STALL_MS and found.slower <= SLOWER
    unit = f"ms of processor (stall {found.stall:.0f} ms, others {found.slower:.1f} ×)"
    goal = f"≤ {PROCESSOR_MS} ms, {STALL_MS} ms, {SLOWER} ×"
    return Figure(name, unit, found.processor, goal=goal, met=met, detail=detail)


async def _alone(site: Site, worst: Worst) -> tuple[float, float]:
    """Return the processor time of a request, and the longest stall that it causes."""
    server = site.servers[worst.service]
    await _beat(site, worst)  # starts measuring
    spent, began = _processor_seconds(server), time.monotonic()
    count = await _client(server, worst, ALONE_SECONDS)
    idle = site.quiet[worst.service].busy * (time.monotonic() - began)
    each = max(_processor_seconds(server) - spent - idle, 0.0) / count * 1000
    return each, await _beat(site, worst)


async def _slower(site: Site, worst: Worst) -> float:
    """Return by which factor eight such clients slow down a normal client."""
    server = site.servers[worst.service]

    async def crowd() -> None:
        await asyncio.gather(*(_client(server, worst, CROWD_SECONDS) for _ in range(CLIENTS)))

    beside = percentiles(await _victim(server.site, site.victims[worst.service], crowd))["p99"]
    return beside / site.quiet[worst.service].p99


async def _quiet_service(server: Server, victim: bytes) -> Quiet:
    spent, began = _processor_seconds(server), time.monotonic()
    await asyncio.sleep(1)
    busy = (_processor_seconds(server) - spent) / (time.monotonic() - began)
    taken = await _victim(server.site, victim, lambda: asyncio.sleep(3))
    return Quiet(percentiles(taken)["p99"], busy)


async def _client(server: Server, worst: Worst, seconds: float) -> int:
    """Send a request repeatedly for some time; return how often."""
    until = time.monotonic() + seconds
    count = 0
    if worst.stream:
        while count == 0 or time.monotonic() < until:
            await _read_stream(server.site, worst.data)
            count += 1
        return count
    async with await Connection.open(server.site) as connection:
        while count == 0 or time.monotonic() < until:
            answer = await asyncio.wait_for(connection.ask(worst.data), ANSWER_SECONDS)
            if answer.status >= 500 and answer.status != 503:
                raise RuntimeError(f"{worst.name} answered {answer.status}: {answer.body[:300]!r}")
            if answer.status == 429:
                await asyncio.sleep(VICTIM_PAUSE)
            count += 1
    return count


async def _read_stream(site: str, data: bytes) -> None:
    host, port = address(site)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data)
    with contextlib.suppress(TimeoutError):
        while await asyncio.wait_for(reader.read(1_000_000), STREAM_SILENCE):
            pass
    writer.close()


async def _victim(site: str, data: bytes, meanwhile: Callable[[], Awaitable[object]]) -> list[float]:
    """Send a normal request repeatedly while something else runs; return the time of each in ms."""
    taken: list[float] = []
    done = asyncio.ensure_future(meanwhile())
    async with await Connection.open(site) as connection:
        while not done.done() or len(taken) < 10:
            began = time.perf_counter()
            await connection.ask(data)
            taken.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(VICTIM_PAUSE)
    await done
    return taken


async def _beat(site: Site, worst: Worst) -> float:
    """Return the longest stall since the last call, in ms of the processor time of the event loop's thread."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.beats[worst.service])
    processor, _ = (await reader.read()).split()
    writer.close()
    return float(processor)


def _processor_seconds(server: Server) -> float:
    """Return the processor time used by a service and its worker processes."""
    own = server.process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in server.process.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            spent = child.cpu_times()
            total += spent.user + spent.system
    return total


@asynccontextmanager
async def _site(folder: Path, url: str, victims: dict[str, bytes], limits: dict[str, str]) -> AsyncIterator[Site]:
    data = folder / "stalls-data"
    settings = {"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_INDEX": "embedded", "NEWSWIRE_DATA_DIR": str(data), **limits}
    with contextlib.ExitStack() as stack:
        servers, beats = {}, {}
        for name in SERVICES:
            servers[name], beats[name] = stack.enter_context(heartbeat(name, settings, folder / f"stalls-{name}.log"))
        quiet = {name: await _quiet_service(servers[name], victims[name]) for name in SERVICES}
        yield Site(servers, beats, victims, quiet)


async def _fill(site: Site, keys: Keys) -> str:
    """Publish short articles and very long ones, and wait until search has them; return the id of a long one."""
    newest = ""
    articles = [
        {name: each[name] for name in ("title", "body", "authors", "category", "topics")} for each in made_up(ARTICLES)
    ]
    for language, text in LONG_TEXTS.items():
        articles += [{"title": f"Long {n}", "body": text, "language": language} for n in range(LONG_ARTICLES)]
    async with await Connection.open(site.servers["ingest"].site) as connection:
        for each in articles:
            answer = await connection.ask(json_request("/v1/articles", each, keys.publisher))
            if answer.status != 201:
                raise RuntimeError(f"publishing answered {answer.status}: {answer.body[:300]!r}")
            newest = answer.body.split(b'"id":"')[1].split(b'"')[0].decode()
    async with await Connection.open(site.servers["search"].site) as connection:
        until = time.monotonic() + 120
        while (await connection.ask(request("GET", f"/v1/search/articles/{newest}"))).status != 200:
            if time.monotonic() > until:
                raise RuntimeError("search has not indexed the articles in two minutes")
            await asyncio.sleep(0.2)
    return newest

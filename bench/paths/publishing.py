"""POST → 201, in articles per second and time: ingest alone, compared with a bare app on the same Valkey."""

import itertools
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from bench.articles import Article
from bench.figures import Figure, Goal, compared, times
from bench.load import drive, request
from bench.servers import Server, new_key, program, service, valkey
from bench.setting import Setting
from newswire.auth.credentials import Caller, Scope

CONNECTIONS = 32
CLIENTS = (1, 16, 64)
PATH = "/v1/articles"
MARK = b"Number 0000000000"


@dataclass(frozen=True)
class Stage:
    """Ingest and its floor, warm, on one Valkey; ``sent`` are requests for both, with a key of this caller."""

    url: str
    key: str
    caller: Caller
    ingest: Server
    bare: Server
    sent: Iterator[bytes]


@asynccontextmanager
async def stage(setting: Setting, name: str) -> AsyncIterator[Stage]:
    """Start the servers for measuring publishing."""
    with valkey(setting.folder / name) as url:
        key, caller = await new_key(url, Scope.PUBLISH)
        with (
            program("floors.publishing", setting.folder / f"{name}.floor.log", url) as bare,
            service("ingest", {"NEWSWIRE_REDIS_URL": url}, setting.folder / f"{name}.log") as ingest,
        ):
            sent = endless(setting.articles, key)
            for server in (bare, ingest):
                await drive(server.site, sent, CONNECTIONS, 1.0, 201)
            yield Stage(url, key, caller, ingest, bare, sent)


async def measure(setting: Setting) -> list[Figure]:
    """Return the figure of the rate, and those of the times with few and with many clients."""
    rounds, spent, least, p50 = [], [], [], []
    waited: dict[int, tuple[list[float], list[float]]] = {clients: ([], []) for clients in CLIENTS}
    async with stage(setting, "publishing") as on:
        for _ in setting.steps("publishing", range(setting.rounds)):
            before = on.bare.cpu_seconds()
            floor = await drive(on.bare.site, on.sent, CONNECTIONS, setting.seconds, 201)
            least.append((on.bare.cpu_seconds() - before) / len(floor.times) * 1e6)
            before = on.ingest.cpu_seconds()
            ours = await drive(on.ingest.site, on.sent, CONNECTIONS, setting.seconds, 201)
            spent.append((on.ingest.cpu_seconds() - before) / len(ours.times) * 1e6)
            rounds.append((ours.rate, floor.rate))
            p50.append(statistics.median(ours.times))
        for _ in setting.steps("publishing, few and many clients", range(setting.rounds)):
            for clients, taken in waited.items():
                for server, times_ in zip((on.ingest, on.bare), taken, strict=True):
                    times_ += (await drive(server.site, on.sent, clients, setting.seconds / 4, 201)).times
    detail = {
        "cpu_microseconds_each": statistics.median(spent),
        "floor_cpu_microseconds_each": statistics.median(least),
        "p50_ms": statistics.median(p50),
    }
    return [
        compared("POST article → 201, ingest alone", "articles/s", rounds, Goal("at least", 0.8), **detail),
        *(times(f"POST article → 201, {_counted(clients)}", *taken) for clients, taken in waited.items()),
    ]


def _counted(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def endless(articles: list[Article], key: str) -> Iterator[bytes]:
    """Yield requests to publish, each with a different article."""
    bodies = [orjson.dumps(article | {"title": f"{article['title'][:200]} {MARK.decode()}"}) for article in articles]
    finished = [
        request("POST", PATH, body, content_type="application/json", authorization=f"Bearer {key}") for body in bodies
    ]
    for number, data in enumerate(itertools.cycle(finished)):
        yield data.replace(MARK, b"Number %010d" % number)

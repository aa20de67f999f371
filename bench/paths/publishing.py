"""POST → 201, articles a second and how long each takes: ingest alone against a bare app on the same Valkey."""

import itertools
import statistics
from collections.abc import Iterator

import orjson

from bench.articles import Article
from bench.figures import Figure, Goal, compared, times
from bench.load import drive, request
from bench.servers import new_key, program, service, valkey
from bench.setting import Setting
from newswire.accounts import Scope

CONNECTIONS = 32
CLIENTS = (1, 16, 64)
PATH = "/v1/articles"
MARK = b"Number 0000000000"


async def measure(setting: Setting) -> list[Figure]:
    """Return the figure of the rate, and those of the times with few and with many clients."""
    with valkey(setting.folder / "publishing") as url:
        key, _ = await new_key(url, Scope.PUBLISH)
        with (
            program("floors.publishing", setting.folder / "publishing.floor.log", url) as bare,
            service("ingest", {"NEWSWIRE_REDIS_URL": url}, setting.folder / "ingest.log") as ingest,
        ):
            sent = endless(setting.articles, key)
            for server in (bare, ingest):
                await drive(server.site, sent, CONNECTIONS, 1.0, 201)
            rounds, spent, least, p50 = [], [], [], []
            for _ in setting.steps("publishing", range(setting.rounds)):
                before = bare.cpu_seconds()
                floor = await drive(bare.site, sent, CONNECTIONS, setting.seconds, 201)
                least.append((bare.cpu_seconds() - before) / len(floor.times) * 1e6)
                before = ingest.cpu_seconds()
                ours = await drive(ingest.site, sent, CONNECTIONS, setting.seconds, 201)
                spent.append((ingest.cpu_seconds() - before) / len(ours.times) * 1e6)
                rounds.append((ours.rate, floor.rate))
                p50.append(statistics.median(ours.times))
            waited: dict[int, tuple[list[float], list[float]]] = {clients: ([], []) for clients in CLIENTS}
            for _ in setting.steps("publishing, few and many clients", range(setting.rounds)):
                for clients, taken in waited.items():
                    for server, times_ in zip((ingest, bare), taken, strict=True):
                        times_ += (await drive(server.site, sent, clients, setting.seconds / 4, 201)).times
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
    """Yield requests to publish, each with an article of its own."""
    bodies = [orjson.dumps(article | {"title": f"{article['title'][:200]} {MARK.decode()}"}) for article in articles]
    finished = [
        request("POST", PATH, body, content_type="application/json", authorization=f"Bearer {key}") for body in bodies
    ]
    for number, data in enumerate(itertools.cycle(finished)):
        yield data.replace(MARK, b"Number %010d" % number)

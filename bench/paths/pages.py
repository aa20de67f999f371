"""The pages of the reader site: the time of a response after a publication and while nothing changes, and its size.

A page that was made once is kept until the index changes, so both are measured for a growing number of articles.
"""

import asyncio
import gzip
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from redis.asyncio import Redis

from bench.figures import Figure, percentiles
from bench.load import Answer, Connection, request
from bench.publishing import put_on_record, versions
from bench.servers import Server, new_key, service, valkey
from bench.setting import Setting, powers_of_ten
from newswire.auth.credentials import Caller, Scope
from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_ingest.articles.publishing import Version
from newswire_search.app import GROUP
from newswire_search.query.state_cache import MAX_SECONDS

FEWEST = 1000
NAMESPACE = "bench-pages"
TOGETHER, CHUNK = 64, 500
COLD_MS, WARM_MS = 50.0, 5.0
SETTLED_SECONDS = 3.0
"""After this time without events, pages are kept for long."""


@dataclass
class Site:
    """A search service, and what publishes its articles."""

    redis: "Redis"
    keys: Keyspace
    caller: Caller
    coming: Iterator[Version]
    count: int = 0
    connection: Connection = field(init=False)
    """Opened for each size: it would be idle for too long while the index grows."""
    newest: list[Version] = field(default_factory=list)
    """Of the last articles, those whose pages are opened."""

    async def grow(self, count: int) -> None:
        """Publish articles, and wait until the index has processed them."""
        self.count += count
        while count > 0:
            made = list(itertools.islice(self.coming, min(count, CHUNK)))
            await put_on_record(self.redis, made, self.caller, self.keys, TOGETHER)
            self.newest = (self.newest + made)[-CHUNK:]
            count -= len(made)
        ((last, _),) = await self.redis.xrevrange(self.keys.stream, count=1)
        while await self.redis.get(self.keys.checkpoint(GROUP)) != last:
            await asyncio.sleep(0.02)

    async def timed(self, path: str) -> tuple[float, Answer]:
        """Return the time of a response in ms, and the response."""
        began = time.perf_counter()
        answer = await self.connection.ask(request("GET", path, accept="text/html"))
        taken = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {answer.body[:300]!r}")
        return taken, answer


async def measure(setting: Setting) -> list[Figure]:
    """Return for each power of ten the times and sizes of the front page, a section, an article and a search."""
    folder = setting.folder / "pages"
    figures: list[Figure] = []
    with (
        valkey(folder / "valkey") as url,
        service(
            "search",
            {
                "NEWSWIRE_NAMESPACE": NAMESPACE,
                "NEWSWIRE_REDIS_URL": url,
                "NEWSWIRE_INDEX": "embedded",
                "NEWSWIRE_DATA_DIR": str(folder / "data"),
            },
            folder / "search.log",
        ) as ours,
    ):
        keys = Keyspace(NAMESPACE)
        _, caller = await new_key(url, Scope.PUBLISH, keys)
        async with open_redis(url) as redis:
            site = Site(redis, keys, caller, _endless(setting, caller.account))
            for size in setting.steps("pages with more articles", powers_of_ten(FEWEST, setting.on_record)):
                await site.grow(size - site.count)
                async with await Connection.open(ours.site) as site.connection:
                    figures += await _measured(setting, ours, site, f"{size:,} articles")
    return figures


async def _measured(setting: Setting, ours: Server, site: Site, among: str) -> list[Figure]:
    categories = Counter(str(each.document["category"]) for each in site.newest if each.document.get("category"))
    section = f"/sections/{quote(categories.most_common(1)[0][0], safe='')}"
    articles = itertools.cycle(site.newest)
    words = itertools.cycle(sorted({word for each in site.newest[:50] for word in _words(each)}))
    figures = []
    paths: dict[str, Callable[[], str]] = {
        "front page": lambda: "/",
        "section": lambda: section,
        "article": lambda: _path(next(articles)),
        "search page": lambda: f"/search?q={quote(next(words))}",
    }
    for name, next_path in paths.items():
        cold, size = await _cold(setting, site, next_path)
        figures.append(_figure(f"{name} after a publication, {among}", cold, COLD_MS, size))
        if name == "search page":
            continue
        path = next_path()
        before, warm = ours.cpu_seconds(), await _warm(setting, site, path)
        core = (ours.cpu_seconds() - before) * 1000 / len(warm)
        figures.append(_figure(f"{name} again, {among}", warm, WARM_MS, {"processor_ms": core}))
    return figures


async def _cold(setting: Setting, site: Site, path: Callable[[], str]) -> tuple[list[float], dict[str, float]]:
    """Return times of the first response after a publication, and the size of the last one in bytes."""
    await site.timed(path())  # the templates are compiled
    taken = []
    for _ in range(setting.some(30)):
        await site.grow(1)
        ms, answer = await site.timed(path())
        taken.append(ms)
    return taken, {"bytes": len(answer.body), "gzip_bytes": len(gzip.compress(answer.body, 5))}


async def _warm(setting: Setting, site: Site, path: str) -> list[float]:
    """Return the times of further responses while nothing changes."""
    await site.timed(path)
    await asyncio.sleep(SETTLED_SECONDS)
    await site.timed(path)
    until = time.perf_counter() + min(setting.seconds, MAX_SECONDS / 2)
    taken = []
    while time.perf_counter() < until:
        taken.append((await site.timed(path))[0])
    return taken


def _figure(name: str, taken: Sequence[float], goal_ms: float, detail: dict[str, float]) -> Figure:
    p50 = statistics.median(taken)
    return Figure(name, "ms p50", p50, goal=f"≤ {goal_ms:g} ms", met=p50 <= goal_ms, detail=percentiles(taken) | detail)


def _endless(setting: Setting, publisher: str) -> Iterator[Version]:
    """Yield an endless sequence of articles with ids of their own."""
    while True:
        yield from versions(setting.articles, publisher)


def _path(version: Version) -> str:
    return "/articles/" + str(version.document["url"]).partition("/articles/")[2]


def _words(version: Version) -> list[str]:
    return [word for word in str(version.document["title"]).lower().split() if word.isalpha() and len(word) > 3]

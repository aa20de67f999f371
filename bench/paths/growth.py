"""POST → 201 with ever more articles on record: the same at a thousand as at a million, or something grows."""

import asyncio
import itertools
import statistics
import time
from dataclasses import dataclass

from redis.asyncio import Redis

from bench.articles import CATEGORIES, TOPICS, repeated
from bench.figures import Figure, Goal, times
from bench.load import Driven, drive
from bench.paths.publishing import endless
from bench.publishing import put_on_record, versions
from bench.servers import KEYS, Server, new_key, program, service, valkey
from bench.setting import Setting
from newswire.accounts import Caller, Scope
from newswire.app import open_redis

FEWEST = 1000
CONNECTIONS = 16
CHUNK = 2000
TOGETHER = 512
FLAT = Goal("at most", 1.25)
SMALL = [
    {
        "title": "Ferry back",
        "body": "<p>The ferry sails again.</p>",
        "category": category,
        "topics": [topic],
        "language": "en",
    }
    for category, topic in itertools.product(CATEGORIES, TOPICS)
]


@dataclass(frozen=True, slots=True)
class Measured:
    """Rounds of publishing, the floor's beside them, and what the server spent on each call of the atomic function."""

    ours: list[Driven]
    floor: list[Driven]
    function_microseconds: float

    @property
    def p50(self) -> float:
        """Of our rounds the median one's, in ms."""
        return statistics.median(statistics.median(driven.times) for driven in self.ours)


async def measure(setting: Setting) -> list[Figure]:
    """Return a figure for each power of ten, and how the last compares with the first."""
    sizes = list(itertools.takewhile(lambda size: size <= setting.on_record, (FEWEST * 10**n for n in range(6))))
    found: list[tuple[int, Measured]] = []
    figures: list[Figure] = []
    with valkey(setting.folder / "growth") as url:
        key, caller = await new_key(url, Scope.PUBLISH)
        with (
            program("floors.publishing", setting.folder / "growth.floor.log", url) as bare,
            service("ingest", {"NEWSWIRE_REDIS_URL": url}, setting.folder / "growth.log") as ingest,
        ):
            sent = endless(setting.articles, key)
            async with open_redis(url) as redis:
                for server in (bare, ingest):
                    await drive(server.site, sent, CONNECTIONS, 1.0, 201)
                for size in setting.steps("publishing with more on record", sizes):
                    filled = await fill(redis, caller, size)
                    measured = await published(setting, redis, (ingest, bare), key)
                    found.append((size, measured))
                    figures.append(described(size, measured, filled))
    (fewest, first), (most, last) = found[0], found[-1]
    if len(found) > 1:
        name = f"POST article → 201, {most:,} on record against {fewest:,}"
        ratio = last.p50 / first.p50
        cost = {
            "function_microseconds": last.function_microseconds,
            "function_microseconds_first": first.function_microseconds,
        }
        figures.append(Figure(name, "ms p50", last.p50, first.p50, ratio, str(FLAT), FLAT.met_by(ratio), detail=cost))
    return figures


async def fill(redis: "Redis", caller: Caller, size: int) -> dict[str, float]:
    """Put small articles on record by the store's own function until there are so many; return how fast, and what they take."""
    there = await redis.zcard(KEYS.articles)
    before, began, wanted = await memory(redis), time.perf_counter(), max(size - there, 0)
    coming = repeated(SMALL, wanted, f"to{size}x")
    while chunk := list(itertools.islice(coming, CHUNK)):
        await put_on_record(redis, versions(chunk, caller.account), caller, together=TOGETHER)
    seconds = time.perf_counter() - began
    async with asyncio.timeout(600):
        while (await redis.info("persistence"))["aof_rewrite_in_progress"]:
            await asyncio.sleep(0.2)
    used = await memory(redis)
    return {
        "fill_rate": wanted / seconds,
        "redis_memory_mib": used / 2**20,
        "redis_bytes_each": (used - before) / max(wanted, 1),
    }


async def memory(redis: "Redis") -> int:
    """Return how many bytes the server holds."""
    return int((await redis.info("memory"))["used_memory"])


async def published(setting: Setting, redis: "Redis", servers: tuple[Server, Server], key: str) -> Measured:
    """Publish for some rounds, by turns with the floor."""
    ours: list[Driven] = []
    floor: list[Driven] = []
    sent = endless(setting.articles, key)
    await redis.config_resetstat()
    for _ in range(setting.rounds):
        for server, driven in zip(servers, (ours, floor), strict=True):
            driven.append(await drive(server.site, sent, CONNECTIONS, setting.seconds / 2, 201))
    calls = (await redis.info("commandstats"))["cmdstat_fcall"]
    return Measured(ours, floor, calls["usec_per_call"])


def described(size: int, measured: Measured, filled: dict[str, float]) -> Figure:
    """Return the figure of one size."""
    ours, floor = ([each for driven in rounds for each in driven.times] for rounds in (measured.ours, measured.floor))
    figure = times(f"POST article → 201, {size:,} on record, {CONNECTIONS} clients", ours, floor)
    figure.detail.update(filled, function_microseconds=measured.function_microseconds)
    return figure

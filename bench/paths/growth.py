"""POST → 201 with a growing number of stored articles, up to a million."""

import asyncio
import itertools
import statistics
import time
from dataclasses import dataclass

from redis.asyncio import Redis

from bench.articles import CATEGORIES, TOPICS, repeated
from bench.figures import Figure, Goal, times
from bench.load import drive
from bench.paths.publishing import Stage, stage
from bench.publishing import put_on_record, versions
from bench.servers import KEYS
from bench.setting import Setting, powers_of_ten
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Caller
from newswire.storage.redis_client import open_redis

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


async def measure(setting: Setting) -> list[Figure]:
    """Return a figure for each power of ten, and the ratio of the last to the first."""
    sizes = powers_of_ten(FEWEST, setting.on_record)
    async with stage(setting, "growth") as on, open_redis(on.url) as redis:
        figures = [
            await published(setting, Record(redis, on.key, on.caller, size), on)
            for size in setting.steps("publishing with more on record", sizes)
        ]
    if len(figures) > 1:
        few, many = figures[0].ours, figures[-1].ours
        name = f"POST article → 201, {sizes[-1]:,} on record (floor: {sizes[0]:,})"
        figures.append(Figure(name, "ms p50", many, few, many / few, str(FLAT), FLAT.met_by(many / few)))
    return figures


@dataclass
class Record:
    """A store with a number of articles, which the measurement must not increase much."""

    redis: "Redis"
    key: str
    caller: Caller
    size: int
    fill_rate: float = 0
    bytes_each: float = 0

    async def restore(self) -> None:
        """Fill up with small articles by the store's own function; start again if there are too many."""
        if await self.redis.zcard(KEYS.articles) > self.size * 1.2:
            await self.redis.execute_command("FLUSHALL", "SYNC")  # memory freed later would distort the result
            await create_key(self.redis, KEYS, self.caller.account, self.caller.scopes, token=self.key)
        wanted = self.size - await self.redis.zcard(KEYS.articles)
        if wanted <= 0:
            return
        coming = repeated(SMALL, wanted, f"to{self.size}x")
        before, began = await self.memory(), time.perf_counter()
        while chunk := list(itertools.islice(coming, CHUNK)):
            await put_on_record(self.redis, versions(chunk, self.caller.account), self.caller, together=TOGETHER)
        self.fill_rate = wanted / (time.perf_counter() - began)
        self.bytes_each = (await self.memory() - before) / wanted
        async with asyncio.timeout(600):
            while (await self.redis.info("persistence"))["aof_rewrite_in_progress"]:
                await asyncio.sleep(0.2)

    async def memory(self) -> int:
        """Return the memory of the server in bytes."""
        return int((await self.redis.info("memory"))["used_memory"])


async def published(setting: Setting, record: Record, on: Stage) -> Figure:
    """Publish for some rounds, alternating with the floor; return the times, and the server time per call of the function."""
    taken: tuple[list[float], list[float]] = ([], [])
    seconds = min(setting.seconds / 2, record.size / 2000)
    spent = []
    for _ in range(setting.rounds):
        await record.restore()
        used = await record.memory()
        await record.redis.config_resetstat()
        for server, times_ in zip((on.ingest, on.bare), taken, strict=True):
            times_ += (await drive(server.site, on.sent, CONNECTIONS, seconds, 201)).times
        spent.append((await record.redis.info("commandstats"))["cmdstat_fcall"]["usec_per_call"])
    figure = times(f"POST article → 201, {record.size:,} on record, {CONNECTIONS} clients", *taken)
    figure.detail.update(
        function_microseconds=statistics.median(spent),
        fill_rate=record.fill_rate,
        redis_memory_mib=used / 2**20,
        redis_bytes_each=record.bytes_each,
    )
    return figure

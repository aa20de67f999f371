"""Batch → stream, in articles per second: one request of many lines, compared with pipelined calls of the same function."""

import time
from collections.abc import Iterable

from redis.asyncio import Redis

from bench.articles import Article, repeated
from bench.batches import publish
from bench.figures import Figure, Goal, compared
from bench.publishing import put_on_record, versions
from bench.servers import new_key, service, valkey
from bench.setting import Setting
from newswire.auth.credentials import Caller, Scope
from newswire.storage.redis_client import open_redis

TOGETHER = 64


async def measure(setting: Setting) -> list[Figure]:
    """Return the figures of new articles, of articles whose language must be detected, and of a repeated batch."""
    count = setting.some(5000)
    said, found, again = [], [], []
    with valkey(setting.folder / "importing") as url:
        key, caller = await new_key(url, Scope.PUBLISH)
        settings = {"NEWSWIRE_REDIS_URL": url}
        with service("ingest", settings, setting.folder / "importing.log") as ingest:
            async with open_redis(url) as redis:
                await by_batch(ingest.site, key, some(setting, 500, "warm"))
                for number in setting.steps("batch → stream", range(setting.rounds)):
                    floor = await by_function(redis, caller, some(setting, count, f"floor{number}x"))
                    sent = some(setting, count, f"ours{number}x")
                    said.append((await by_batch(ingest.site, key, sent), floor))
                    again.append((await by_batch(ingest.site, key, sent), floor))
                    unsaid = [article | {"language": None} for article in some(setting, count, f"unsaid{number}x")]
                    found.append((await by_batch(ingest.site, key, unsaid), floor))
    return [
        compared("batch → stream", "articles/s", said, Goal("at least", 0.5)),
        compared("batch → stream, language to be found", "articles/s", found),
        compared("the same batch again, nothing changed", "articles/s", again),
    ]


def some(setting: Setting, count: int, mark: str) -> list[Article]:
    """Return new articles."""
    made = repeated(setting.articles, count, mark)
    return [article | {"external_id": f"{mark}{number}"} for number, article in enumerate(made)]


async def by_batch(site: str, key: str, articles: list[Article]) -> float:
    """Send articles as one batch; return the articles per second."""
    began = time.perf_counter()
    answers = await publish(site, key, articles)
    return len(answers) / (time.perf_counter() - began)


async def by_function(redis: "Redis", caller: Caller, articles: Iterable[Article]) -> float:
    """Call the function for prepared versions; return the articles per second."""
    made = versions(articles, caller.account)
    began = time.perf_counter()
    await put_on_record(redis, made, caller, together=TOGETHER)
    return len(made) / (time.perf_counter() - began)

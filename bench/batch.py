"""``python -m bench.batch``: importing by batch, against the same function called in pipelines by one client."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import orjson
from redis.asyncio import Redis
from ulid import ULID

from bench.servers import ingest_alone
from newswire.accounts import Caller, Scope
from newswire.article import ArticleDraft
from newswire.keyspace import Keyspace
from newswire_cli.valkey import embedded_valkey
from newswire_ingest.publish import Version, next_version, utc_now
from newswire_ingest.store import ArticleStore, Claim

ARTICLES, TOGETHER = 10_000, 50
BODY = "<p>" + "The harbour board met on Tuesday and agreed on nothing but the next meeting. " * 25 + "</p>"


def article(number: int, language: str | None) -> dict[str, str]:
    said = {"language": language} if language else {}
    return {"title": f"Meeting {number}", "body": BODY, "external_id": f"cms-{number}", "category": "Town"} | said


async def by_batch(site: str, key: str, language: str | None) -> float:
    """Send all articles as one batch; return how many were published a second."""

    async def content() -> AsyncIterator[bytes]:
        for begin in range(0, ARTICLES, 100):
            lines = [orjson.dumps(article(number, language)) for number in range(begin, begin + 100)]
            yield b"\n".join(lines) + b"\n"

    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(600)) as session:
        began = time.perf_counter()
        async with session.post(f"{site}/v1/articles/batch", data=content()) as answer:
            lines = (await answer.read()).splitlines()
        seconds = time.perf_counter() - began
    assert len(lines) == ARTICLES
    assert all(orjson.loads(line)["status"] in (200, 201) for line in lines)
    return ARTICLES / seconds


async def by_function(folder: Path) -> float:
    """Call the function in pipelines, of versions made before; return how many were published a second."""
    with embedded_valkey(folder) as url:
        async with Redis.from_url(url) as redis:
            keys = Keyspace("floor")
            await redis.hset(keys.key("key", "floor"), "hash", "x")
            caller = Caller("bench", "floor", frozenset({Scope.PUBLISH}))
            store = ArticleStore(redis, keys, timedelta(hours=24))
            await store.load()
            now = utc_now()

            def version(number: int) -> Version:
                draft = ArticleDraft.model_validate(article(number, "en"))
                id_ = str(ULID()).lower()
                return next_version(draft, id_=id_, publisher="bench", site="", now=now, traceparent="")

            versions = [version(number) for number in range(ARTICLES)]
            claim = Claim(caller, now, "fingerprint")
            began = time.perf_counter()
            for begin in range(0, ARTICLES, TOGETHER):
                await asyncio.gather(*(store.create(one, claim) for one in versions[begin : begin + TOGETHER]))
            return ARTICLES / (time.perf_counter() - began)


async def measure() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        floor = await by_function(folder / "floor")
        print(f"function in pipelines of {TOGETHER}: {floor:,.0f} a second")
        with ingest_alone(folder / "ingest") as (site, key):
            rate = await by_batch(site, key, "en")
            print(f"batch: {rate:,.0f} a second, {rate / floor:.2f} of it")
            rate = await by_batch(site, key, "en")
            print(f"the same batch again, nothing changed: {rate:,.0f} a second")
        with ingest_alone(folder / "languages") as (site, key):
            rate = await by_batch(site, key, None)
            print(f"batch, language to be found: {rate:,.0f} a second, {rate / floor:.2f} of it")


if __name__ == "__main__":
    asyncio.run(measure())

"""What an archive of old texts saves and costs: `python -m bench.archive --articles 1000000 --folder /srv/somewhere`.

It loads articles of the last year directly, as publishing stores them, moves those older than 90 days to the archive, reads and
retracts some, rebuilds an index from the records, and makes and restores a backup. It prints one JSON object of figures.
"""

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import orjson
from redis.asyncio import Redis
from ulid import ULID

from bench.articles import made_up
from bench.publishing import versions
from bench.servers import valkey
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.storage.article_records import pack
from newswire.storage.document_archive import open_archive
from newswire.storage.redis_client import open_redis
from newswire.timestamps import rfc3339
from newswire_ingest.app import assemble
from newswire_ingest.archive.composition import archiver
from newswire_ingest.archive.repository import ArchiveRepository
from newswire_ingest.articles.publishing import Version
from newswire_ingest.settings import IngestSettings
from newswire_operations.backup.restore import restore_backup
from newswire_operations.backup.write import write_backup
from newswire_operations.stores import Stores
from newswire_search.index.embedded.admin import EmbeddedIndexAdmin
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.maintenance.reindexing import reindex

ACCOUNT = "Bench"
KEYS = Keyspace("newswire")
DISTINCT = 1000
CHUNK = 500
DAYS = 365
SAMPLE = 300


class Archive:
    """One run, with its figures."""

    def __init__(self, redis: "Redis", settings: IngestSettings, folder: Path) -> None:
        self.redis = redis
        self.settings = settings
        self.folder = folder
        self.figures: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note the seconds of a step."""
        began = time.perf_counter()
        yield
        self.figures[f"{name}_seconds"] = round(time.perf_counter() - began, 2)

    async def note_memory(self, name: str) -> None:
        """Note what Redis uses now."""
        self.figures[f"{name}_megabytes"] = round((await self.redis.info("memory"))["used_memory"] / 1e6, 1)

    async def load(self, count: int) -> list[str]:
        """Store articles as publishing does, spread over a year."""
        made = versions(made_up(DISTINCT), ACCOUNT)
        now = datetime.now(UTC)
        ids: list[str] = []
        for start in range(0, count, CHUNK):
            async with self.redis.pipeline(transaction=False) as pipe:
                for number in range(start, min(start + CHUNK, count)):
                    published = now - timedelta(days=DAYS * (1 - number / count))
                    ids.append(str(ULID.from_datetime(published)).lower())
                    _store(pipe, made[number % DISTINCT], ids[-1], published)
                await pipe.execute()
        return ids

    async def read_and_retract(self, ids: list[str]) -> None:
        """Read articles by id through the interface, then retract some, and delete these from the archive."""
        created = await create_key(self.redis, KEYS, ACCOUNT, {Scope.PUBLISH})
        headers = {"Authorization": f"Bearer {created.token}"}
        app = create_app([assemble(self.redis, self.settings)], self.settings, redis=self.redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http:
            for name, chosen in (("archived", ids[: len(ids) // 2]), ("in_redis", ids[-len(ids) // 10 :])):
                spent = []
                for article in random.Random(1).sample(chosen, SAMPLE):
                    began = time.perf_counter()
                    answer = await http.get(f"/v1/articles/{article}", headers=headers)
                    spent.append((time.perf_counter() - began) * 1000)
                    answer.raise_for_status()
                self.figures[f"read_{name}_median_ms"] = round(statistics.median(spent), 2)
                self.figures[f"read_{name}_p99_ms"] = round(statistics.quantiles(spent, n=100)[98], 2)
            with self.timed("retract"):
                for article in ids[:SAMPLE]:
                    (await http.delete(f"/v1/articles/{article}", headers=headers)).raise_for_status()
        with self.timed("erase"):
            while await archiver(self.redis, KEYS, self.settings).erase():
                pass
        texts = self.folder / "archive"
        self.figures["objects_of_retracted"] = sum((texts / each[-2:] / each).exists() for each in ids[:SAMPLE])

    async def rebuild_index(self) -> None:
        """Build an index from the records."""
        index = await asyncio.to_thread(EmbeddedIndex, self.folder / "index")
        with self.timed("reindex"):
            result = await reindex(
                self.redis, KEYS, EmbeddedIndexAdmin(index), lambda *_: None, archive=open_archive(self.settings)
            )
        self.figures["rejected_by_index"] = len(result.rejected)
        await index.close()

    async def back_up(self) -> Path:
        """Write a backup that names the archived texts."""
        file = self.folder / "backup"
        stores = Stores(self.redis, self.redis, KEYS)
        with self.timed("backup"):
            await write_backup(stores, self.folder / "draft", file, lambda *_: nullcontext(lambda: None))
        self.figures["backup_megabytes"] = round(file.stat().st_size / 1e6, 1)
        return file


def _store(pipe: "Redis", version: Version, article: str, published: datetime) -> None:
    moment = rfc3339(published)
    document = version.document | {"id": article, "published_at": moment, "updated_at": moment}
    made = replace(version, id=article, document=document)
    state = {"schema": 1, "id": article, "publisher": ACCOUNT, "fingerprint": "0" * 64, "created_at": moment}
    state |= {"external_id": "", "key": "bench", "updated_at": moment, "source_version": "", "published_at": moment}
    pipe.hset(KEYS.article(article), mapping=state | {"version": 1, "status": "published", "revision": 0})
    fields = {"schema": 1, "document": pack(made.document_json), "key": "bench", "write_token": made.write_token}
    entry = f"{int(published.timestamp() * 1000)}-0"
    pipe.hset(KEYS.version(article, 1), mapping=fields | {"about": made.about, "entry": entry})
    pipe.zadd(KEYS.articles, {article: int(published.timestamp() * 1000)})
    pipe.zadd(KEYS.articles_of(ACCOUNT, "published"), {article: 0})


async def measure(url: str, second_url: str, count: int, folder: Path) -> dict[str, float]:
    """Do everything once; return the figures."""
    settings = IngestSettings(redis_url=url, archive_url=(folder / "archive").as_uri(), allow_volatile=True)
    async with open_redis(url) as redis, open_redis(second_url) as second:
        run = Archive(redis, settings, folder)
        with run.timed("load"):
            ids = await run.load(count)
        await run.note_memory("before")
        with run.timed("archive"):
            run.figures["archived"] = await archiver(redis, KEYS, settings).run(lambda *_: None, asyncio.Event())
        await run.note_memory("after")
        await run.read_and_retract(ids)
        await run.rebuild_index()
        file = await run.back_up()
        with run.timed("restore"):
            await restore_backup(Stores(second, second, KEYS), file, lambda: None)
        run.figures["restored_archived"] = (await ArchiveRepository(second, KEYS).state()).documents
        run.redis = second
        await run.note_memory("restored")
        run.figures["articles"] = count
        return run.figures


def main() -> None:
    """Measure with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=200_000)
    parser.add_argument(
        "--folder", type=Path, required=True, help="a new folder for the archive, an index and a backup"
    )
    given = parser.parse_args()
    given.folder.mkdir(parents=True)
    with valkey(given.folder / "valkey") as url, valkey(given.folder / "second-valkey") as second_url:
        figures = asyncio.run(measure(url, second_url, given.articles, given.folder.absolute()))
    os.write(1, orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()

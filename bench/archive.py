"""What an archive of old texts saves and costs: `python -m bench.archive --articles 1000000 --folder /srv/somewhere`.

It loads articles of the last year directly, as publishing stores them, moves those older than 90 days to the archive, reads and
retracts some, rebuilds an index from the records, and makes and restores a backup. It prints one JSON object of figures, which
is also in the file `figures.json` of the folder: the same command continues an interrupted run with the step it was in.
"""

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
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
from newswire.storage.article_records import article_ids, pack
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
PROCESSES = 2
DAYS = 365
SAMPLE = 300


class Archive:
    """One run, with its figures."""

    def __init__(self, redis: "Redis", second: "Redis", settings: IngestSettings, folder: Path, count: int) -> None:
        self.redis = redis
        self.second = second
        self.settings = settings
        self.folder = folder
        self.count = count
        self._file = folder / "figures.json"
        self.figures: dict[str, float] = orjson.loads(self._file.read_bytes()) if self._file.exists() else {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note the seconds of a step."""
        began = time.perf_counter()
        yield
        self.figures[f"{name}_seconds"] = round(time.perf_counter() - began, 2)

    async def run(self, only: Sequence[str]) -> None:
        """Do the steps that no earlier run has completed."""
        steps = {
            "load": self.load,
            "archive": self.archive,
            "read": self.read_and_retract,
            "reindex": self.rebuild_index,
            "backup": self.back_up,
            "restore": self.restore,
        }
        for name, step in steps.items():
            if (not only or name in only) and f"{name}_seconds" not in self.figures:
                with self.timed(name):
                    await step()
                self._file.write_bytes(orjson.dumps(self.figures, option=orjson.OPT_INDENT_2))

    async def load(self) -> None:
        """Store articles as publishing does, spread over a year."""
        size = -(-self.count // PROCESSES)
        slices = [range(start, min(start + size, self.count)) for start in range(0, self.count, size)]
        with ProcessPoolExecutor(PROCESSES) as processes:
            list(processes.map(partial(_load, self.settings.redis_url.get_secret_value(), self.count), slices))
        self.figures |= {"articles": self.count, "before_megabytes": await _megabytes(self.redis)}

    async def archive(self) -> None:
        """Move old texts to the archive."""
        await archiver(self.redis, KEYS, self.settings).run(lambda *_: None, asyncio.Event())
        state = await ArchiveRepository(self.redis, KEYS).state()
        self.figures |= {"archived": state.documents, "after_megabytes": await _megabytes(self.redis)}

    async def read_and_retract(self) -> None:
        """Read articles by id through the interface, then retract some, and delete these from the archive."""
        ids = [article async for article in article_ids(self.redis, KEYS, 5000)]
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
        result = await reindex(
            self.redis, KEYS, EmbeddedIndexAdmin(index), lambda *_: None, archive=open_archive(self.settings)
        )
        self.figures["rejected_by_index"] = len(result.rejected)
        await index.close()

    async def back_up(self) -> None:
        """Write a backup that names the archived texts."""
        stores = Stores(self.redis, self.redis, KEYS)
        await write_backup(stores, self.folder / "draft", self._backup, lambda *_: nullcontext(lambda: None))
        self.figures["backup_megabytes"] = round(self._backup.stat().st_size / 1e6, 1)

    async def restore(self) -> None:
        """Restore the backup into another, empty server."""
        await restore_backup(Stores(self.second, self.second, KEYS), self._backup, lambda: None)
        self.figures["restored_archived"] = (await ArchiveRepository(self.second, KEYS).state()).documents
        self.figures["restored_megabytes"] = await _megabytes(self.second)

    @property
    def _backup(self) -> Path:
        return self.folder / "backup"


async def _megabytes(redis: "Redis") -> float:
    """Return what Redis uses now."""
    return round(float((await redis.info("memory"))["used_memory"]) / 1e6, 1)


def _load(url: str, count: int, numbers: range) -> None:
    """Store some of the articles, in a process of its own: most of the work is composing them."""
    made = versions(made_up(DISTINCT), ACCOUNT)
    now = datetime.now(UTC)

    async def store() -> None:
        async with open_redis(url) as redis:
            for start in range(0, len(numbers), CHUNK):
                async with redis.pipeline(transaction=False) as pipe:
                    for number in numbers[start : start + CHUNK]:
                        published = now - timedelta(days=DAYS * (1 - number / count))
                        _store(pipe, made[number % DISTINCT], str(ULID.from_datetime(published)).lower(), published)
                    await pipe.execute()

    asyncio.run(store())


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


async def measure(url: str, second_url: str, count: int, folder: Path, only: Sequence[str]) -> dict[str, float]:
    """Do everything once; return the figures."""
    settings = IngestSettings(redis_url=url, archive_url=(folder / "archive").as_uri(), allow_volatile=True)
    async with open_redis(url) as redis, open_redis(second_url) as second:
        run = Archive(redis, second, settings, folder, count)
        await run.run(only)
        return run.figures


def main() -> None:
    """Measure with servers of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=200_000)
    parser.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="a new folder for the archive, an index and a backup, or that of before",
    )
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="STEP", help="load, archive, read, reindex, backup, restore"
    )
    given = parser.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with valkey(folder / "valkey") as url, valkey(folder / "second-valkey") as second_url:
        figures = asyncio.run(measure(url, second_url, given.articles, folder, given.only))
    os.write(1, orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()

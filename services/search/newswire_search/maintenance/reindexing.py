"""Builds a new index from the records beside the one in use, while articles are written and read.

1. The consumer group `FOLLOWER` is created at the end of the stream. It keeps the position up to which the new index has followed
   the stream and, as every group does, keeps the stream from being trimmed past it.
2. Every article on record is written to the new index: its version, or its tombstone; scheduled articles are not.
3. Events that were added to the stream since then are written as well. An event and its record are written in one atomic step, so
   an article that changed before the position was noted is in the records, which are read after it, and one that changed later is
   on the stream. A retraction deletes earlier entries of its article from the stream and appends its own: the entries missed
   because of that must not be shown anyway. Every write compares versions, so neither order nor repetition matters.
4. The new index is compared with the records and repaired.
5. Writes are paused: from then on nothing is acknowledged into the old index, and writes in progress complete. Everything ever
   acknowledged is before the end of the stream; the new index follows once more up to there. Then it replaces the old one in one
   atomic step, and writers continue with the new one. So it lacks nothing that the old index showed, and no entry after the swap
   went anywhere else.

A killed reindex continues where it was: position and progress are in Redis. The old index is kept until it is dropped.
See docs/decisions/0008.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.events import article_event
from newswire.keys import Keyspace
from newswire.messaging.messages import DependencyUnavailableError
from newswire.messaging.stream_position import newest_entry
from newswire.storage.article_records import article_pages
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire_search.index.admin import IndexAdmin, IndexContents, StagingIndex
from newswire_search.index.models import Operation, RejectedOperation, operation_for
from newswire_search.indexing.from_records import operations_from_records
from newswire_search.maintenance.reindex_state import (
    FOLLOWER,
    LEASE_SECONDS,
    Phase,
    ReindexProgress,
    clear_reindex,
    exclusive,
    mark_complete,
    read_progress,
)
from newswire_search.maintenance.verification import Comparison

log = logging.getLogger(__name__)

PAGE = 500
MAX_COMPARISON_ROUNDS = 8
"""How often an article is compared again that changes during the comparison."""
MAX_ENTRIES_WHILE_PAUSED = 200
"""This many entries are written within a moment, for which writes may be paused."""

ProgressCallback = Callable[[Phase, int, int], None]
"""Called with the phase, the number of articles done, and the total."""


class ReindexStoppedError(Exception):
    """The process is stopping; the next one continues the reindex."""


class IndexVerificationError(Exception):
    """The new index differs from the records and is not put into use; the message describes the difference."""


@dataclass
class ReindexResult:
    """The result of a reindex."""

    name: str
    """The name of the index in use."""
    articles: int
    rejected: set[str] = field(default_factory=set)
    """Ids of articles that the index can never accept."""
    others: list[str] = field(default_factory=list)
    """Indexes that are kept until they are dropped."""


async def reindex(
    redis: "Redis",
    keys: Keyspace,
    admin: IndexAdmin,
    report_progress: ProgressCallback,
    *,
    stopping: asyncio.Event | None = None,
    wait_seconds: float = LEASE_SECONDS + 5,
    archive: DocumentArchive = NO_ARCHIVE,
) -> ReindexResult:
    """Build a new index from the records and put it into use, or continue an interrupted reindex.

    Waits up to ``wait_seconds`` for another process that is reindexing.

    Raises:
        ReindexInProgressError: another process is still reindexing.
        IndexVerificationError: the new index differs from the records.
        ReindexStoppedError: ``stopping`` was set; call again to continue.
        newswire.messaging.messages.DependencyUnavailableError: the index is down; call again to continue.
        newswire.storage.document_archive.DocumentUnavailableError: the archive of old texts is; call again to continue.
    """
    async with exclusive(redis, keys, wait_seconds):
        return await _Reindex(redis, keys, admin, report_progress, stopping or asyncio.Event(), archive).run()


async def abandon(redis: "Redis", keys: Keyspace, admin: IndexAdmin) -> str | None:
    """Abandon an interrupted reindex: delete its index and let writers continue; return the name of the deleted index.

    Raises:
        ReindexInProgressError: a process is still reindexing.
    """
    async with exclusive(redis, keys, LEASE_SECONDS + 5):
        progress = await read_progress(redis, keys)
        await admin.resume_writes()
        target = progress.target if progress else None
        if target is not None and target in await admin.unused():
            await admin.drop(target)
        await clear_reindex(redis, keys)
        return target


class _Reindex:
    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        admin: IndexAdmin,
        report_progress: ProgressCallback,
        stopping: asyncio.Event,
        archive: DocumentArchive,
    ) -> None:
        self._archive = archive
        self._redis = redis
        self._keys = keys
        self._admin = admin
        self._report_progress = report_progress
        self._stopping = stopping
        self._rejected: set[str] = set()
        self._total = 0

    async def run(self) -> ReindexResult:
        progress = await read_progress(self._redis, self._keys) or ReindexProgress()
        if progress.target is None or progress.target != await self._admin.in_use():
            staging = await self._open(progress)
            try:
                await self._fill(staging)
                await self._swap(staging)
            finally:
                await staging.close()
        else:  # it was interrupted after the swap
            await self._follow(self._admin)
        await clear_reindex(self._redis, self._keys)
        name = await self._admin.in_use() or ""
        return ReindexResult(name, self._total, self._rejected, await self._admin.unused())

    async def _open(self, progress: ReindexProgress) -> StagingIndex:
        """Open the staging index; start again if the index or the position on the stream is lost."""
        known = progress.target in await self._admin.unused()
        staging = await self._admin.open_staging(progress.target if known else None)
        if known and await self._position() is not None:
            await self._redis.hdel(self._keys.reindex, "error")
        else:
            await self._create_follower()
            async with self._redis.pipeline(transaction=True) as pipe:
                # In one transaction: a command that waits takes a missing key for the end of the reindex.
                pipe.delete(self._keys.reindex)
                pipe.hset(self._keys.reindex, mapping={"target": staging.name, "phase": "replaying"})
                await pipe.execute()
        return staging

    async def _create_follower(self) -> None:
        with suppress(ResponseError):  # it does not exist
            await self._redis.xgroup_destroy(self._keys.stream, FOLLOWER)
        await self._redis.xgroup_create(self._keys.stream, FOLLOWER, id="$", mkstream=True)

    async def _fill(self, staging: StagingIndex) -> None:
        progress = await read_progress(self._redis, self._keys) or ReindexProgress()
        self._total = await self._redis.zcard(self._keys.articles)
        if progress.phase == "replaying":
            await self._replay(staging, progress)
        await self._save_progress("following", 0)
        while await self._follow(staging) > MAX_ENTRIES_WHILE_PAUSED:
            pass
        await staging.finish()
        await self._compare(staging)

    async def _replay(self, staging: StagingIndex, progress: ReindexProgress) -> None:
        done = progress.done
        async with aclosing(self._read_ahead(progress.since)) as pages:
            async for operations, count, since in pages:
                await self._write(staging, operations)
                done = min(done + count, self._total)
                await self._save_progress("replaying", done, since=repr(since))

    async def _read_ahead(self, since: float) -> AsyncGenerator[tuple[list[Operation], int, float]]:
        """Yield the operations of each page of articles, their number, and its end; the next page is read meanwhile."""
        pages = article_pages(self._redis, self._keys, PAGE, since=since)

        async def read() -> tuple[list[Operation], int, float] | None:
            page = await anext(pages, None)
            if page is None:
                return None
            ids, end = page
            return await operations_from_records(self._redis, self._keys, ids, self._archive), len(ids), end

        reading = asyncio.create_task(read())
        try:
            while (page := await reading) is not None:
                reading = asyncio.create_task(read())
                yield page
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _follow(self, index: IndexContents) -> int:
        """Write the entries that were added to the stream; return how many there were."""
        position = await self._position()
        if position is None:
            raise DependencyUnavailableError("the stream was replaced during the reindex: run it again")
        end = await newest_entry(self._redis, self._keys.stream)
        count = 0
        while page := await self._redis.xrange(self._keys.stream, f"({position}", end, count=PAGE):
            operations = [operation for _, fields in page if (operation := _operation(fields)) is not None]
            await self._write(index, operations)
            count += len(page)
            position = page[-1][0].decode()
            await self._redis.xgroup_setid(self._keys.stream, FOLLOWER, position)
        return count

    async def _position(self) -> str | None:
        """Return the last stream id that the new index has followed, or None if it is lost."""
        try:
            groups = await self._redis.xinfo_groups(self._keys.stream)
        except ResponseError:  # the stream does not exist
            return None
        positions = [info["last-delivered-id"] for info in groups if info["name"] == FOLLOWER.encode()]
        return positions[0].decode() if positions else None

    async def _write(self, index: IndexContents, operations: list[Operation]) -> None:
        if self._stopping.is_set():
            raise ReindexStoppedError
        if not operations:
            return
        results = await index.write(operations)
        for operation, result in zip(operations, results, strict=True):
            if isinstance(result, RejectedOperation):
                self._rejected.add(operation.id)
                log.error("the index rejects an article", extra={"article": operation.id, "reason": result.reason})

    async def _compare(self, staging: StagingIndex) -> None:
        """Repair differences from the records.

        Raises:
            IndexVerificationError: differences remain.
        """
        await self._save_progress("comparing", 0)
        comparison = Comparison(self._redis, self._keys, staging, self._archive)
        async for ids in comparison.suspects(lambda done: self._report_progress("comparing", done, self._total)):
            differing = ids
            for _ in range(MAX_COMPARISON_ROUNDS):
                self._rejected |= await comparison.repair(differing)
                await self._follow(staging)
                await staging.refresh()
                found = await comparison.differences(differing)
                differing = [difference.id for difference in found if difference.id not in self._rejected]
                if not differing:
                    break
            else:
                raise IndexVerificationError(
                    f"{len(differing)} articles differ from the records: {'; '.join(map(str, found[:3]))}"
                )

    async def _swap(self, staging: StagingIndex) -> None:
        while await self._follow(staging) > MAX_ENTRIES_WHILE_PAUSED:
            pass
        await self._save_progress("swapping", self._total)
        identity = await staging.identity()
        try:
            await self._admin.pause_writes()
            await self._follow(staging)
            await staging.refresh()
            await mark_complete(self._redis, self._keys, str(identity))
            await self._admin.swap(staging)
        except BaseException:
            if await self._admin.in_use() != staging.name:
                await self._admin.resume_writes()
            raise
        log.info("a new index is in use", extra={"index": staging.name})

    async def _save_progress(self, phase: Phase, done: int, **more: str) -> None:
        state = {"phase": phase, "done": str(done), "total": str(self._total), **more}
        await self._redis.hset(self._keys.reindex, mapping=state)
        self._report_progress(phase, done, self._total)


def _operation(fields: dict[bytes, bytes]) -> Operation | None:
    """Return the operation of a stream entry; None for entries that the consumer skips or moves to the dead letters."""
    read = article_event(fields)
    return None if read is None else operation_for(read[1], read[0].data)

"""Making a new index from the records, beside the one in use, while articles are written and read all the time.

1. The consumer group `FOLLOWER` is made at the end of the stream. It keeps the place up to which the new index has followed,
   and, as every group does, the stream from being trimmed past it.
2. Every article on record is written into the new index: its version, or its tombstone; scheduled ones are not.
3. What has come onto the stream since is written as well. Each event is one atomic step with its record, so an article that
   changed before the place was noted is in the records that are read after it, and one that changed later is on the stream.
   A retraction deletes earlier entries of its article from the stream and appends its own: what is missed by that, nobody
   may see. Versions are compared at every write, so the order of all this does not matter, nor whether it is done twice.
4. The new index is compared with the records, and repaired.
5. Writers are held: from then on nothing is acknowledged into the old index, and what they had in hand is written. All they
   have ever acknowledged stands before the end of the stream; up to there the new index follows once more. Then it is put in
   place of the old one in one atomic step, and writers go on, into the new one. So it lacks nothing that the old one showed,
   and no entry after the swap has gone anywhere else.

Killed at any point, it is taken up where it was: place and progress are in Redis. The old index stays until it is dropped.
See docs/decisions/0008.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from redis.asyncio import Redis
from redis.exceptions import LockError, RedisError, ResponseError

from newswire.concurrency.backoff import pause
from newswire.events import article_event
from newswire.keys import Keyspace
from newswire.messaging.messages import DependencyUnavailableError
from newswire.messaging.stream_position import newest_entry
from newswire.storage.article_records import article_pages
from newswire_search.index.admin import IndexAdmin, IndexContents, StagingIndex
from newswire_search.index.port import Operation, RejectedOperation, operation
from newswire_search.indexing.from_records import operations_from_records
from newswire_search.maintenance.verification import Comparison

log = logging.getLogger(__name__)

FOLLOWER = "reindex"
PAGE = 500
LEASE_SECONDS = 12.0
"""How long a reindexing that was killed keeps others off."""
MAX_COMPARISON_ROUNDS = 8
"""How often an article is looked at again that changes while it is compared."""
MAX_ENTRIES_WHILE_PAUSED = 200
"""So many entries are followed in a moment: writers may be held for that."""

Phase = Literal["replaying", "following", "comparing", "swapping"]
ProgressCallback = Callable[[Phase, int, int], None]
"""Called with how many articles of how many are done, in which phase."""


class ReindexInProgressError(Exception):
    """Another process is making a new index, or was until a moment ago."""


class ReindexStoppedError(Exception):
    """The process is to end; the work is taken up by the next one."""


class IndexVerificationError(Exception):
    """The new index does not hold what is on record, and is not put in place; the message says what is wrong."""


@dataclass
class ReindexResult:
    """What came of it."""

    name: str
    """Of the index that is in use now."""
    articles: int
    rejected: set[str] = field(default_factory=set)
    """Ids of articles that the index can never take."""
    others: list[str] = field(default_factory=list)
    """Indexes that are kept until they are dropped."""


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """How far a reindexing has come, as Redis keeps it."""

    target: str | None = None
    """The name of the staging index, once there is one."""
    phase: Phase = "replaying"
    since: float = float("-inf")
    """Up to which article all are replayed, by the time of creation."""
    done: int = 0
    total: int = 0
    error: str | None = None
    """Why the last attempt was given up."""


async def read_progress(redis: "Redis", keys: Keyspace) -> ReindexProgress | None:
    """Return how far a reindexing has come that was asked for and has not ended, or None."""
    found: Mapping[bytes, bytes] = await redis.hgetall(keys.reindex)
    if not found:
        return None
    text = {name.decode(): value.decode() for name, value in found.items()}
    phase = text.get("phase", "replaying")
    return ReindexProgress(
        target=text.get("target"),
        phase=phase,  # type: ignore[arg-type]  # nobody else writes it
        since=float(text.get("since", "-inf")),
        done=int(text.get("done", "0")),
        total=int(text.get("total", "0")),
        error=text.get("error") or None,
    )


async def request_reindex(redis: "Redis", keys: Keyspace) -> None:
    """Have the process that holds the index make a new one; one that is under way goes on."""
    await redis.hdel(keys.reindex, "error")
    await redis.hsetnx(keys.reindex, "phase", "replaying")


async def missing_articles_reason(redis: "Redis", keys: Keyspace, group: str, admin: IndexAdmin) -> str | None:
    """Tell why the index in use lacks articles that are on record, or None where it does not.

    It does if it is another one than that which the consumer group has written to: somebody has deleted that, or it was
    made by another release. Which one that is, is written down when an index comes into use.
    """
    identity = await admin.identity()
    if identity is None or await redis.sismember(keys.complete_indexes, identity):
        return None
    if not await redis.exists(keys.complete_indexes) and not (
        await redis.exists(keys.checkpoint(group)) and await redis.exists(keys.articles) and await admin.is_empty()
    ):
        await redis.sadd(keys.complete_indexes, identity)
        return None
    return "the index was made anew and lacks articles that are on record: run `newswire reindex`"


async def reindex(
    redis: "Redis",
    keys: Keyspace,
    admin: IndexAdmin,
    report_progress: ProgressCallback,
    *,
    stopping: asyncio.Event | None = None,
    wait_seconds: float = LEASE_SECONDS + 5,
) -> ReindexResult:
    """Make a new index from the records and put it in place, or take up what was broken off.

    Waits ``wait_seconds`` seconds for another process that does so.

    Raises:
        ReindexInProgressError: another process still does so.
        IndexVerificationError: the new index does not hold what it should.
        ReindexStoppedError: ``stopping`` was set; a further call takes it up.
        newswire.messaging.messages.DependencyUnavailableError: the index is down; likewise.
    """
    async with _alone(redis, keys, wait_seconds):
        return await _Reindexing(redis, keys, admin, report_progress, stopping or asyncio.Event()).run()


async def abandon(redis: "Redis", keys: Keyspace, admin: IndexAdmin) -> str | None:
    """Give up a reindexing that was broken off: delete its index, let writers go on; return the name of what is deleted.

    Raises:
        ReindexInProgressError: a process still works at it.
    """
    async with _alone(redis, keys, LEASE_SECONDS + 5):
        progress = await read_progress(redis, keys)
        await admin.resume_writes()
        target = progress.target if progress else None
        if target is not None and target in await admin.unused():
            await admin.drop(target)
        await _forget(redis, keys)
        return target


class _Reindexing:
    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        admin: IndexAdmin,
        report_progress: ProgressCallback,
        stopping: asyncio.Event,
    ) -> None:
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
        else:  # it was broken off after the swap
            await self._follow(self._admin)
        await _forget(self._redis, self._keys)
        name = await self._admin.in_use() or ""
        return ReindexResult(name, self._total, self._rejected, await self._admin.unused())

    async def _open(self, progress: ReindexProgress) -> StagingIndex:
        """Open the staging index; begin at the beginning where it, or the place on the stream, is lost."""
        known = progress.target in await self._admin.unused()
        staging = await self._admin.open_staging(progress.target if known else None)
        if known and await self._place() is not None:
            await self._redis.hdel(self._keys.reindex, "error")
        else:
            await self._make_follower()
            async with self._redis.pipeline(transaction=True) as pipe:
                # In one step: without the key, a command that waits takes the reindexing for ended.
                pipe.delete(self._keys.reindex)
                pipe.hset(self._keys.reindex, mapping={"target": staging.name, "phase": "replaying"})
                await pipe.execute()
        return staging

    async def _make_follower(self) -> None:
        with suppress(ResponseError):  # there is none
            await self._redis.xgroup_destroy(self._keys.stream, FOLLOWER)
        await self._redis.xgroup_create(self._keys.stream, FOLLOWER, id="$", mkstream=True)

    async def _fill(self, staging: StagingIndex) -> None:
        progress = await read_progress(self._redis, self._keys) or ReindexProgress()
        self._total = await self._redis.zcard(self._keys.articles)
        if progress.phase == "replaying":
            await self._replay(staging, progress)
        await self._say("following", 0)
        while await self._follow(staging) > MAX_ENTRIES_WHILE_PAUSED:
            pass
        await staging.finish()
        await self._compare(staging)

    async def _replay(self, staging: StagingIndex, progress: ReindexProgress) -> None:
        done = progress.done
        async for ids, since in article_pages(self._redis, self._keys, PAGE, since=progress.since):
            await self._write(staging, await operations_from_records(self._redis, self._keys, ids))
            done = min(done + len(ids), self._total)
            await self._say("replaying", done, since=repr(since))

    async def _follow(self, staging: IndexContents) -> int:
        """Write what has come onto the stream; return how many entries that were."""
        place = await self._place()
        if place is None:
            raise DependencyUnavailableError("the stream was replaced meanwhile: begin again")
        end = await newest_entry(self._redis, self._keys.stream)
        count = 0
        while page := await self._redis.xrange(self._keys.stream, f"({place}", end, count=PAGE):
            operations = [operation for _, fields in page if (operation := _operation(fields)) is not None]
            await self._write(staging, operations)
            count += len(page)
            place = page[-1][0].decode()
            await self._redis.xgroup_setid(self._keys.stream, FOLLOWER, place)
        return count

    async def _place(self) -> str | None:
        try:
            groups = await self._redis.xinfo_groups(self._keys.stream)
        except ResponseError:  # there is no stream
            return None
        places = [info["last-delivered-id"] for info in groups if info["name"] == FOLLOWER.encode()]
        return places[0].decode() if places else None

    async def _write(self, staging: IndexContents, operations: list[Operation]) -> None:
        if self._stopping.is_set():
            raise ReindexStoppedError
        if not operations:
            return
        results = await staging.write(operations)
        for done, result in zip(operations, results, strict=True):
            if isinstance(result, RejectedOperation):
                self._rejected.add(done.id)
                log.error("an article cannot be indexed", extra={"article": done.id, "reason": result.reason})

    async def _compare(self, staging: StagingIndex) -> None:
        """Repair what differs from the records.

        Raises:
            IndexVerificationError: something differs still.
        """
        await self._say("comparing", 0)
        comparison = Comparison(self._redis, self._keys, staging)
        async for ids in comparison.suspects(lambda done: self._report_progress("comparing", done, self._total)):
            wrong = ids
            for _ in range(MAX_COMPARISON_ROUNDS):
                self._rejected |= await comparison.repair(wrong)
                await self._follow(staging)
                await staging.refresh()
                found = await comparison.differences(wrong)
                wrong = [difference.id for difference in found if difference.id not in self._rejected]
                if not wrong:
                    break
            else:
                raise IndexVerificationError(
                    f"{len(wrong)} articles differ from the records: {'; '.join(map(str, found[:3]))}"
                )

    async def _swap(self, staging: StagingIndex) -> None:
        while await self._follow(staging) > MAX_ENTRIES_WHILE_PAUSED:
            pass
        await self._say("swapping", self._total)
        identity = await staging.identity()
        try:
            await self._admin.pause_writes()
            await self._follow(staging)
            await staging.refresh()
            await self._redis.sadd(self._keys.complete_indexes, str(identity))
            await self._admin.swap(staging)
        except BaseException:
            if await self._admin.in_use() != staging.name:
                await self._admin.resume_writes()
            raise
        log.info("a new index is in use", extra={"index": staging.name})

    async def _say(self, phase: Phase, done: int, **more: str) -> None:
        state = {"phase": phase, "done": str(done), "total": str(self._total), **more}
        await self._redis.hset(self._keys.reindex, mapping=state)
        self._report_progress(phase, done, self._total)


async def _forget(redis: "Redis", keys: Keyspace) -> None:
    with suppress(ResponseError):  # there is no stream
        await redis.xgroup_destroy(keys.stream, FOLLOWER)
    await redis.delete(keys.reindex)


def _operation(fields: dict[bytes, bytes]) -> Operation | None:
    """Return what an entry is to do; None for what the consumer skips too, or lays among the dead letters."""
    read = article_event(fields)
    return None if read is None else operation(read[1], read[0].data)


@asynccontextmanager
async def _alone(redis: "Redis", keys: Keyspace, wait_seconds: float) -> AsyncIterator[None]:
    """Keep other processes off, for as long as this one lives.

    Raises:
        ReindexInProgressError: one is at it and does not end within ``wait_seconds`` seconds.
    """
    lock = redis.lock(f"{keys.reindex}:lock", timeout=LEASE_SECONDS, sleep=0.2, thread_local=False)
    if not await lock.acquire(blocking=wait_seconds > 0, blocking_timeout=wait_seconds):
        raise ReindexInProgressError("another process makes a new index already")
    ended = asyncio.Event()

    async def renew() -> None:
        while not await pause(ended, LEASE_SECONDS / 4):
            try:
                await lock.reacquire()
            except (LockError, RedisError, OSError) as error:
                # Two at once do no harm: each write is compared by its version, and the swap is one step.
                log.warning("the lease of the reindexing was not renewed", extra={"reason": str(error)})

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        ended.set()
        await renewing
        with suppress(LockError, RedisError, OSError):
            await lock.release()

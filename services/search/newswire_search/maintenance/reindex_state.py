"""The state of a reindex in Redis: its progress, its lock, and which indexes are complete."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis
from redis.exceptions import LockError, RedisError, ResponseError

from newswire.concurrency.backoff import pause
from newswire.keys import Keyspace
from newswire_search.index.admin import IndexAdmin

log = logging.getLogger(__name__)

FOLLOWER = "reindex"
"""The consumer group that keeps the position of the new index on the stream."""
LEASE_SECONDS = 12.0
"""How long after a reindex was killed another process may continue it."""

Phase = Literal["replaying", "following", "comparing", "swapping"]


class ReindexInProgressError(Exception):
    """Another process is reindexing, or was until a moment ago."""


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """The progress of a reindex, as stored in Redis."""

    target: str | None = None
    """The name of the staging index, once there is one."""
    phase: Phase = "replaying"
    since: float = float("-inf")
    """The time of creation up to which all articles are replayed."""
    done: int = 0
    total: int = 0
    error: str | None = None
    """Why the last attempt failed."""


async def read_progress(redis: "Redis", keys: Keyspace) -> ReindexProgress | None:
    """Return the progress of a reindex that was requested and has not ended, or None."""
    found: Mapping[bytes, bytes] = await redis.hgetall(keys.reindex)
    if not found:
        return None
    text = {name.decode(): value.decode() for name, value in found.items()}
    phase = text.get("phase", "replaying")
    return ReindexProgress(
        target=text.get("target"),
        phase=phase,  # type: ignore[arg-type]  # only this package writes it
        since=float(text.get("since", "-inf")),
        done=int(text.get("done", "0")),
        total=int(text.get("total", "0")),
        error=text.get("error") or None,
    )


async def request_reindex(redis: "Redis", keys: Keyspace) -> None:
    """Request that the process that has the index open builds a new one; a reindex in progress continues."""
    await redis.hdel(keys.reindex, "error")
    await redis.hsetnx(keys.reindex, "phase", "replaying")


async def clear_reindex(redis: "Redis", keys: Keyspace) -> None:
    """Remove the state of a reindex."""
    with suppress(ResponseError):  # the stream does not exist
        await redis.xgroup_destroy(keys.stream, FOLLOWER)
    await redis.delete(keys.reindex)


async def missing_articles_reason(redis: "Redis", keys: Keyspace, group: str, admin: IndexAdmin) -> str | None:
    """Return why the index in use lacks articles that are on record, or None if it is complete.

    It is incomplete if it is not the index that the consumer group has written to: that one was deleted, or another release
    made this one, or it is a restored snapshot. The identity of an index is recorded when it is put into use, and when a
    comparison has found no difference.
    """
    identity = await admin.identity()
    if identity is None or await redis.sismember(keys.complete_indexes, identity):
        return None
    if not await redis.exists(keys.complete_indexes) and not (
        await redis.exists(keys.checkpoint(group)) and await redis.exists(keys.articles) and await admin.is_empty()
    ):
        await redis.sadd(keys.complete_indexes, identity)
        return None
    return (
        "the index was recreated and lacks articles that are on record: run `newswire reindex`, "
        "or `newswire verify --repair` if a snapshot of it was restored"
    )


async def mark_complete(redis: "Redis", keys: Keyspace, identity: str) -> None:
    """Record that the index with this identity has every article on record (`missing_articles_reason`)."""
    await redis.sadd(keys.complete_indexes, identity)


@asynccontextmanager
async def exclusive(redis: "Redis", keys: Keyspace, wait_seconds: float) -> AsyncIterator[None]:
    """Exclude other processes from reindexing while this block runs.

    Raises:
        ReindexInProgressError: another process is reindexing and does not end within ``wait_seconds``.
    """
    lock = redis.lock(f"{keys.reindex}:lock", timeout=LEASE_SECONDS, sleep=0.2, thread_local=False)
    if not await lock.acquire(blocking=wait_seconds > 0, blocking_timeout=wait_seconds):
        raise ReindexInProgressError("another process is reindexing already")
    ended = asyncio.Event()

    async def renew() -> None:
        while not await pause(ended, LEASE_SECONDS / 4):
            try:
                await lock.reacquire()
            except (LockError, RedisError, OSError) as error:
                # Two processes at once do no harm: each write compares versions, and the swap is atomic.
                log.warning("could not renew the reindex lock", extra={"reason": str(error)})

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        ended.set()
        await renewing
        with suppress(LockError, RedisError, OSError):
            await lock.release()

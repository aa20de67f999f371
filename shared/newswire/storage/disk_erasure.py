"""Rewrites the append-only file of a Redis by age, so that erased text does not stay in it for long.

Redis appends its writes to that file; a retracted article stays readable in its older parts until the file is rewritten from
memory. Redis itself rewrites by size only, which a quiet installation never reaches.

The file is rewritten once the first erasure since the last rewrite is older than the setting: at most once in that time.
"""

import asyncio
import logging
import time
from datetime import timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from newswire.concurrency.backoff import pause
from newswire.keys import Keyspace
from newswire.observability import metrics
from newswire.timestamps import redis_time_ms

log = logging.getLogger(__name__)

SECONDS_BETWEEN_CHECKS = 60.0
SETTLING_MS = 60_000
"""Erasures so shortly before a rewrite are not considered covered by it: their consequences are erased a moment later."""
REWRITE_SECONDS = 3600.0
"""A rewrite that takes longer is considered failed, and requested again."""
SECONDS_BETWEEN_POLLS = 0.2


class RewriteNotAllowedError(Exception):
    """The server does not allow its client to rewrite the file; the message is the server's reply."""


class RewriteFailedError(Exception):
    """The server could not rewrite its file; the message gives the reason, if known."""


async def note_erasure(records: "Redis", keys: Keyspace) -> None:
    """Record that text was erased just now. Retractions do so themselves, in the same step (`publish.lua`)."""
    await records.set(keys.last_erasure, await redis_time_ms(records))


async def rewrite_if_due(
    redis: "Redis", records: "Redis", keys: Keyspace, older_than: timedelta, *, store: str, allowed: bool = True
) -> bool:
    """Rewrite the file of a server if erased text has been in it for too long; return whether it was rewritten.

    ``records`` is the Redis in which erasures are recorded, ``store`` the name of the server in the state that is stored there.
    ``allowed``: False if the server has lately refused; then only the metric is set.

    Raises:
        RewriteNotAllowedError: the server does not allow its client to do that.
        RewriteFailedError: the rewrite failed.
    """
    state = (keys.deliveries if store == "deliveries" else keys).disk_erasure(store)
    last = int(await records.get(keys.last_erasure) or 0)
    covered = int(await redis.hget(state, "covered_until") or 0)
    overdue = metrics.disk_erasure_overdue.labels(store)
    overdue.set(0)
    if last <= covered:
        return False
    await redis.hsetnx(state, "waiting_since", last)
    now = await redis_time_ms(records)
    due = int(await redis.hget(state, "waiting_since") or last) + int(older_than.total_seconds() * 1000)
    if now < due:
        return False
    overdue.set((now - due) / 1000)
    if not allowed:
        return False
    if not await redis.set(f"{state}:lease", "1", nx=True, ex=int(REWRITE_SECONDS)):
        return False  # another replica is rewriting it
    try:
        await rewrite(redis)
        await redis.hset(state, "covered_until", now - SETTLING_MS)
        await redis.hdel(state, "waiting_since")
    finally:
        await redis.delete(f"{state}:lease")
    overdue.set(0)
    log.info("the append-only file was rewritten: text erased before is no longer in it", extra={"store": store})
    return True


async def rewrite(redis: "Redis") -> None:
    """Rewrite the append-only file of a server, and wait until that is done; do nothing if the server has no such file.

    Raises:
        RewriteNotAllowedError: the server does not allow its client to do that.
        RewriteFailedError: the rewrite failed.
    """
    try:
        if not (await redis.info("persistence")).get("aof_enabled"):
            return
        await _until_idle(redis)  # one that is already running began before the erasure
        await redis.bgrewriteaof()
    except ResponseError as error:
        raise RewriteNotAllowedError(str(error)) from error
    status = await _until_idle(redis)
    if status != "ok":
        raise RewriteFailedError(f"the last rewrite ended with {status!r}; the server's own log has the reason")


async def keep_rewriting(
    redis: "Redis", records: "Redis", keys: Keyspace, older_than: timedelta, stopping: asyncio.Event, *, store: str
) -> None:
    """Rewrite the file whenever it is due, until stopping is set; do nothing if ``older_than`` is zero."""
    refused_until = 0.0
    while older_than and not await pause(stopping, SECONDS_BETWEEN_CHECKS):
        allowed = time.monotonic() >= refused_until
        try:
            await rewrite_if_due(redis, records, keys, older_than, store=store, allowed=allowed)
        except RewriteNotAllowedError as error:
            refused_until = time.monotonic() + older_than.total_seconds()
            log.warning(
                "the append-only file cannot be rewritten from here: retracted text stays in it until the server does so",
                extra={"store": store, "reason": str(error)},
            )
        except (RewriteFailedError, RedisError, OSError) as error:
            log.warning("the append-only file was not rewritten", extra={"store": store, "reason": str(error)})
    await stopping.wait()


async def _until_idle(redis: "Redis") -> str:
    """Wait until no rewrite is running or scheduled; return the status of the last one."""
    deadline = time.monotonic() + REWRITE_SECONDS
    while time.monotonic() < deadline:
        info = await redis.info("persistence")
        if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
            return str(info["aof_last_bgrewrite_status"])
        await asyncio.sleep(SECONDS_BETWEEN_POLLS)
    raise RewriteFailedError(f"a rewrite was still running after {REWRITE_SECONDS:.0f} s")

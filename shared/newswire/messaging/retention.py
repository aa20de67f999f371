"""Retention of stream entries: an age, but never less than any consumer group still needs."""

import asyncio
import logging
import time
from datetime import timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.keys import Keyspace
from newswire.messaging.groups import Stream, group_functions, groups_of, stream_key
from newswire.observability import metrics

log = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIMS = 60.0
OUTCOMES_RETENTION = timedelta(minutes=10)
"""How long outcomes stay on their stream after their group has handled them: they are stored in records of their own."""


async def trim(
    redis: "Redis", keys: Keyspace, retention: timedelta, *, stream: Stream = "articles", now_ms: int | None = None
) -> int:
    """Trim a stream to its retention and return the number of removed entries.

    An entry that a group has not handled is kept, however old it is; so is everything after the checkpoint of a lost group.
    """
    wanted = (now_ms if now_ms is not None else int(time.time() * 1000)) - int(retention.total_seconds() * 1000)
    functions = group_functions(redis, keys)
    newest_gone = keys.trimmed if stream == "articles" else keys.key("trimmed", stream)
    groups = [group.name for group in groups_of(stream)]
    gone, oldest = await functions.call(
        "trim",
        [stream_key(keys, stream), *(keys.checkpoint(group) for group in groups), newest_gone],
        {"keep": f"{max(wanted, 0)}-0", "groups": groups},
    )
    overdue = max(wanted - int(oldest.split(b"-")[0]), 0) / 1000 if oldest else 0.0
    metrics.retention_overdue.labels(stream).set(overdue)
    if overdue > SECONDS_BETWEEN_TRIMS:
        log.warning(
            "a slow consumer group delays the trimming of the stream",
            extra={"stream": stream, "overdue_seconds": overdue},
        )
    return int(gone)


async def keep_trimming(redis: "Redis", keys: Keyspace, retention: timedelta, stopping: asyncio.Event) -> None:
    """Trim both streams every minute until stopping is set."""
    while True:
        try:
            await trim(redis, keys, retention)
            await trim(redis, keys, OUTCOMES_RETENTION, stream="outcomes")
        except (RedisError, OSError) as error:
            log.warning("the streams were not trimmed", extra={"reason": str(error)})
        if await pause(stopping, SECONDS_BETWEEN_TRIMS):
            return

"""How long the stream keeps its entries: an age, but never less than any consumer group still needs."""

import asyncio
import logging
import time
from datetime import timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire import telemetry
from newswire.consume import pause
from newswire.dead_letters import GROUPS
from newswire.functions import FunctionLibrary
from newswire.keyspace import Keyspace

log = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIMS = 60.0


async def trim(redis: "Redis", keys: Keyspace, retention: timedelta, *, now_ms: int | None = None) -> int:
    """Trim the article stream to its retention and return how many entries went.

    An entry that a group has not handled stays, however old it is; so does all after the checkpoint of a lost group.
    """
    wanted = (now_ms if now_ms is not None else int(time.time() * 1000)) - int(retention.total_seconds() * 1000)
    functions = FunctionLibrary.packaged(redis, keys.namespace, "newswire", "consume")
    gone, oldest = await functions.call(
        "trim",
        [keys.stream, *(keys.checkpoint(group) for group in GROUPS), keys.trimmed],
        [f"{max(wanted, 0)}-0", *GROUPS],
    )
    overdue = max(wanted - int(oldest.split(b"-")[0]), 0) / 1000 if oldest else 0.0
    telemetry.retention_overdue.set(overdue)
    if overdue > SECONDS_BETWEEN_TRIMS:
        log.warning("a consumer group keeps the stream from being trimmed", extra={"overdue_seconds": overdue})
    return int(gone)


async def keep_trimming(redis: "Redis", keys: Keyspace, retention: timedelta, stopping: asyncio.Event) -> None:
    """Trim every minute until stopping is set."""
    while True:
        try:
            await trim(redis, keys, retention)
        except (RedisError, OSError) as error:
            log.warning("the stream was not trimmed", extra={"reason": str(error)})
        if await pause(stopping, SECONDS_BETWEEN_TRIMS):
            return

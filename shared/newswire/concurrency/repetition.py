"""Repeats a piece of work at an interval, whatever Redis and the network do meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause


async def repeat(
    work: Callable[[], Awaitable[object]], seconds: float, stopping: asyncio.Event, log: logging.Logger, failure: str
) -> None:
    """Do work now and every so many seconds, until stopping is set. ``failure``: the warning when Redis or the network fails.

    Other errors end the loop: they are defects, which the caller reports.
    """
    while not stopping.is_set():
        try:
            await work()
        except (RedisError, OSError) as error:
            log.warning(failure, extra={"reason": str(error)})
        await pause(stopping, seconds)

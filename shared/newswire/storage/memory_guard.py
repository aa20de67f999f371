"""Guards the memory of a Redis: writes that fill it stop before its limit, so that operations that free memory still work."""

import asyncio
import logging
import math

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.observability import metrics
from newswire.storage.observed_redis import server_name

log = logging.getLogger(__name__)

CHECK_INTERVAL_SECONDS = 1.0
NEAR_LIMIT_INTERVAL_SECONDS = 0.1
NEAR_LIMIT_BYTES = 64 * 1024 * 1024
"""Below this number of free bytes, measurements are frequent: about this much can be written in a second."""
REOPEN_FRACTION = 0.97
"""Once full, writes resume below this fraction of the share: the memory use of a server fluctuates."""


class MemoryGuard:
    """Watches the memory of a Redis against a share of its ``maxmemory``; without such a limit nothing is watched."""

    def __init__(self, redis: "Redis", share: float, writers: str = "publishing") -> None:
        """``writers``: whose writes stop, for the metrics."""
        self.full: str | None = None
        """Why writes must stop, or None while there is free memory."""
        self._redis = redis
        self._share = share
        self._writers = writers
        self._limited = False

    async def check(self) -> str | None:
        """Measure, and return why writes must stop: a check of `/status`."""
        await self.measure()
        return self.full

    async def run(self, stopping: asyncio.Event) -> None:
        """Measure every second until stopping is set, ten times as often near the limit."""
        left: float = 0
        while not await pause(
            stopping, NEAR_LIMIT_INTERVAL_SECONDS if left < NEAR_LIMIT_BYTES else CHECK_INTERVAL_SECONDS
        ):
            try:
                left = await self.measure()
            except (RedisError, OSError) as error:
                log.warning("could not read the memory use of redis", extra={"reason": str(error)})

    async def measure(self) -> float:
        """Measure, and return how many bytes of the share are left."""
        memory = await self._redis.info("memory")
        # Some managed servers show neither: their limits are watched by their provider.
        used, limit = memory.get("used_memory", 0), memory.get("maxmemory", 0)
        server = server_name(self._redis.connection_pool)
        if limit:
            metrics.redis_memory.labels(server).set(used / limit)
            metrics.memory_guard_fill.labels(server, self._writers).set(used / (limit * self._share))
        elif self._limited:  # the limit was lifted: its shares would stay as they were
            metrics.redis_memory.remove(server)
            metrics.memory_guard_fill.remove(server, self._writers)
        self._limited = bool(limit)
        share = self._share if self.full is None else self._share * REOPEN_FRACTION
        left = limit * share - used if limit else math.inf
        full = None
        if left <= 0:
            full = f"redis uses {used / limit:.0%} of its maxmemory; writing stops at {self._share:.0%}"
        if (full is None) != (self.full is None):
            log.warning(
                "redis has free memory again" if full is None else "redis is full", extra={"reason": full or self.full}
            )
        self.full = full
        return left

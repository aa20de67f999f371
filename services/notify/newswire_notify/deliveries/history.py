"""What has ended is removed in time: from the history of each subscription, and from the dead deliveries."""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Counter
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire_notify.deliveries.queue import Queue

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
MAX_REMOVALS_PER_CALL = 1000
"""At most in one call: each takes some microseconds in which the server does nothing else."""

history_removed = Counter(
    "newswire_delivery_history_removed",
    "Ended deliveries removed before NEWSWIRE_DELIVERY_RETENTION, for NEWSWIRE_DELIVERY_HISTORY_BYTES",
)
dead_removed = Counter(
    "newswire_dead_deliveries_removed",
    "Dead deliveries removed before NEWSWIRE_DEAD_LETTER_RETENTION, for NEWSWIRE_DEAD_DELIVERIES_MAX",
)


@dataclass(frozen=True, slots=True)
class RemovedHistory:
    """What was removed from a subscription's history before its time."""

    count: int
    until: datetime
    """All that ended later is kept for its whole time."""

    def public_view(self) -> dict[str, Any]:
        """Return it as the owner of the subscription sees it."""
        return {"count": self.count, "until": self.until.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


class HistoryTrimmer:
    """Removes ended deliveries by time and by bytes, dead ones by time and number. Any number of processes may share the work."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until stopping is set."""
        while not stopping.is_set():
            try:
                await self.trim()
            except (RedisError, OSError) as error:
                log.warning("ended deliveries cannot be removed", extra={"reason": str(error)})
            await pause(stopping, INTERVAL_SECONDS)

    async def trim(self) -> int:
        """Remove all that is to go now; return how much of it went before its time."""
        kept = self._queue.retention
        early = await self._until_done("trim_histories", self._queue.keep_ms, kept.history_bytes)
        history_removed.inc(early)
        dead = await self._until_done("trim_dead", int(kept.dead * 1000), kept.dead_count)
        dead_removed.inc(dead)
        if dead:
            log.warning(
                "dead deliveries were removed before their time", extra={"removed": dead, "kept": kept.dead_count}
            )
        return early + dead

    async def _until_done(self, function: str, keep_ms: int, most: int) -> int:
        total, more = 0, b"1"
        while more == b"1":
            arguments = [self._queue.prefix, self._queue.now, keep_ms, most, MAX_REMOVALS_PER_CALL]
            early, more = await self._queue.functions.call(function, [], arguments)
            total += early
        return total


async def removed_early(queue: Queue, subscription_id: str) -> RemovedHistory | None:
    """Return what a subscription's history lacks of what the retention promises, or None where it is whole."""
    removed, until = await queue.redis.hmget(queue.key("history", subscription_id), "removed", "removed_until")
    now_ms = float(queue.now or time.time() * 1000)
    if not removed or not until or int(until) < now_ms - queue.keep_ms:
        return None
    return RemovedHistory(int(removed), datetime.fromtimestamp(int(until) / 1000, UTC))

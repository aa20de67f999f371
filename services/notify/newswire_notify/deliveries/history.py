"""Removal of ended deliveries: from the history of each subscription, and from the dead deliveries."""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Counter

from newswire.concurrency.repetition import repeat
from newswire_notify.deliveries.queue import Queue

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
MAX_REMOVALS_PER_CALL = 1000
"""Each removal blocks the server for some microseconds."""

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
    """Deliveries removed early from a subscription's history."""

    count: int
    until: datetime
    """Deliveries that ended later are kept for the full retention time."""

    def public_view(self) -> dict[str, Any]:
        """Return the JSON members that the owner of the subscription sees."""
        return {"count": self.count, "until": self.until.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


class HistoryTrimmer:
    """Removes ended deliveries by age and bytes, dead ones by age and number. Any number of processes may share the work."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def run(self, stopping: asyncio.Event) -> None:
        """Trim until stopping is set."""
        await repeat(self.trim, INTERVAL_SECONDS, stopping, log, "cannot remove ended deliveries")

    async def trim(self) -> int:
        """Remove everything that is due; return how many deliveries were removed early."""
        kept = self._queue.retention
        early = await self._until_done("trim_histories", self._queue.keep_ms, kept.history_bytes)
        history_removed.inc(early)
        dead = await self._until_done("trim_dead", int(kept.dead * 1000), kept.dead_count)
        dead_removed.inc(dead)
        if dead:
            log.warning("dead deliveries removed early", extra={"removed": dead, "kept": kept.dead_count})
        return early + dead

    async def _until_done(self, function: str, keep_ms: int, limit: int) -> int:
        total, more = 0, b"1"
        while more == b"1":
            early, more = await self._queue.call(function, keep=keep_ms, limit=limit, removals=MAX_REMOVALS_PER_CALL)
            total += early
        return total


async def removed_early(queue: Queue, subscription_id: str) -> RemovedHistory | None:
    """Return what was removed early from a subscription's history, or None."""
    removed, until = await queue.redis.hmget(queue.key("history", subscription_id), "removed", "removed_until")
    now_ms = queue.now_ms or time.time() * 1000
    if not removed or not until or int(until) < now_ms - queue.keep_ms:
        return None
    return RemovedHistory(int(removed), datetime.fromtimestamp(int(until) / 1000, UTC))

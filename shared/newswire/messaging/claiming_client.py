"""A Redis client that reads a consumer group like ``XREADGROUP … CLAIM`` of Redis 8.4, on any server."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.messaging.group_member import GroupMember, is_group_lost
from newswire.observability import metrics
from newswire.storage.observed_redis import ObservedRedis
from newswire.storage.redis_errors import reason

log = logging.getLogger(__name__)

BUSY_ENTRIES_PER_SECOND = 100.0
"""The rate from which entries are gathered. Below it, each is handled as soon as it comes."""
MANY_ENTRIES_PER_SECOND = 300.0
"""The rate from which reads wait longer, in proportion: batches of more entries then save more than the wait costs."""
RATE_SECONDS = 0.1
"""The time over which the rate is averaged."""


class Gathering(NamedTuple):
    """The longest wait for further entries, and how many are waited for: a batch costs as much as many of its entries."""

    seconds: float
    entries: int


BRIEFLY = Gathering(0.01, 16)
"""For events whose effects are time-critical, such as webhooks."""
AT_LENGTH = Gathering(0.25, 200)
"""For reports, which may be shown a moment later."""

WAITED_SECONDS = 0.002
"""A read that took longer had to wait for entries, on most machines: there was no backlog."""
GIVE_WAY_SECONDS = 0.006
"""About as long as a webhook of one article takes, on a machine without other work, from the read of its event to the request."""

Entry = tuple[bytes, dict[bytes, bytes]]
CountedEntry = tuple[bytes, dict[bytes, bytes], int, int]
"""An entry with its idle time in ms and the number of its earlier deliveries, as ``CLAIM`` returns it."""


class ReadPace:
    """When a consumer reads next, by the rate at which entries came."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self._rate = 0.0
        self._read_at = -math.inf

    def note(self, entries: int, now: float) -> None:
        """Note a read that ended now. The rate follows the last few reads."""
        elapsed = max(now - self._read_at, 0.001)
        self._rate += (entries / elapsed - self._rate) * min(elapsed / RATE_SECONDS, 1.0)
        self._read_at = now

    def seconds_to_wait(self, now: float) -> float:
        """Return how long to wait before the next read, since the last one ended."""
        if self._rate < BUSY_ENTRIES_PER_SECOND:
            return 0.0
        seconds = self._gathering.seconds * max(1.0, self._rate / MANY_ENTRIES_PER_SECOND)
        return self._read_at + min(seconds, self._gathering.entries / self._rate) - now


class ClaimingClient(ObservedRedis):
    """The client with which a FastStream subscriber reads.

    FastStream ends a subscriber whose group is lost, and retries other errors without a growing delay. So errors never reach
    it: this client waits until they are over, and creates a lost group again at its checkpoint.
    """

    def __init__(self, member: GroupMember, *, gather: Gathering | None = None, give_way_seconds: float = 0.0) -> None:
        """``gather``: how long to wait between reads while many entries come, so that a batch has several.

        ``give_way_seconds``: how long entries wait before they are handled, if the consumer had to wait for them. The same event
        wakes other consumers, with more urgent work, which share processors, event loop and disk with this one.
        """
        super().__init__(connection_pool=member.redis.connection_pool)
        self._give_way_seconds = give_way_seconds
        self._pace = ReadPace(gather) if gather else None
        self.drained = asyncio.Event()
        """Set once the consumer is stopping and all entries that were read are handled."""
        self._member = member
        self._failures = 0
        self._next_claim = 0.0
        self._claim_cursor: Any = "0-0"
        self._own_pending_after: Any = None
        """The position from which to read the entries already pending for this consumer; None if there can be none."""

    async def xgroup_create(self, *_: Any, **__: Any) -> None:
        """Create the group at its checkpoint, regardless of FastStream's starting position."""
        await self._member.open_group()

    async def ping(self, **_: Any) -> bool:
        """Succeed without a round trip: FastStream pings before each read, and retries a failed ping without a pause."""
        return True

    async def xreadgroup(
        self,
        groupname: str,
        consumername: str,
        streams: Mapping[str, str],
        count: int,
        block: int,
        noack: bool = False,
        claim_min_idle_time: int = 30_000,
    ) -> list[tuple[bytes, list[CountedEntry]]]:
        """Return entries that other consumers left pending, else new ones; nothing after an error, once it is over."""
        del noack, groupname, consumername
        if self._member.stopping.is_set():
            self.drained.set()
            await asyncio.Event().wait()  # until FastStream cancels it: FastStream drops what it reads while stopping
        [stream] = streams
        barrier = self._member.barrier
        try:
            history = await barrier.history()
            entries = await self._pending(count, claim_min_idle_time) or await self._new(count, block)
            if entries:
                await barrier.confirm(history)
        except (RedisError, OSError) as error:
            await self._recover(error)
            return []
        self._failures, self._member.backoff_reason = 0, None
        return [(stream.encode(), entries)] if entries else []

    async def _recover(self, error: Exception) -> None:
        if is_group_lost(error):
            log.warning("the consumer group was lost and is created again", extra={"group": self._member.group.name})
            try:
                await self._member.open_group()
                return
            except (RedisError, OSError) as again:
                error = again
        # The response that was lost to the error may have delivered entries.
        self._own_pending_after = "0"
        await self._member.back_off(reason(error), self._failures)
        self._failures += 1

    async def _new(self, count: int, block: int) -> list[CountedEntry]:
        if self._pace is not None and (early := self._pace.seconds_to_wait(time.monotonic())) > 0:
            await pause(self._member.stopping, early)
        began = time.monotonic()
        entries = await self._read(">", count, block)
        if self._pace is not None:
            self._pace.note(len(entries), time.monotonic())
        if self._give_way_seconds and 0 < len(entries) < count and time.monotonic() - began > WAITED_SECONDS:
            await pause(self._member.stopping, self._give_way_seconds)
        return [(*entry, 0, 0) for entry in entries]

    async def _pending(self, count: int, min_idle_ms: int) -> list[CountedEntry]:
        """Return what a lost response had delivered to this consumer; else, when due, what another consumer left."""
        if self._own_pending_after is not None:
            entries = await self._read(self._own_pending_after, count, None)
            self._own_pending_after = entries[-1][0] if entries else None
            if entries:
                return [(*entry, 0, 1) for entry in entries]
        if time.monotonic() < self._next_claim:
            return []
        return await self._claim(count, min_idle_ms)

    async def _read(self, after: Any, count: int, block: int | None) -> list[Entry]:
        member = self._member
        answer = await super().xreadgroup(
            member.group.name, member.name, {member.stream: after}, count=count, block=block
        )
        return [entry for _, entries in answer for entry in entries]

    async def _claim(self, count: int, min_idle_ms: int) -> list[CountedEntry]:
        member, entries = self._member, list[Entry]()
        while not entries and not member.stopping.is_set():
            self._claim_cursor, entries, *_ = await self.xautoclaim(
                member.stream, member.group.name, member.name, min_idle_ms, start_id=self._claim_cursor, count=count
            )
            if self._claim_cursor in (b"0-0", "0-0"):
                self._next_claim = time.monotonic() + min_idle_ms / 1000 * random.uniform(0.3, 0.6)
                await member.remove_idle_consumers()
                break
        metrics.consumer_redelivered.labels(member.group.name).inc(len(entries))
        return await self._counted(entries, min_idle_ms) if entries else []

    async def _counted(self, entries: Sequence[Entry], min_idle_ms: int) -> list[CountedEntry]:
        member = self._member
        pending = await self.xpending_range(
            member.stream, member.group.name, entries[0][0], entries[-1][0], len(entries), consumername=member.name
        )
        earlier = {item["message_id"]: item["times_delivered"] - 1 for item in pending}
        return [(*entry, min_idle_ms, max(earlier.get(entry[0], 1), 1)) for entry in entries]

"""One member of a consumer group: acknowledgement, checkpoint, dead letters, backoff, metrics."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from newswire.concurrency.backoff import delay_after, pause
from newswire.keys import Keyspace
from newswire.messaging.dead_letter_limit import DeadLetterLimit
from newswire.messaging.groups import ConsumerGroup, group_functions
from newswire.messaging.lag import LagEstimator
from newswire.observability import metrics
from newswire.storage.replication import ReplicationBarrier

log = logging.getLogger(__name__)

IDLE_CONSUMER_MS = 3_600_000
"""A consumer without pending entries that has not read for this long is removed from its group."""
OBSERVATION_INTERVAL_SECONDS = 2.0
DEAD_LETTER_LIMIT = 100


class TooManyRejectedError(Exception):
    """So many entries were rejected that the consumer must be broken, not the entries; the message has the details."""


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """A stream entry that becomes a dead letter."""

    id: str
    reason: str
    first_seen_ms: int
    """When a consumer of the group first read it, as far as known."""
    subject: str
    """The article that it is about, if known."""


def is_group_lost(error: BaseException) -> bool:
    """Return whether the consumer group does not exist, or no longer exists."""
    return isinstance(error, ResponseError) and "NOGROUP" in str(error)


class GroupMember:
    """A consumer of a consumer group, with a unique name."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        group: ConsumerGroup,
        *,
        dead_letter_limit: int = DEAD_LETTER_LIMIT,
        barrier: ReplicationBarrier | None = None,
    ) -> None:
        """Join ``group``. ``barrier``: which entries are not handled before replicas have them."""
        self.redis = redis
        self.keys = keys
        self.group = group
        self.stream = group.stream_key(keys)
        self.barrier = barrier or ReplicationBarrier(redis, keys)
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.backoff_reason: str | None = "not started"
        """Why it does not consume; None while it does."""
        self.stopping = asyncio.Event()
        self._limit = DeadLetterLimit(dead_letter_limit)
        self._functions = group_functions(redis, keys)
        self._lags = LagEstimator()
        self.handled = metrics.consumer_handled.labels(group.name)
        """Counts from 0 on: a group may be stuck from the start."""

    async def open_group(self) -> None:
        """Create the group at its checkpoint, or at the beginning of the stream, unless it exists."""
        await self._functions.call(
            "open_group", [self.stream, self.keys.checkpoint(self.group.name)], {"group": self.group.name}
        )

    async def ack(self, entry_ids: Iterable[str], rejected: Sequence[DeadEntry]) -> None:
        """Acknowledge entries, move the rejected ones to the dead letters, and advance the checkpoint, in one atomic step.

        Raises:
            TooManyRejectedError: the rejected ones stay pending, all others are acknowledged.
        """
        refused = rejected if self._limit.exceeded_by(len(rejected)) else ()
        dead = () if refused else rejected
        rejected_ids = {entry.id for entry in rejected}
        acknowledged = [entry_id for entry_id in entry_ids if entry_id not in rejected_ids]
        if dead or acknowledged:
            for entry in dead:
                log.error(
                    "entry becomes a dead letter",
                    extra={"group": self.group.name, "entry": entry.id, "reason": entry.reason},
                )
            keys = [self.stream, self.keys.checkpoint(self.group.name), self.keys.dead_letters(self.group.name)]
            arguments = {
                "group": self.group.name,
                "letters_of": self.keys.dead_letters_of("|"),
                "dead": [
                    {"id": it.id, "error": it.reason, "first_seen": it.first_seen_ms, "subject": it.subject}
                    for it in dead
                ],
                "ids": [*acknowledged, *(entry.id for entry in dead)],
            }
            await self._functions.call("ack", keys, arguments)
            metrics.consumer_dead_lettered.labels(self.group.name).inc(len(dead))
        self._limit.count(len(acknowledged), len(dead))
        if refused:
            raise TooManyRejectedError(self._limit.reason(len(refused), refused[-1].reason))

    async def extend_claim(self, entry_ids: Sequence[str]) -> set[str]:
        """Keep other consumers from claiming entries that wait here; return those that still exist in the stream."""
        await self.redis.xclaim(self.stream, self.group.name, self.name, 0, list(entry_ids), justid=True)
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry_id in entry_ids:
                pipe.xrange(self.stream, entry_id, entry_id)
            found = await pipe.execute()
        return {entry_id for entry_id, entry in zip(entry_ids, found, strict=True) if entry}

    async def back_off(self, reason: str, failures: int) -> bool:
        """Pause, longer after each consecutive failure; return whether the consumer must stop."""
        if self.backoff_reason != reason:
            log.warning("the consumer backs off", extra={"group": self.group.name, "reason": reason})
        self.backoff_reason = reason
        return await pause(self.stopping, delay_after(failures))

    async def stop_consuming(self, reason: str) -> None:
        """Stop consuming until the process ends; readiness reports the reason."""
        self.backoff_reason = reason
        log.critical("the consumer stopped", extra={"group": self.group.name, "reason": reason})
        await self.stopping.wait()

    async def remove_idle_consumers(self, *, leaving: bool = False) -> None:
        """Remove consumers without pending entries that have been idle for long; when leaving, also this one."""
        own_name = self.name if leaving else ""
        arguments = {"group": self.group.name, "idle": IDLE_CONSUMER_MS, "leaving": own_name}
        await self._functions.call("sweep", [self.stream], arguments)

    async def leave(self) -> None:
        """Remove this consumer from its group, if it has no pending entries."""
        try:
            await self.remove_idle_consumers(leaving=True)
        except (RedisError, OSError) as error:
            log.warning(
                "could not remove the consumer from its group",
                extra={"group": self.group.name, "reason": str(error)},
            )

    async def keep_observing(self) -> None:
        """Update the metrics until cancelled. This includes the time of a backoff, when they matter most."""
        while True:
            try:
                await self._observe()
            except (RedisError, OSError) as error:
                log.debug("the group cannot be observed", extra={"group": self.group.name, "reason": str(error)})
                for gauge in (metrics.consumer_lag, metrics.consumer_oldest_pending, metrics.dead_letters):
                    gauge.remove(self.group.name)  # a stale value would look current
            await asyncio.sleep(OBSERVATION_INTERVAL_SECONDS)

    async def _observe(self) -> None:
        name = self.group.name
        for info in await self.redis.xinfo_groups(self.stream):
            if info["name"] == name.encode():
                metrics.consumer_lag.labels(name).set(await self._lag(info))
        oldest = (await self.redis.xpending(self.stream, name))["min"]
        age = time.time() - int(oldest.split(b"-")[0]) / 1000 if oldest else 0.0
        metrics.consumer_oldest_pending.labels(name).set(max(age, 0.0))
        metrics.dead_letters.labels(name).set(await self.redis.xlen(self.keys.dead_letters(name)))

    async def _lag(self, group: Mapping[str, Any]) -> int:
        delivered, lag, read = group["last-delivered-id"], group["lag"], group["entries-read"]
        if lag is None:
            return self._lags.lag(delivered, await self.redis.xinfo_stream(self.stream))
        if read is not None:
            self._lags.note(delivered, read)
        self._lags.forget_before(delivered)
        return int(lag)

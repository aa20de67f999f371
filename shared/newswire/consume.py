"""The consume loop: one way from a stream into a service, at least once, in batches.

It gives what a service may build on:

- a group is made before its first read, at the beginning of the stream, and a lost one (group destroyed,
  server flushed, failover) is made again in place at its checkpoint: the id up to which everything is handled;
- what one consumer read and did not acknowledge (it was killed) another one claims after ``min_idle_ms``;
- a poison entry goes to the dead letters with its reason, all others of its batch are handled;
- where more entries are rejected than ``dead_letter_limit`` allows, it stops with the reason and loses nothing;
- a dependency that is down holds the loop back with growing, jittered pauses, for hours if need be, and loses nothing;
- on ``stopping`` the batch in hand is finished, and nothing new is read.

Handlers must be idempotent: a batch may come again.
"""

import asyncio
import json
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from newswire import telemetry
from newswire.dead_letter_limit import DeadLetterLimit
from newswire.events import FIELD, CloudEvent, PoisonEntry, UnknownType, decode
from newswire.functions import FunctionLibrary
from newswire.keyspace import Keyspace

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
TRIES_OF_A_FAILING_ENTRY = 3
DELIVERIES_OF_A_KILLER = 25
SILENT_CONSUMER_MS = 3_600_000
SECONDS_BETWEEN_OBSERVATIONS = 2.0
DEAD_LETTER_LIMIT = 100

Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Received:
    """One event as a handler gets it."""

    entry_id: str
    event: CloudEvent
    payload: BaseModel
    redelivered: bool = False


class Rejected(Exception):
    """Raised by a handler that handled its batch but for the entries in ``reasons`` (entry id → why)."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(f"{len(reasons)} entries rejected")
        self.reasons = reasons


class TooManyRejected(Exception):
    """So many entries are rejected that the consumer must be broken, not the entries; the message says more."""


class Unavailable(Exception):
    """Raised by a handler when a dependency is down: the same batch is tried again after a pause."""


Handler = Callable[[Sequence[Received]], Awaitable[None]]


async def pause(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait, but no longer than until stopping is set; return whether it is."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return False
    return True


class Consumer:
    """One member of a consumer group. Times in ms where the name says so."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        group: str,
        handler: Handler,
        *,
        stream: str | None = None,
        batch: int = 200,
        min_idle_ms: int = 30_000,
        block_ms: int = 500,
        dead_letter_limit: int = DEAD_LETTER_LIMIT,
    ) -> None:
        self.group = group
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.running = False
        self.holding_back: str | None = "not started"
        self._redis = redis
        self._keys = keys
        self._stream = stream or keys.stream
        self._handler = handler
        self._batch = batch
        self._min_idle_ms = min_idle_ms
        self._block_ms = block_ms
        self._limit = DeadLetterLimit(dead_letter_limit)
        self._functions = FunctionLibrary.packaged(redis, keys.namespace, "newswire", "consume")
        self._stopping = asyncio.Event()
        self._reread_own = False
        self._next_reclaim = 0.0

    async def check(self) -> str | None:
        """Tell why the loop does not consume at the moment, or None where it does: a readiness check."""
        return self.holding_back if self.running else "the consumer is not running"

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until stopping is set, then finish the batch in hand and leave the group."""
        self._stopping = stopping
        self.running = True
        failures = 0
        observing = asyncio.create_task(self._keep_observing())
        try:
            await self._until_open(stopping)
            while not stopping.is_set():
                try:
                    await self._round()
                    failures, self.holding_back = 0, None
                except TooManyRejected as error:
                    self.holding_back = str(error)
                    log.critical("the consumer stopped", extra={"group": self.group, "reason": str(error)})
                    await stopping.wait()
                except (RedisError, OSError) as error:
                    if isinstance(error, ResponseError) and "NOGROUP" in str(error):
                        log.warning("consumer group is lost and made again", extra={"group": self.group})
                        await self._until_open(stopping)
                        continue
                    self._reread_own = True
                    await self._hold_back(f"redis: {error}", failures)
                    failures += 1
            await self._leave()
        finally:
            observing.cancel()
            self.running = False

    async def _until_open(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            try:
                await self._functions.call(
                    "open_group", [self._stream, self._keys.checkpoint(self.group)], [self.group]
                )
            except (RedisError, OSError) as error:
                await self._hold_back(f"redis: {error}", failures)
                failures += 1
            else:
                self.holding_back = None
                return

    async def _round(self) -> None:
        if self._reread_own:
            await self._handle_own_pending()
            self._reread_own = False
        if time.monotonic() >= self._next_reclaim:
            await self._reclaim()
            self._next_reclaim = time.monotonic() + self._min_idle_ms / 1000 * random.uniform(0.3, 0.6)
        answer = await self._redis.xreadgroup(
            self.group, self.name, {self._stream: ">"}, count=self._batch, block=self._block_ms
        )
        await self._handle(_entries(answer), redelivered=False)

    async def _handle_own_pending(self) -> None:
        """Handle what was delivered to this consumer by an answer that the broken connection swallowed."""
        after: bytes | str = "0"
        while not self._stopping.is_set():
            answer = await self._redis.xreadgroup(self.group, self.name, {self._stream: after}, count=self._batch)
            entries = _entries(answer)
            if not entries:
                return
            after = entries[-1][0]
            await self._handle(entries, redelivered=True)

    async def _reclaim(self) -> None:
        cursor: bytes | str = "0-0"
        while not self._stopping.is_set():
            cursor, entries, *_ = await self._redis.xautoclaim(
                self._stream, self.group, self.name, self._min_idle_ms, start_id=cursor, count=self._batch
            )
            if entries:
                telemetry.redelivered.labels(self.group).inc(len(entries))
                killers = await self._delivered_too_often(entries)
                await self._handle([entry for entry in entries if entry[0] not in killers], redelivered=True)
                await self._settle(
                    {
                        key.decode(): f"delivered {DELIVERIES_OF_A_KILLER} times and never acknowledged"
                        for key in killers
                    },
                    [],
                    {key.decode(): fields for key, fields in entries if key in killers},
                    first_seen=None,
                )
            if cursor in (b"0-0", "0-0"):
                break
        await self._functions.call("sweep", [self._stream], [self.group, SILENT_CONSUMER_MS, ""])

    async def _delivered_too_often(self, entries: Sequence[Entry]) -> set[bytes]:
        pending = await self._redis.xpending_range(
            self._stream, self.group, min=entries[0][0], max=entries[-1][0], count=len(entries), consumername=self.name
        )
        return {item["message_id"] for item in pending if item["times_delivered"] > DELIVERIES_OF_A_KILLER}

    async def _handle(self, entries: Sequence[Entry], *, redelivered: bool) -> None:
        if not entries:
            return
        first_seen = None if redelivered else int(time.time() * 1000)
        batch: list[Received] = []
        dead: dict[str, str] = {}
        for raw_id, fields in entries:
            entry_id = raw_id.decode()
            if not fields:  # deleted since: its article was retracted
                continue
            try:
                envelope, payload = decode(fields)
                batch.append(Received(entry_id, envelope, payload, redelivered))
            except PoisonEntry as error:
                dead[entry_id] = str(error)
            except UnknownType as error:
                telemetry.skipped.labels(self.group).inc()
                log.info("event of an unknown type skipped", extra={"group": self.group, "type": str(error)})
        unhandled: set[str] = set()
        if batch:
            rejected = await self._deliver(batch)
            if rejected is None:
                unhandled = {item.entry_id for item in batch}
            else:
                dead |= rejected
        by_id = {key.decode(): fields for key, fields in entries}
        handled = [entry_id for entry_id in by_id if entry_id not in unhandled and entry_id not in dead]
        await self._settle(dead, handled, by_id, first_seen=first_seen)

    async def _deliver(self, batch: list[Received]) -> dict[str, str] | None:
        """Hand a batch over. Return the rejected ones with their reasons, or None when stopped before."""
        failures = crashes = 0
        while batch:
            try:
                await self._handler(batch)
                self.holding_back = None
                return {}
            except Rejected as error:
                return error.reasons
            except (Unavailable, RedisError, OSError) as error:
                if await self._hold_back(str(error) or repr(error), failures):
                    return None
                failures += 1
                batch = await self._still_ours(batch)
            except Exception as error:
                log.exception("the handler failed", extra={"group": self.group, "entries": len(batch)})
                if len(batch) > 1:
                    return await self._deliver_singly(batch)
                crashes += 1
                if crashes >= TRIES_OF_A_FAILING_ENTRY:
                    return {batch[0].entry_id: f"handler: {error!r}"[:500]}
        return {}

    async def _deliver_singly(self, batch: list[Received]) -> dict[str, str] | None:
        dead: dict[str, str] = {}
        for item in batch:
            rejected = await self._deliver([item])
            if rejected is None:
                return None
            dead |= rejected
        return dead

    async def _still_ours(self, batch: list[Received]) -> list[Received]:
        """Keep other consumers from claiming a batch that waits, and drop what was retracted meanwhile."""
        ids = [item.entry_id for item in batch]
        await self._redis.xclaim(self._stream, self.group, self.name, 0, ids, justid=True)
        async with self._redis.pipeline(transaction=False) as pipe:
            for entry_id in ids:
                pipe.xrange(self._stream, entry_id, entry_id)
            found = await pipe.execute()
        return [item for item, entry in zip(batch, found, strict=True) if entry]

    async def _settle(
        self,
        dead: dict[str, str],
        ids: list[str],
        entries: dict[str, dict[bytes, bytes]],
        *,
        first_seen: int | None,
    ) -> None:
        """Move the dead ones to the dead letters, acknowledge all, and move the checkpoint: one atomic step.

        ``first_seen`` is when they were first read (ms), None where another consumer read them first.

        Raises:
            TooManyRejected: the dead ones were left on the stream, all others are acknowledged.
        """
        refused = self._limit.exceeded_by(len(dead)) and dict(dead)
        if refused:
            dead = {}
        self._limit.count(len(ids), len(dead))
        if dead or ids:
            arguments: list[str | bytes | int | float] = [self.group, self._keys.dead_letters_of("|"), len(dead)]
            for entry_id, reason in dead.items():
                subject = subject_of(entries[entry_id].get(FIELD.encode(), b"null"))
                arguments += [entry_id, reason, first_seen or milliseconds_of(entry_id), subject]
                log.error(
                    "entry goes to the dead letters", extra={"group": self.group, "entry": entry_id, "reason": reason}
                )
            await self._functions.call(
                "settle",
                [self._stream, self._keys.checkpoint(self.group), self._keys.dead_letters(self.group)],
                [*arguments, *ids, *dead],
            )
            telemetry.dead_lettered.labels(self.group).inc(len(dead))
        if refused:
            raise TooManyRejected(self._limit.reason(len(refused), next(reversed(refused.values()))))

    async def _hold_back(self, reason: str, failures: int) -> bool:
        if self.holding_back != reason:
            log.warning("consumer holds back", extra={"group": self.group, "reason": reason})
        self.holding_back = reason
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        return await pause(self._stopping, random.uniform(longest / 2, longest))

    async def _keep_observing(self) -> None:
        """Measure beside the loop, which may be held back for hours: that is when the figures matter."""
        while True:
            try:
                await self._observe()
            except (RedisError, OSError) as error:
                log.debug("the group cannot be observed", extra={"group": self.group, "reason": str(error)})
            await asyncio.sleep(SECONDS_BETWEEN_OBSERVATIONS)

    async def _observe(self) -> None:
        for info in await self._redis.xinfo_groups(self._stream):
            if info["name"] == self.group.encode() and info.get("lag") is not None:
                telemetry.stream_lag.labels(self.group).set(info["lag"])
        oldest = (await self._redis.xpending(self._stream, self.group))["min"]
        age = time.time() - int(oldest.split(b"-")[0]) / 1000 if oldest else 0.0
        telemetry.oldest_pending.labels(self.group).set(max(age, 0.0))
        telemetry.dead_letters.labels(self.group).set(await self._redis.xlen(self._keys.dead_letters(self.group)))

    async def _leave(self) -> None:
        try:
            await self._functions.call("sweep", [self._stream], [self.group, SILENT_CONSUMER_MS, self.name])
        except (RedisError, OSError) as error:
            log.warning("left the group without a word", extra={"group": self.group, "reason": str(error)})


def _entries(answer: Any) -> list[Entry]:
    """Take the entries of one stream out of an XREADGROUP answer (RESP2 shape)."""
    return [entry for _, entries in answer for entry in entries]


def milliseconds_of(entry_id: str) -> int:
    """Return when an entry was put on its stream: the time in its id, in ms."""
    return int(entry_id.partition("-")[0])


def subject_of(data: bytes) -> str:
    """Tell which article an event is about, where its JSON says so, even if nothing else about it is sound."""
    try:
        subject = json.loads(data)["subject"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return subject if isinstance(subject, str) else ""

"""The FastStream broker of the event streams: batches, delivered at least once, with any Redis or Valkey.

Its guarantees for subscribers:

- a group is created before its first read, at the beginning of the stream; a lost group (destroyed, server flushed, failover) is
  created again at its checkpoint, the id up to which everything is handled;
- entries that a consumer read and did not acknowledge (it was killed) are claimed by another one after ``claim_min_idle_ms``;
- a poison entry becomes a dead letter with its reason; the other entries of its batch are handled;
- if more entries are rejected than ``dead_letter_limit`` allows, it stops with the reason and loses nothing;
- while a dependency is down, it waits with growing, jittered pauses, for hours if necessary, and loses nothing;
- on shutdown it finishes the current batch and reads no further entries.

Handlers must be idempotent: a batch may be delivered again.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Literal, Self

from faststream import AckPolicy
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.configs import RedisConnectionState
from faststream.redis.parser import MessageFormat
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.events import FIELD, CloudEvent
from newswire.messaging.batches import batch_parser, decoded_body
from newswire.messaging.claiming_client import ClaimingClient, Gathering
from newswire.messaging.delivery import AtLeastOnceMiddleware
from newswire.messaging.group_member import GroupMember
from newswire.storage.redis_errors import reason

MAX_BATCH_RECORDS = 400
"""Larger batches reduce the cost per entry, but keep more of a backlog in memory."""
CLAIM_MIN_IDLE_MS = 30_000
BLOCK_MS = 250
"""Maximum time of a blocking read, and so the longest delay of a stop."""
LIVENESS_INTERVAL_SECONDS = 1.0


class PlainJSON(MessageFormat):
    """The wire format: the plain JSON of the event, so that any language can read and write the streams."""

    @classmethod
    async def encode(cls, *, message: Any, **parts: Any) -> bytes:
        """Return the bytes of a message for a stream entry."""
        return (
            message.to_json() if isinstance(message, CloudEvent) else (await cls.build(message=message, **parts)).data
        )

    @classmethod
    def parse(cls, data: bytes) -> tuple[bytes, dict[str, Any]]:
        """Parse a message; it has no headers."""
        return data, {}


class OpenConnection(RedisConnectionState):
    """A client that the service opens and closes: publishing works before the consumer starts and after it ends."""

    def __init__(self, client: "Redis") -> None:
        super().__init__()
        self._client, self._connected = client, True

    async def connect(self) -> "Redis":
        """Return the client."""
        return self._client

    async def disconnect(self) -> None:
        """Leave it open."""


class _GroupRead(StreamSub[Literal[True]]):
    """How a group reads its stream. FastStream deep-copies it twice per batch to add a prefix, which no broker here has."""

    def add_prefix(self, prefix: str) -> Self:
        return super().add_prefix(prefix) if prefix else self


class EventBroker(RedisBroker):
    """Consumes one stream as a member of a consumer group, and publishes to any stream."""

    def __init__(
        self,
        member: GroupMember,
        *,
        only: str | None = None,
        gather: Gathering | None = None,
        give_way_seconds: float = 0.0,
    ) -> None:
        """Consume as ``member``.

        ``only``: the one event type that its handlers need, if there is just one. ``gather``: how long to wait for further events
        while many come; they are handled together. ``give_way_seconds``: how long events wait, if there was no backlog, for
        consumers with more urgent work.
        """
        self.member = member
        self.client = ClaimingClient(member, gather=gather, give_way_seconds=give_way_seconds)
        super().__init__(
            middlewares=[AtLeastOnceMiddleware],
            parser=batch_parser(member, only),
            decoder=decoded_body,
            message_format=PlainJSON,
            ack_policy=AckPolicy.MANUAL,
            apply_types=False,  # the parser has validated every event
            graceful_timeout=0,  # `consume` waits for the current batch
            logger=logging.getLogger("faststream.newswire"),  # only its warnings are logged
            log_level=logging.DEBUG,
        )

    def _make_connection_state(self, connection_options: Any, kwargs: Any) -> RedisConnectionState:
        """Return the client that the service opened (a hook that FastStream's own subclasses use)."""
        return OpenConnection(self.client)

    def subscription(
        self,
        *,
        max_records: int = MAX_BATCH_RECORDS,
        claim_min_idle_ms: int = CLAIM_MIN_IDLE_MS,
        block_ms: int = BLOCK_MS,
    ) -> StreamSub[Literal[True]]:
        """Return how the group reads its stream, for ``@broker.subscriber(stream=…)``. Times in ms."""
        return _GroupRead(
            self.member.stream,
            group=self.member.group.name,
            consumer=self.member.name,
            batch=True,
            max_records=max_records,
            polling_interval=block_ms,
            claim_min_idle_time=claim_min_idle_ms,
        )

    @property
    def consuming(self) -> bool:
        """Whether all subscribers run."""
        return all(subscriber.running for subscriber in self.subscribers)

    async def check(self) -> str | None:
        """Return why it does not consume, or None if it does; a check of `/status`."""
        return self.member.backoff_reason or (None if self.consuming else "the consumer is not running")

    async def consume(self, stopping: asyncio.Event) -> None:
        """Consume until stopping is set, then finish the current batch and leave the group."""
        self.member.stopping, self.client.drained = stopping, asyncio.Event()
        observing = asyncio.create_task(self.member.keep_observing())
        try:
            await self._start()
            while self.consuming and not await pause(stopping, LIVENESS_INTERVAL_SECONDS):
                pass
            if self.consuming:
                await self.client.drained.wait()
        finally:
            observing.cancel()
            await self.stop()
        await self.member.leave()

    async def publish_all(self, events: Sequence[bytes], stream: str) -> None:
        """Publish the JSON of events to a stream in one round trip.

        FastStream's `publish` writes the same entry, but takes a tenth of a millisecond for each.
        """
        async with self.client.pipeline(transaction=False) as pipe:
            for event in events:
                pipe.execute_command("XADD", stream, "*", FIELD, event)
            await pipe.execute()

    async def _start(self) -> None:
        failures = 0
        while not self.member.stopping.is_set():
            try:
                await self.start()
            except (RedisError, OSError) as error:
                await self.member.back_off(reason(error), failures)
                failures += 1
            else:
                return

"""Brokers for tests of handlers: FastStream's test broker delivers in memory, so no server is needed."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from faststream.redis import TestRedisBroker
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.group_member import DeadEntry, GroupMember
from newswire.messaging.groups import ConsumerGroup

KEYS = Keyspace("units")


class RecordingMember(GroupMember):
    """A member of a consumer group without a server: it records acknowledgements, and never waits."""

    def __init__(self, group: ConsumerGroup) -> None:
        super().__init__(Redis(), KEYS, group)  # never connected
        self.acknowledged: list[list[str]] = []
        """The ids of each acknowledged batch."""
        self.dead_letters: dict[str, str] = {}
        """Entry id → reason."""
        self.backoffs: list[str] = []

    async def ack(self, entry_ids: Iterable[str], rejected: Sequence[DeadEntry]) -> None:
        self.acknowledged.append(list(entry_ids))
        self.dead_letters |= {entry.id: entry.reason for entry in rejected}

    async def extend_claim(self, entry_ids: Sequence[str]) -> set[str]:
        return set(entry_ids)

    async def back_off(self, reason: str, failures: int) -> bool:
        self.backoffs.append(reason)
        return False


@asynccontextmanager
async def in_memory(broker: EventBroker) -> AsyncIterator[EventBroker]:
    """Deliver what is published to a broker directly to its own subscribers."""
    async with TestRedisBroker(broker, connect_only=False) as opened:
        assert isinstance(opened, EventBroker)
        yield opened

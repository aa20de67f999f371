"""Parses a batch of stream entries for FastStream: entry by entry, so that an invalid entry does not affect the others."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from typing import Any, Self

from faststream.redis.message import RedisBatchStreamMessage

from newswire.concurrency.loop_yielder import LoopYielder
from newswire.events import FIELD, PoisonEntryError, UnknownEventTypeError, decode
from newswire.messaging.group_member import DeadEntry, GroupMember
from newswire.messaging.messages import Message, entry_time_ms, subject_of
from newswire.observability import metrics

log = logging.getLogger(__name__)

_FIELD = FIELD.encode()
MAX_DELIVERIES = 25
"""An entry that was delivered so often without being acknowledged kills its consumers, and becomes a dead letter."""


class EventBatch(RedisBatchStreamMessage):
    """The result of one read."""

    body: list[Message]
    """The valid events, for the handler."""
    member: GroupMember
    entries: Mapping[str, dict[bytes, bytes]]
    """The fields of all entries by id: each entry has to be acknowledged."""
    redelivered: set[str]
    read_at_ms: int
    rejected: dict[str, str]
    """The entries that no handler can process (entry id → why)."""

    def with_body(self, body: list[Message]) -> Self:
        """Return the same batch with other events for the handler."""
        part = copy(self)
        part.body = body
        return part

    async def ack(self, *_: Any) -> None:
        """Acknowledge every entry; rejected ones become dead letters.

        Raises:
            TooManyRejectedError: the rejected entries stay pending.
        """
        await self.member.ack(self.entries, [self._dead(entry_id, why) for entry_id, why in self.rejected.items()])

    def _dead(self, entry_id: str, reason: str) -> DeadEntry:
        first_seen = entry_time_ms(entry_id) if entry_id in self.redelivered else self.read_at_ms
        return DeadEntry(entry_id, reason, first_seen, subject_of(self.entries[entry_id].get(_FIELD, b"null")))


def batch_parser(member: GroupMember, only: str | None = None) -> Callable[[Mapping[str, Any]], Awaitable[EventBatch]]:
    """Return FastStream's parser for the reads of a member of a consumer group.

    ``only``: the one event type that the handler needs; entries that do not contain it are acknowledged without decoding them.
    """
    needed = (only or "").encode()

    async def parse(raw: Mapping[str, Any]) -> EventBatch:
        batch = EventBatch(raw, body=[], consumer=member.redis, group=member.group.name)
        # An empty correlation id keeps FastStream's test broker from searching for the message among its pending ones.
        batch.member, batch.rejected, batch.correlation_id = member, {}, ""
        batch.read_at_ms = int(time.time() * 1000)
        # FastStream's test broker provides no ids.
        ids = [entry_id.decode() for entry_id in raw["message_ids"]] or [f"0-{n + 1}" for n in range(len(raw["data"]))]
        batch.entries = dict(zip(ids, raw["data"], strict=True))
        earlier_deliveries = dict(zip(ids, raw["delivery_counts"], strict=True))
        batch.redelivered = {entry_id for entry_id, count in earlier_deliveries.items() if count}
        yielder = LoopYielder()
        for entry_id, fields in batch.entries.items():
            await yielder.add_bytes(sum(map(len, fields.values())))
            if not fields:  # deleted since it was first read: its article was retracted
                continue
            if needed and needed not in fields.get(_FIELD, needed):
                continue
            if earlier_deliveries[entry_id] >= MAX_DELIVERIES:
                batch.rejected[entry_id] = f"delivered {MAX_DELIVERIES} times and never acknowledged"
                continue
            try:
                batch.body.append(Message(entry_id, *decode(fields), entry_id in batch.redelivered))
            except PoisonEntryError as error:
                batch.rejected[entry_id] = str(error)
            except UnknownEventTypeError as error:
                metrics.consumer_skipped.labels(member.group.name).inc()
                log.info("event of an unknown type skipped", extra={"group": member.group.name, "type": str(error)})
        return batch

    return parse


async def decoded_body(batch: EventBatch) -> list[Message]:
    """Return the argument of the handler: FastStream's decoder."""
    return batch.body

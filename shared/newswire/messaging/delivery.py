"""FastStream middleware for at-least-once delivery: retries, dead letters, and one acknowledgement per batch."""

import logging
from typing import Any

from faststream import BaseMiddleware
from redis.exceptions import RedisError

from newswire.messaging.batch_tracing import handling
from newswire.messaging.batches import EventBatch
from newswire.messaging.group_member import TooManyRejectedError, is_group_lost
from newswire.messaging.messages import DependencyUnavailableError, RejectedMessagesError
from newswire.storage.redis_errors import reason

log = logging.getLogger(__name__)

MAX_HANDLER_ATTEMPTS = 3
"""How often the handler may fail on one entry with an unexpected error."""


class AtLeastOnceMiddleware(BaseMiddleware):
    """Delivers a batch until the handler has processed or rejected it, for hours if necessary, and then acknowledges it."""

    async def consume_scope(self, call_next: Any, msg: Any) -> None:
        """Deliver a batch and acknowledge it; it stays pending if the process ends first or the group is lost."""
        batch: EventBatch = msg
        rejected = await self._deliver(call_next, batch)
        if rejected is None:
            return
        batch.rejected |= rejected
        await self._acknowledge(batch)

    async def _acknowledge(self, batch: EventBatch) -> None:
        failures = 0
        while True:
            try:
                await batch.ack()
            except TooManyRejectedError as error:
                await batch.member.stop_consuming(str(error))
            except (RedisError, OSError) as error:
                # A lost group has no pending entries: it is created again at its checkpoint, before this batch.
                if not is_group_lost(error) and not await batch.member.back_off(reason(error), failures):
                    failures += 1
                    continue
            return

    async def _deliver(self, call_next: Any, batch: EventBatch) -> dict[str, str] | None:
        """Call the handler; return what it rejected (entry id → why), or None if the batch must stay pending."""
        member, failures, attempts = batch.member, 0, 0
        while batch.body:
            try:
                if failures:  # the batch has waited, and other consumers must not claim it
                    batch = await self._without_deleted(batch)
                if batch.body:
                    with handling(member, batch.body):
                        await call_next(batch)
                    member.handled.inc(len(batch.body))
                member.backoff_reason = None
                return {}
            except RejectedMessagesError as error:
                member.handled.inc(len(batch.body))
                return error.reasons
            except (DependencyUnavailableError, RedisError, OSError) as error:
                if is_group_lost(error) or await member.back_off(str(error) or repr(error), failures):
                    return None
                failures += 1
            except Exception as error:
                log.exception("the handler failed", extra={"group": member.group.name, "entries": len(batch.body)})
                if len(batch.body) > 1:
                    return await self._deliver_one_by_one(call_next, batch)
                attempts += 1
                if attempts >= MAX_HANDLER_ATTEMPTS:
                    return {batch.body[0].entry_id: f"handler: {error!r}"[:500]}
        return {}

    async def _deliver_one_by_one(self, call_next: Any, batch: EventBatch) -> dict[str, str] | None:
        rejected: dict[str, str] = {}
        for message in batch.body:
            newly_rejected = await self._deliver(call_next, batch.with_body([message]))
            if newly_rejected is None:
                return None
            rejected |= newly_rejected
        return rejected

    async def _without_deleted(self, batch: EventBatch) -> EventBatch:
        """Return the batch without the events of articles that were retracted while it waited."""
        remaining = await batch.member.extend_claim([message.entry_id for message in batch.body])
        return batch.with_body([message for message in batch.body if message.entry_id in remaining])

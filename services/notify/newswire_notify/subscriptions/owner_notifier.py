"""Notifies owners of disabled subscriptions: on the stream of outcomes and at the endpoints that ask for notices."""

import asyncio
import logging
from datetime import UTC, datetime

from newswire.concurrency.repetition import repeat
from newswire.events import SUBSCRIPTION_DISABLED, SubscriptionDisabled, event
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire_notify.deliveries.queue import Queue

log = logging.getLogger(__name__)

INTERVAL = 1.0
PAGE = 100


class OwnerNotifier:
    """Notifies the owners of disabled subscriptions."""

    def __init__(self, queue: Queue, broker: EventBroker, keys: Keyspace, site: str) -> None:
        self._queue = queue
        self._broker = broker
        self._keys = keys
        self._site = site

    async def run(self, stopping: asyncio.Event) -> None:
        """Notify until stopping is set."""
        await repeat(self.notify, INTERVAL, stopping, log, "cannot notify owners of disabled subscriptions")

    async def notify(self) -> int:
        """Notify about subscriptions that were disabled since the last call; return their number."""
        redis = self._queue.redis
        disabled = await redis.srandmember(self._keys.deliveries.key("disabled"), PAGE)
        for raw in disabled:
            fields = await redis.hgetall(self._keys.deliveries.key("subscription", raw.decode()))
            if fields.get(b"status") == b"disabled":
                await self._notify_of(raw.decode(), {name.decode(): value.decode() for name, value in fields.items()})
            else:  # deleted, or enabled again
                await redis.srem(self._keys.deliveries.key("disabled"), raw)
        return len(disabled)

    async def _notify_of(self, subscription: str, fields: dict[str, str]) -> None:
        at = datetime.fromtimestamp(int(fields["disabled_at"]) / 1000, UTC)
        data = SubscriptionDisabled(
            id=subscription, account=fields["account"], reason=fields["status_reason"], disabled_at=at
        )
        notification = event(
            SUBSCRIPTION_DISABLED,
            data,
            id_=f"{subscription}.disabled.{fields['disabled_at']}",
            source=f"{self._site}/notify",
            subject=subscription,
            time=at,
        )
        await self._broker.publish(notification, stream=self._keys.outcomes)
        await self._queue.call(
            "notify_owner",
            id=subscription,
            disabled_at=fields["disabled_at"],
            account=fields["account"],
            event=notification.id,
            type=notification.type,
            envelope=notification.to_json().decode(),
            keep=self._queue.keep_ms,
        )
        log.info("subscription disabled", extra={"subscription": subscription, "reason": fields["status_reason"]})

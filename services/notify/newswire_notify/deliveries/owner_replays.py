"""What owners do with deliveries: replay and cancel them, with one audit entry for each act."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, record
from newswire.timestamps import redis_time_ms
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import Deliveries, NotReplayableError
from newswire_notify.fanout.backfill import replay_since
from newswire_notify.subscriptions.models import Subscription

EXAMINED_PER_CALL = 500
REPLAYED_PER_CALL = 100
"""Each replay blocks the server for some tens of µs."""
MAX_COUNTED = 50_000
"""Deliveries examined for a count. A count beyond is a lower limit."""


class ReplayRunningError(Exception):
    """An earlier replay of the subscription is running."""


@dataclass(frozen=True, slots=True)
class DeadCount:
    """How many deliveries of a subscription failed for good, up to a time."""

    replayable: int
    superseded: int
    """Of these, how many a later version of their article supersedes: they are not sent again."""
    upto: int
    """The time, ms since the epoch: deliveries that fail later do not count."""
    whole: bool
    """Whether all deliveries were examined."""


class OwnerReplays:
    """The acts of owners on deliveries."""

    def __init__(self, deliveries: Deliveries, queue: Queue, records: "Redis", keys: Keyspace) -> None:
        self._deliveries = deliveries
        self._queue = queue
        self._records = records
        self._keys = keys

    async def one(self, found: Subscription, delivery_id: str, *, by: Actor) -> bool:
        """Send a delivery again now; return whether the subscription owns it.

        Raises:
            NotReplayableError: it cannot be sent again.
        """
        exists = await self._deliveries.replay(found.id, delivery_id)
        if exists:
            await self._record(by, found, delivery=delivery_id)
        return exists

    async def since(self, found: Subscription, moment_ms: int, *, by: Actor) -> None:
        """Start a replay of everything since a time.

        Raises:
            newswire_notify.subscriptions.errors.SubscriptionConflictError: the subscription is paused or disabled.
            ReplayRunningError: an earlier one is running.
        """
        if not await replay_since(self._queue, found, moment_ms):
            raise ReplayRunningError
        await self._record(by, found, since_ms=moment_ms)

    async def count_since(self, subscription_id: str, moment_ms: int) -> int:
        """Return how many deliveries were made since a time and are still known: these are sent again."""
        return int(await self._queue.redis.zcount(self._queue.key("deliveries", subscription_id), moment_ms, "+inf"))

    async def count_failed(self, subscription_id: str) -> DeadCount:
        """Count the deliveries that failed for good until now."""
        upto = self._queue.now_ms or await redis_time_ms(self._queue.redis)
        replayable = superseded = examined = 0
        after: list[Any] = []
        listed = await self._list_for_dead(subscription_id)
        while examined < MAX_COUNTED:
            more, later, after = await self._queue.call(
                "count_dead",
                subscription=subscription_id,
                list=listed,
                upto=upto,
                examine=EXAMINED_PER_CALL,
                after=_texts(after),
            )
            replayable, superseded, examined = replayable + more, superseded + later, examined + EXAMINED_PER_CALL
            if not after:
                return DeadCount(replayable, superseded, upto, whole=True)
        return DeadCount(replayable, superseded, upto, whole=False)

    async def failed(self, found: Subscription, upto: int, *, by: Actor) -> int:
        """Send the deliveries again that had failed for good by a time; return how many.

        Repeated with the same time it sends none twice: a delivery that fails again does so later. They are sent a hundred per
        second, so that they do not delay new articles.

        Raises:
            NotReplayableError: the subscription is deleted or disabled.
        """
        replayed = 0
        after: list[Any] = []
        listed = await self._list_for_dead(found.id)
        while True:
            answer = await self._queue.call(
                "replay_dead",
                subscription=found.id,
                list=listed,
                upto=upto,
                examine=EXAMINED_PER_CALL,
                after=_texts(after),
                limit=REPLAYED_PER_CALL,
                replayed=replayed,
                keep=self._queue.keep_ms,
            )
            if answer == b"UNSUBSCRIBED":
                raise NotReplayableError("its subscription is deleted or disabled")
            replayed, after = answer[0], answer[1]
            if not after:
                break
        if replayed:
            await self._record(by, found, failed_until_ms=upto, deliveries=replayed)
        return int(replayed)

    async def _list_for_dead(self, subscription_id: str) -> str:
        """Return in which list dead deliveries are looked for, from the first call of a count or replay to the last."""
        listed: bytes = await self._queue.call("list_for_dead", subscription=subscription_id)
        return listed.decode()

    async def cancel(self, found: Subscription, delivery_id: str, *, by: Actor) -> bool | None:
        """Cancel a delivery; return whether it had not ended, or None where the subscription does not own it."""
        ended = await self._deliveries.cancel(found.id, delivery_id)
        if ended:
            details = {"account": found.account, "subscription": found.id}
            await record(self._records, self._keys, by, Act.DELIVERY_CANCELLED, "delivery", delivery_id, **details)
        return ended

    async def _record(self, by: Actor, found: Subscription, **details: Any) -> None:
        more = {"account": found.account} | details
        await record(self._records, self._keys, by, Act.DELIVERIES_REPLAYED, "subscription", found.id, **more)


def _texts(position: list[Any]) -> list[str]:
    return [part.decode() if isinstance(part, bytes) else part for part in position]

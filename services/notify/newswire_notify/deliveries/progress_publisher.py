"""Publishes how many deliveries of each event have ended, and how, on the outcomes stream, at most once a second."""

import asyncio
import logging

from prometheus_client import Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import pause
from newswire.events import PROGRESSED, CloudEvent, DeliveriesProgressed, event
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker

log = logging.getLogger(__name__)

INTERVAL = 1.0
PAGE = 500

endpoints_waiting = Gauge("newswire_endpoints_with_work", "Endpoints with deliveries waiting or in flight")
dead = Gauge("newswire_dead_deliveries", "Deliveries given up and not yet dropped")


class DeliveryProgressPublisher:
    """Publishes the totals of events whose deliveries have changed."""

    def __init__(self, redis: "Redis", broker: EventBroker, keys: Keyspace, site: str) -> None:
        self._redis = redis
        self._broker = broker
        self._keys = keys
        self._site = site

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until stopping is set."""
        while not stopping.is_set():
            try:
                await self.announce()
                endpoints_waiting.set(await self._redis.zcard(self._keys.deliveries.key("endpoints")))
                dead.set(await self._redis.zcard(self._keys.deliveries.key("deliveries", "dead")))
            except (RedisError, OSError) as error:
                log.warning("cannot publish delivery totals", extra={"reason": str(error)})
            await pause(stopping, INTERVAL)

    async def announce(self) -> int:
        """Publish the totals that changed since the last call; return the number of events."""
        moved = await self._redis.srandmember(self._keys.deliveries.key("progressed"), PAGE)
        if not moved:
            return 0
        # Removed before it is read: a delivery that ends meanwhile adds it again. A crash in between loses one report.
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.srem(self._keys.deliveries.key("progressed"), *moved)
            for event_id in moved:
                pipe.hgetall(self._keys.deliveries.key("progress", event_id.decode()))
            _, *found = await pipe.execute()
        progressed = [
            self._progressed(event_id.decode(), totals) for event_id, totals in zip(moved, found, strict=True) if totals
        ]
        await self._broker.publish_all(progressed, self._keys.outcomes)
        return len(moved)

    def _progressed(self, event_id: str, totals: dict[bytes, bytes]) -> CloudEvent:
        counts = {name: int(totals.get(name.encode(), 0)) for name in ("delivered", "dead", "superseded", "cancelled")}
        data = DeliveriesProgressed(
            id=totals[b"article"].decode(), version=int(totals[b"version"]), event=event_id, **counts
        )
        total = sum(counts.values())
        return event(
            PROGRESSED, data, id_=f"{event_id}.progressed.{total}", source=f"{self._site}/notify", subject=data.id
        )

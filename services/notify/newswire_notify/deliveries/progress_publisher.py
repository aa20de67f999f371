"""Publishes how many deliveries of each event have ended, and how, on the outcomes stream, at most once a second."""

import asyncio
import logging
import math
import time
from datetime import UTC, datetime

from prometheus_client import Gauge
from redis.exceptions import RedisError

from newswire.concurrency.repetition import repeat
from newswire.events import PROGRESSED, event_json
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.observability import metrics
from newswire_notify.deliveries.queue import Queue

log = logging.getLogger(__name__)

INTERVAL = 1.0
PAGE = 500
OUTCOMES = ("delivered", "dead", "superseded", "cancelled")
"""The totals, as `take_progress` returns them."""

endpoints_waiting = Gauge("newswire_endpoints_with_work", "Endpoints with deliveries waiting or in flight")
dead = Gauge("newswire_dead_deliveries", "Deliveries given up and not yet dropped")


class DeliveryProgressPublisher:
    """Publishes the totals of events whose deliveries have changed."""

    def __init__(self, queue: Queue, broker: EventBroker, keys: Keyspace, site: str) -> None:
        self._queue = queue
        self._redis = queue.redis
        self._broker = broker
        self._keys = keys
        self._site = site

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until stopping is set."""
        await repeat(self._publish, INTERVAL, stopping, log, "cannot publish delivery totals")

    async def _publish(self) -> None:
        try:
            await self._observe()
        except (RedisError, OSError):
            for gauge in (endpoints_waiting, metrics.webhook_queue_age, dead):
                gauge.set(math.nan)  # a stale value would look current
            raise
        await self.announce()

    async def _observe(self) -> None:
        endpoints = self._keys.deliveries.key("endpoints")
        endpoints_waiting.set(await self._redis.zcard(endpoints))
        first = await self._redis.zrange(endpoints, 0, 0, withscores=True)
        metrics.webhook_queue_age.set(max(0.0, time.time() - first[0][1] / 1000) if first else 0.0)
        dead.set(await self._redis.zcard(self._keys.deliveries.key("deliveries", "dead")))

    async def announce(self) -> int:
        """Publish the totals that changed since the last call; return the number of events."""
        total = 0
        while page := await self._take():
            await self._broker.publish_all([self._progressed(*each) for each in page], self._keys.outcomes)
            total += len(page)
            if len(page) < PAGE:
                break
        return total

    async def _take(self) -> list[list[bytes]]:
        """Return the id and the totals of events whose totals have changed. A crash before they are published loses one report."""
        taken: list[list[bytes]] = await self._queue.call("take_progress", limit=PAGE)
        return taken

    def _progressed(self, event_id: bytes, article: bytes, version: bytes, *counts: bytes) -> bytes:
        event, totals = event_id.decode(), [int(count) for count in counts]
        data = {"id": article.decode(), "version": int(version), "event": event} | dict(
            zip(OUTCOMES, totals, strict=True)
        )
        return event_json(
            PROGRESSED,
            data,
            id_=f"{event}.progressed.{sum(totals)}",
            source=f"{self._site}/notify",
            subject=article.decode(),
            time=datetime.now(UTC),
        )

"""Publishes how many clients of the live stream received each event, on the outcomes stream, at most once a second."""

import asyncio
import logging
import secrets
from datetime import UTC, datetime
from itertools import islice

from newswire.concurrency.repetition import repeat
from newswire.events import STREAMED, event_json
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
EVENTS_PER_REPORT = 500
MAX_EVENTS = 20_000
"""Events that wait for a report, while Redis is not available. Further ones are not counted."""


class ReachPublisher:
    """Counts for the events of one process, in memory: a count that is not published yet is lost with the process."""

    def __init__(self, broker: EventBroker, keys: Keyspace, site: str) -> None:
        self._broker = broker
        self._keys = keys
        self._site = site
        self._process = secrets.token_hex(6)
        self._reports = 0
        self._readers: dict[str, int] = {}

    def note(self, event: str, readers: int) -> None:
        """Note how many clients an event was sent to."""
        if len(self._readers) < MAX_EVENTS:
            self._readers[event] = readers

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until stopping is set."""
        await repeat(self.publish, INTERVAL_SECONDS, stopping, log, "cannot publish the numbers of live readers")

    async def publish(self) -> None:
        """Publish what was noted since the last call."""
        while self._readers:
            part = dict(islice(self._readers.items(), EVENTS_PER_REPORT))
            await self._broker.publish_all([self._report(part)], self._keys.outcomes)
            for event in part:
                del self._readers[event]

    def _report(self, readers: dict[str, int]) -> bytes:
        self._reports += 1
        return event_json(
            STREAMED,
            {"process": self._process, "events": [{"event": event, "readers": n} for event, n in readers.items()]},
            id_=f"{self._process}.streamed.{self._reports}",
            source=f"{self._site}/notify",
            subject=self._process,
            time=datetime.now(UTC),
        )

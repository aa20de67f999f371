"""Publishes how many mails of each alert came into each state, on the outcomes stream, at most once a second."""

import asyncio
import logging
from datetime import UTC, datetime

from newswire.concurrency.repetition import repeat
from newswire.events import MAILED, event_json
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire_notify.newsletters.issues import REPORTED, version_of_alert
from newswire_notify.newsletters.mail_queue import MailQueue

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
PAGE = 500


class MailProgressPublisher:
    """Publishes the numbers of alerts whose mails have changed."""

    def __init__(self, queue: MailQueue, broker: EventBroker, keys: Keyspace, site: str) -> None:
        self._queue = queue
        self._broker = broker
        self._keys = keys
        self._site = site

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until stopping is set."""
        await repeat(self.publish, INTERVAL_SECONDS, stopping, log, "cannot publish the numbers of mails")

    async def publish(self) -> int:
        """Publish the numbers that changed since the last call; return the number of alerts.

        A crash between taking and publishing them loses one report; the next mail of the alert makes up for it.
        """
        total = 0
        while page := await self._queue.take_progress(PAGE):
            await self._broker.publish_all([self._progressed(*each) for each in page], self._keys.outcomes)
            total += len(page)
            if len(page) < PAGE:
                break
        return total

    def _progressed(self, issue: bytes, newsletter: bytes, article: bytes, *counts: bytes) -> bytes:
        name, article_id, numbers = issue.decode(), article.decode(), [int(count) for count in counts]
        version = version_of_alert(name)
        event = f"{article_id}.{version}"
        data = {"id": article_id, "version": version, "event": event, "newsletter": newsletter.decode()}
        return event_json(
            MAILED,
            data | dict(zip(REPORTED, numbers, strict=True)),
            id_=f"{name}.progressed.{sum(numbers)}",
            source=f"{self._site}/notify",
            subject=article_id,
            time=datetime.now(UTC),
        )

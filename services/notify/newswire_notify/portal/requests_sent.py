"""What was sent to an endpoint: rebuilt from the records, as the worker builds it. Of a retracted article nothing is shown."""

from dataclasses import dataclass

from redis.asyncio import Redis

from newswire.article import Status
from newswire.events import PUBLISHED
from newswire.keys import Keyspace
from newswire.storage.article_records import unpack
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire_notify.deliveries.models import ClaimedDelivery, Endpoint
from newswire_notify.deliveries.queue import Queue
from newswire_notify.fanout.record_events import rebuilt_envelopes
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.webhooks.rendering import Content, render


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """The members of a delivery that its body depends on."""

    id: str
    event: str
    type: str
    article: str
    version: int
    reason: str


class SentRequests:
    """Rebuilds the bodies of deliveries."""

    def __init__(
        self, queue: Queue, records: "Redis", keys: Keyspace, site: str, archive: DocumentArchive = NO_ARCHIVE
    ) -> None:
        self._archive = archive
        self._queue = queue
        self._records = records
        self._keys = keys
        self._site = site

    async def body(self, found: Subscription, facts: DeliveryFacts) -> bytes | None:
        """Return the body of a delivery; None if its article was retracted or erased since.

        Raises:
            newswire.storage.document_archive.DocumentUnavailableError: its text is archived, and the archive cannot be read.
        """
        if facts.type == PUBLISHED and not await self._is_published(facts.article):
            return None
        kept = await self._records.hget(self._keys.version(facts.article, facts.version), "document")
        stored = await self._archive.resolve(facts.article, facts.version, kept)
        document = unpack(stored) if stored and facts.type == PUBLISHED else None
        if facts.type == PUBLISHED and document is None:
            return None
        envelope = await self._envelope(found, facts, stored)
        if not envelope:
            return None
        content = found.content if facts.version else Content.FULL  # a notice is not about an article
        return render(envelope, document, content, facts.reason)

    async def _is_published(self, article: str) -> bool:
        return bool(await self._records.hget(self._keys.article(article), "status") == Status.PUBLISHED.encode())

    async def _envelope(self, found: Subscription, facts: DeliveryFacts, stored: bytes | None) -> bytes:
        own = await self._queue.redis.hget(self._queue.key("delivery", facts.id), "envelope")
        kept: bytes | None = own or await self._queue.redis.hget(self._queue.key("event_plan", facts.event), "envelope")
        if kept:
            return kept
        endpoint = Endpoint(found.id, found.channel.url, "")
        claimed = ClaimedDelivery(
            facts.id, 1, 0, facts.event, facts.type, facts.article, facts.version, facts.reason, endpoint, b""
        )
        documents = {(facts.article, facts.version): stored or b""}
        rebuilt = await rebuilt_envelopes(self._records, self._keys, self._site, [claimed], documents)
        return rebuilt.get(facts.event, b"")

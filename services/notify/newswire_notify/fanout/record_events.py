"""Events rebuilt from the records, for deliveries and backfills that are older than the stream."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.concurrency.loop_yielder import LoopYielder
from newswire.events import (
    FIELD,
    PUBLISHED,
    RETRACTED,
    ArticlePublished,
    ArticleRetracted,
    CloudEvent,
    decode,
    recorded_event,
)
from newswire.keys import Keyspace
from newswire.messaging.stream_position import parse_position
from newswire.storage.article_records import articles_after, unpack
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire_notify.deliveries.models import ClaimedDelivery, Documents
from newswire_notify.webhooks.rendering import envelope

HEADS_PAGE = 500
"""Articles whose heads are read at a time."""
CLOCK_MARGIN_MS = 3_600_000
"""How far the clock of a publishing process may lag behind that of the stream's server."""
_PREFIX = "records"


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A past event with its stream entry id, or an equivalent id."""

    entry: str
    event: CloudEvent
    payload: ArticlePublished | ArticleRetracted


@dataclass(frozen=True, slots=True)
class RecordsCursor:
    """A position in the records, after an article or before the first, of a scan for changes after a stream entry."""

    since: str
    created: int = 0
    article: str = ""

    def written(self) -> str:
        """Return it as text that differs from every stream id."""
        return f"{_PREFIX} {self.since} {self.created} {self.article}"

    @classmethod
    def read(cls, text: str) -> "RecordsCursor | None":
        """Read what `written` returned; None for a stream id."""
        if not text.startswith(_PREFIX):
            return None
        _, since, created, article = text.split(" ")
        return cls(since, int(created), article)


_Head: TypeAlias = tuple[bytes | None, bytes | None, bytes | None, bytes | None]


async def rebuilt_envelopes(
    redis: "Redis", keys: Keyspace, site: str, deliveries: Sequence[ClaimedDelivery], documents: Documents
) -> dict[str, bytes]:
    """Return rebuilt envelopes by event id, except for events whose article was erased or replaced since.

    ``documents``: the stored versions of the deliveries.
    """
    found: dict[str, bytes] = {}
    for delivery in deliveries:
        if delivery.type == PUBLISHED and (document := documents.get((delivery.article, delivery.version))):
            event = recorded_event(orjson.loads(unpack(document)), site)
            found[delivery.event] = envelope(event.model_copy(update={"id": delivery.event}), with_data=False)
    retractions = {delivery.event: delivery for delivery in deliveries if delivery.type == RETRACTED}
    async with redis.pipeline(transaction=False) as pipe:
        for delivery in retractions.values():
            pipe.hmget(keys.article(delivery.article), "status", "tombstone")
        heads = await pipe.execute()
    for delivery, (status, tombstone) in zip(retractions.values(), heads, strict=True):
        if status == Status.RETRACTED.encode() and tombstone:
            data = orjson.loads(tombstone)
            if data["version"] == delivery.version:
                event = recorded_event(data, site)
                found[delivery.event] = envelope(event.model_copy(update={"id": delivery.event}), with_data=True)
    return found


async def changed_since(
    redis: "Redis",
    keys: Keyspace,
    site: str,
    cursor: RecordsCursor,
    limit: int,
    archive: DocumentArchive = NO_ARCHIVE,
) -> tuple[list[PastEvent], RecordsCursor | None, int]:
    """Continue a scan of the records: articles published or retracted after its stream entry, in their current state.

    Returns at most ``limit`` events, the cursor after them (None at the end), and the number of articles examined.

    Raises:
        newswire.storage.document_archive.DocumentUnavailableError: a text is archived, and the archive cannot be read.
    """
    page = await articles_after(redis, keys, cursor.created, cursor.article, HEADS_PAGE)
    async with redis.pipeline(transaction=False) as pipe:
        for article, _ in page:
            pipe.hmget(keys.article(article), "status", "version", "updated_at", "tombstone")
        heads: list[_Head] = await pipe.execute()
    changed = [at for at, head in enumerate(heads) if _may_have_changed(head, cursor.since)][: limit + 1]
    more = len(changed) > limit
    seen = changed[limit] if more else len(page)
    articles = [(page[at][0], heads[at]) for at in changed[:limit]]
    events = await _events(redis, keys, site, cursor.since, articles, archive)
    if not more and len(page) < HEADS_PAGE:
        return events, None, seen
    article, created = page[seen - 1]
    return events, replace(cursor, created=created, article=article), seen


async def _events(
    redis: "Redis",
    keys: Keyspace,
    site: str,
    since: str,
    articles: Sequence[tuple[str, _Head]],
    archive: DocumentArchive,
) -> list[PastEvent]:
    async with redis.pipeline(transaction=False) as pipe:
        for article, (_, version, _, _) in articles:
            pipe.hmget(keys.version(article, int(version or 0)), "document", "entry")
        versions = await pipe.execute()
    numbered = [(article, int(version or 0)) for article, (_, version, _, _) in articles]
    documents = await archive.resolve_all(numbered, [document for document, _ in versions])
    events = []
    yielder = LoopYielder()
    for (_, (status, _, updated, tombstone)), document, (_, entry) in zip(articles, documents, versions, strict=True):
        kept = tombstone if status == Status.RETRACTED.encode() else document
        entry = f"{_milliseconds(updated)}-0" if kept is tombstone or not entry else entry.decode()
        # An article that was just erased has no document; its retraction is on the stream.
        if kept and (kept is tombstone or parse_position(entry) > parse_position(since)):
            data = unpack(kept)
            events.append(_past(entry, recorded_event(orjson.loads(data), site)))
            await yielder.add_bytes(len(data))
    return events


def _may_have_changed(head: _Head, since: str) -> bool:
    status, _, updated, _ = head
    if status not in (Status.PUBLISHED.encode(), Status.RETRACTED.encode()):
        return False
    return updated is None or _milliseconds(updated) >= parse_position(since)[0] - CLOCK_MARGIN_MS


def _milliseconds(updated: bytes | None) -> int:
    return 0 if updated is None else int(datetime.fromisoformat(updated.decode()).timestamp() * 1000)


def _past(entry: str, event: CloudEvent) -> PastEvent:
    _, payload = decode({FIELD.encode(): event.to_json()})
    if not isinstance(payload, ArticlePublished | ArticleRetracted):
        raise TypeError(f"{event.type} is not an article event")
    return PastEvent(entry, event, payload)

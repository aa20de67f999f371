"""Events as clients of the live stream and of pull receive them, and the filters of these clients."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import orjson
from redis.asyncio import Redis

from newswire.auth.tombstone_readers import may_see_tombstone, read_readers
from newswire.events import RETRACTED, ArticlePublished, ArticleRetracted, article_event, recorded_event
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire.messaging.stream_position import BEGINNING, Position, parse_position

_ENVELOPE_FIELDS = {"id", "version", "publisher", "updated_at"}
_MATCHES_ALL = Filter().canonical()


@dataclass(frozen=True, slots=True)
class SseFrame:
    """An event encoded for the live stream, once for all clients."""

    entry: Position
    article: str
    data: bytes


@dataclass(frozen=True)
class StreamEvent:
    """An event with the features that filters need."""

    at: Position
    event: str
    article: str
    type: str
    json: bytes
    """The CloudEvent on one line."""
    features: ArticleFeatures
    version: int = 0
    readers: frozenset[str] = frozenset()
    """For a retraction: digests of the entitlements that could read the article (`newswire.auth.tombstone_readers`)."""

    @property
    def retraction(self) -> bool:
        """Whether it retracts an article."""
        return self.type == RETRACTED

    @cached_property
    def frame(self) -> SseFrame:
        """The event as a server-sent event (WHATWG HTML, section 9.2)."""
        data = b"id: %d-%d\nevent: %s\ndata: %s\n\n" % (*self.at, self.type.encode(), self.json)
        return SseFrame(self.at, self.article, data)


def read_stream_entry(entry_id: bytes, fields: dict[bytes, bytes]) -> StreamEvent | None:
    """Read a stream entry; None for anything but article events."""
    if (read := article_event(fields)) is None:
        return None
    event, payload = read
    return StreamEvent(
        parse_position(entry_id.decode()),
        event.id,
        payload.id,
        event.type,
        event.to_json(),
        ArticleFeatures.of(payload),
        payload.version,
    )


def event_from_version(document: bytes, site: str) -> StreamEvent:
    """Build the event of a version from its record, the JSON of the event's data. It has no position on the stream.

    The document, of up to 2 MiB, is parsed once and copied into the event unchanged.
    """
    article = ArticlePublished.model_validate_json(document)
    event = recorded_event(article.model_dump(include=_ENVELOPE_FIELDS), site)
    json = event.model_copy(update={"data": {}}).to_json().removesuffix(b"{}}") + document + b"}"
    return StreamEvent(BEGINNING, event.id, article.id, event.type, json, ArticleFeatures.of(article), article.version)


def event_from_tombstone(tombstone: bytes, site: str) -> StreamEvent:
    """Build the event of a retraction from its tombstone, in JSON. It has no position on the stream."""
    event = recorded_event(orjson.loads(tombstone), site)
    retraction = ArticleRetracted.model_validate(event.data)
    features = ArticleFeatures.of(retraction)
    return StreamEvent(BEGINNING, event.id, retraction.id, event.type, event.to_json(), features, retraction.version)


async def with_readers(
    redis: "Redis", keys: Keyspace, entries: Sequence[StreamEvent | None]
) -> list[StreamEvent | None]:
    """Return the same events; each retraction with the entitlements that could read its article."""
    retractions = [entry for entry in entries if entry is not None and entry.retraction]
    if not retractions:
        return list(entries)
    noted = await read_readers(redis, keys, [(entry.article, entry.version) for entry in retractions])
    known = {id(entry): replace(entry, readers=found) for entry, found in zip(retractions, noted, strict=True)}
    return [known.get(id(entry), entry) for entry in entries]


@dataclass(frozen=True)
class StreamFilter:
    """The filters of a client: its own, its token's and its account's. An event must match all of them."""

    filters: tuple[Filter, ...] = ()
    entitlement: Filter | None = None

    @classmethod
    def combine(cls, filters: Iterable[Filter | None], entitlement: Filter | None = None) -> "StreamFilter":
        """Combine filters; None and filters that match everything are omitted."""
        return cls(
            tuple(filter_ for filter_ in filters if filter_ and filter_.canonical() != _MATCHES_ALL), entitlement
        )

    @cached_property
    def key(self) -> tuple[str, ...]:
        """A key that equal filters share."""
        entitled = () if self.entitlement is None else ("entitled", self.entitlement.canonical())
        return (*sorted({filter_.canonical() for filter_ in self.filters}), *entitled)

    @cached_property
    def searches_text(self) -> bool:
        """Whether a filter searches the text of articles, which takes far longer than anything else."""
        entitled = () if self.entitlement is None else (self.entitlement,)
        return any(filter_.query for filter_ in (*self.filters, *entitled))

    def matches(self, entry: StreamEvent) -> bool:
        """Return whether the client receives an event. A retraction is matched by its fields alone, because its text is gone.

        The client does not learn of retractions of articles that its account is not entitled to.
        """
        if self.entitlement is not None and not entry.retraction and not self.entitlement.matches(entry.features):
            return False
        return self.may_see_retraction(entry) and self.matches_filters(entry)

    def matches_filters(self, entry: StreamEvent) -> bool:
        """Return whether an event matches the filters, regardless of the entitlement."""
        return all(filter_.matches(entry.features, text=not entry.retraction) for filter_ in self.filters)

    def may_see_retraction(self, entry: StreamEvent) -> bool:
        """Return whether the account could read the article that a retraction withdraws; True for other events."""
        return not entry.retraction or may_see_tombstone(self.entitlement, entry.features, entry.readers)

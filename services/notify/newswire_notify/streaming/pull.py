"""Pull: events by page, with the same events and filters as the live stream.

A client that starts without a cursor, or whose position is gone because the stream was trimmed or replaced, starts with the
records: the current state of every article, oldest first. The end of the stream is noted before the first record is read, and the
cursor continues there after the last one: changes made meanwhile may be returned twice, and nothing is missed.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.auth.signed_tokens import InvalidTokenError, Purpose, SignedTokens
from newswire.concurrency.fair_slots import FairSlots
from newswire.concurrency.fair_threads import current_client
from newswire.keys import Keyspace
from newswire.messaging.stream_position import BEGINNING, Position, format_position, newest_entry, parse_position
from newswire.storage.article_records import stored_documents, unpack, unpacked_size
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire.storage.replication import ReplicationBarrier
from newswire_notify.streaming.event_scan import RawEntry, ScanBudget, scan
from newswire_notify.streaming.stream_events import (
    StreamEvent,
    StreamFilter,
    event_from_tombstone,
    event_from_version,
    read_stream_entry,
    with_readers,
)

READ_BATCH_SIZE = 50
"""Entries or articles read at a time."""
MAX_CONCURRENT_PAGES = 4
"""Pages that a process builds concurrently; clients take turns. A page may use some 25 MiB while it is built: the entries read, and
its events. Decoding is bound by the processor, so that more at a time would not be ready sooner."""
MAX_PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of the events on a page; a single event may be larger."""
_OPAQUE = "r"
_BEFORE_FIRST: Position = (0, 1)
"""Before the first event; `BEGINNING` instead means the current state of every article."""


@dataclass(frozen=True, slots=True)
class RecordsPosition:
    """A position in the records: after an article, or before the first."""

    then: Position
    """The stream position that follows the last record."""
    retractions: bool
    """Whether the client may have articles that were retracted since."""
    created: int = 0
    article: str = ""


PullPosition: TypeAlias = Position | RecordsPosition
"""A position after a stream entry, or in the records."""


@dataclass
class Page:
    """Events, each as JSON, and the position of the next ones."""

    next: PullPosition
    events: list[bytes] = field(default_factory=list)
    more: bool = True
    """Whether more events follow now."""
    restarted: bool = False
    """Whether the requested position is gone and the page starts again with the records."""


class Pull:
    """Reads pages of events."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        site: str,
        barrier: ReplicationBarrier | None = None,
        archive: DocumentArchive = NO_ARCHIVE,
    ) -> None:
        self._archive = archive
        self._redis = redis
        self._keys = keys
        self._site = site
        self._with_readers = partial(with_readers, redis, keys)
        self._turns = FairSlots(MAX_CONCURRENT_PAGES)
        self._barrier = barrier or ReplicationBarrier(redis, keys)

    async def newest(self) -> Position:
        """Return the end of the stream; for an empty one, a position before its first entry other than `BEGINNING`."""
        return max(parse_position(await newest_entry(self._redis, self._keys.stream)), _BEFORE_FIRST)

    async def page(
        self, stream_filter: StreamFilter, after: PullPosition, limit: int, budget: ScanBudget | None = None
    ) -> Page:
        """Return the events after a position: at most ``limit``, and no more than the budget allows.

        Raises:
            OffloadError: too many large events are waiting to be decoded.
            redis.exceptions.RedisError: replicas of Redis do not confirm that they have the events.
        """
        await self._turns.acquire(current_client.get())
        try:
            history = await self._barrier.history()
            page = await self._page(stream_filter, after, limit, budget or ScanBudget())
        finally:
            self._turns.release()
        if page.events:
            await self._barrier.confirm(history)
        return page

    async def _page(self, stream_filter: StreamFilter, after: PullPosition, limit: int, budget: ScanBudget) -> Page:
        begin = await self._begin(after)
        page = Page(begin, restarted=begin != after and after != BEGINNING)
        size = 0
        included = set[str]()
        async with aclosing(self._from(begin, stream_filter, budget)) as following:
            async for entry, position in following:
                # Around the change from records to stream an event may come from both.
                if entry is not None and entry.event not in included:
                    if page.events and size + len(entry.json) > MAX_PAGE_BYTES:
                        return page
                    page.events.append(entry.json)
                    included.add(entry.event)
                    size += len(entry.json)
                if isinstance(position, RecordsPosition) and not position.article:
                    page.restarted = True
                    included.clear()
                page.next = position
                if len(page.events) >= limit:
                    return page
        page.more = budget.spent
        return page

    async def _begin(self, after: PullPosition) -> PullPosition:
        """Return the position itself, or the start of the records where it is unknown."""
        if isinstance(after, RecordsPosition):
            return after
        newest = await self.newest()
        if after == BEGINNING or after > newest:
            return RecordsPosition(newest, retractions=after != BEGINNING)
        return after

    async def _from(
        self, position: PullPosition, stream_filter: StreamFilter, budget: ScanBudget
    ) -> AsyncGenerator[tuple[StreamEvent | None, PullPosition]]:
        """Yield the events after a position within the budget: each one that matches (else None), and the position after it."""
        while not budget.spent:
            if isinstance(position, RecordsPosition):
                if records := await self._records(position, budget.next_count(READ_BATCH_SIZE)):
                    for entry, recorded in await scan(records, stream_filter, budget, self._with_readers):
                        position = recorded
                        yield entry, recorded
                        del entry  # release the text, which may be long
                    continue
                position = position.then
                yield None, position
            count = budget.next_count(READ_BATCH_SIZE)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xrange(self._keys.stream, f"({format_position(position)}", count=count)
                pipe.get(self._keys.trimmed)
                page, trimmed = await pipe.execute()
            if position < parse_position((trimmed or b"0-0").decode()):
                position = RecordsPosition(await self.newest(), retractions=True)
                yield None, position
                continue
            for entry, behind in await scan([_raw(*each) for each in page], stream_filter, budget, self._with_readers):
                position = behind
                yield entry, behind
            if len(page) < count and not budget.spent:
                return

    async def _records(self, after: RecordsPosition, count: int) -> list[RawEntry[RecordsPosition]]:
        """Read the next articles, except unpublished ones and those just erased: the stream has their retraction."""
        start = 0
        if after.article:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zrank(self._keys.articles, after.article)
                pipe.zcount(self._keys.articles, "-inf", f"({after.created}")
                rank, earlier = await pipe.execute()
            start = earlier if rank is None else rank + 1  # a cancelled article has no rank
        ids = await self._redis.zrange(self._keys.articles, start, start + count - 1, withscores=True)
        positions = [replace(after, created=int(score), article=raw.decode()) for raw, score in ids]
        async with self._redis.pipeline(transaction=False) as pipe:
            for position in positions:
                pipe.hmget(self._keys.article(position.article), "status", "version", "tombstone")
            heads = await pipe.execute()
        versions = [
            (position.article, int(version or 0)) for position, (_, version, _) in zip(positions, heads, strict=True)
        ]
        documents = await stored_documents(self._redis, self._keys, versions, self._archive)
        found: list[RawEntry[RecordsPosition]] = []
        for position, (status, _, tombstone), document in zip(positions, heads, documents, strict=True):
            if status == Status.PUBLISHED.encode() and document:
                found.append(RawEntry(position, unpacked_size(document), partial(_version, document, self._site)))
            elif status == Status.RETRACTED.encode() and after.retractions and tombstone:
                size = len(tombstone)
                found.append(RawEntry(position, size, partial(event_from_tombstone, tombstone, self._site)))
            else:
                found.append(RawEntry(position, 0, _nothing))
        return found


def _raw(entry_id: bytes, fields: dict[bytes, bytes]) -> RawEntry[PullPosition]:
    return RawEntry(
        parse_position(entry_id.decode()), sum(map(len, fields.values())), partial(read_stream_entry, entry_id, fields)
    )


def _version(packed: bytes, site: str) -> StreamEvent:
    return event_from_version(unpack(packed), site)


def _nothing() -> None:
    return None


async def read_cursor(sent: str, tokens: SignedTokens, bound_to: Any) -> PullPosition:
    """Read the cursor that a client sends: a stream id, or the result of `write_cursor` for the same reader and filters.

    Raises:
        newswire.auth.signed_tokens.InvalidTokenError: it is neither.
    """
    if not sent.startswith(_OPAQUE):
        try:
            return parse_position(sent)
        except ValueError:
            raise InvalidTokenError("not an id of the stream") from None
    content = await tokens.read(Purpose.EVENTS_CURSOR, sent.removeprefix(_OPAQUE), bound_to=bound_to)
    then, retractions, created, article = orjson.loads(content)
    return RecordsPosition(parse_position(then), retractions, created, article)


async def write_cursor(position: PullPosition, tokens: SignedTokens, bound_to: Any) -> str:
    """Return a position as a cursor: on the stream it is the id from which the live stream resumes too.

    A position in the records is signed. It does not expire, because a mirror may have been stopped for any time.
    """
    if not isinstance(position, RecordsPosition):
        return format_position(position)
    held = [format_position(position.then), position.retractions, position.created, position.article]
    return _OPAQUE + await tokens.write(Purpose.EVENTS_CURSOR, orjson.dumps(held), bound_to=bound_to)

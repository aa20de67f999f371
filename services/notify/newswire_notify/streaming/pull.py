"""Events by the page: the same, with the same filters, as on the live stream.

Whoever starts from nothing, or has lost its place because the stream was trimmed or replaced, begins with the records: every
article as it is now, oldest first. The stream's end is noted before the first record is read, and the cursor crosses over to
there behind the last: what changed meanwhile comes a second time, and nothing is left out.
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
from newswire.storage.article_records import unpack, unpacked_size
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
"""Entries or articles that are read at a time."""
MAX_CONCURRENT_PAGES = 4
"""Pages that a process makes at a time, of each client in turn. One may hold some 25 MiB until it is made: what is read for it,
and the events on it. Reading them is the processor's work, so more at a time would not be ready sooner."""
MAX_PAGE_BYTES = 4 * 1024 * 1024
"""Of events on a page; a single one may be larger."""
_OPAQUE = "r"
_UNBEGUN: Position = (0, 1)
"""From here on every event is told; from `BEGINNING` on, every article as it is now."""


@dataclass(frozen=True, slots=True)
class RecordsPosition:
    """A place among the records: behind an article, or before the first."""

    then: Position
    """Where the stream goes on behind the last record."""
    retractions: bool
    """Whether the reader may hold articles that were retracted since."""
    created: int = 0
    article: str = ""


PullPosition: TypeAlias = Position | RecordsPosition
"""Behind an entry of the stream, or among the records."""


@dataclass
class Page:
    """Some events, each as JSON, and where the next ones are."""

    next: PullPosition
    events: list[bytes] = field(default_factory=list)
    more: bool = True
    """Whether there is more to be had at once."""
    restarted: bool = False
    """Whether the place that was asked for is lost, and all begins anew with the records."""


class Pull:
    """Reads pages of events."""

    def __init__(self, redis: "Redis", keys: Keyspace, site: str) -> None:
        self._redis = redis
        self._keys = keys
        self._site = site
        self._with_readers = partial(with_readers, redis, keys)
        self._turns = FairSlots(MAX_CONCURRENT_PAGES)

    async def newest(self) -> Position:
        """Return where the stream ends; where it has not begun, a place before its first entry that is not `BEGINNING`."""
        return max(parse_position(await newest_entry(self._redis, self._keys.stream)), _UNBEGUN)

    async def page(
        self, stream_filter: StreamFilter, after: PullPosition, limit: int, budget: ScanBudget | None = None
    ) -> Page:
        """Return what comes after a place: at most ``limit`` events, and no more than can be read within a budget.

        Raises:
            OffloadError: too many large events wait to be read.
        """
        await self._turns.take(current_client.get())
        try:
            return await self._page(stream_filter, after, limit, budget or ScanBudget())
        finally:
            self._turns.give()

    async def _page(self, stream_filter: StreamFilter, after: PullPosition, limit: int, budget: ScanBudget) -> Page:
        begin = await self._begin(after)
        page = Page(begin, restarted=begin != after and after != BEGINNING)
        size = 0
        told = set[str]()
        async with aclosing(self._from(begin, stream_filter, budget)) as following:
            async for entry, place in following:
                # Where records and stream meet, an event may come from both.
                if entry is not None and entry.event not in told:
                    if page.events and size + len(entry.json) > MAX_PAGE_BYTES:
                        return page
                    page.events.append(entry.json)
                    told.add(entry.event)
                    size += len(entry.json)
                if isinstance(place, RecordsPosition) and not place.article:
                    page.restarted = True
                    told.clear()
                page.next = place
                if len(page.events) >= limit:
                    return page
        page.more = budget.spent
        return page

    async def _begin(self, after: PullPosition) -> PullPosition:
        """Return the place itself, or the beginning of the records where there is no way on from it."""
        if isinstance(after, RecordsPosition):
            return after
        newest = await self.newest()
        if after == BEGINNING or after > newest:
            return RecordsPosition(newest, retractions=after != BEGINNING)
        return after

    async def _from(
        self, place: PullPosition, stream_filter: StreamFilter, budget: ScanBudget
    ) -> AsyncGenerator[tuple[StreamEvent | None, PullPosition]]:
        """Go through what comes after a place while the budget lasts; with each whether it was asked for, and what is behind."""
        while not budget.spent:
            if isinstance(place, RecordsPosition):
                if records := await self._records(place, budget.next_count(READ_BATCH_SIZE)):
                    for entry, recorded in await scan(records, stream_filter, budget, self._with_readers):
                        place = recorded
                        yield entry, recorded
                        del entry  # its page has what it needs, and the text may be long
                    continue
                place = place.then
                yield None, place
            count = budget.next_count(READ_BATCH_SIZE)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xrange(self._keys.stream, f"({format_position(place)}", count=count)
                pipe.get(self._keys.trimmed)
                page, trimmed = await pipe.execute()
            if place < parse_position((trimmed or b"0-0").decode()):
                place = RecordsPosition(await self.newest(), retractions=True)
                yield None, place
                continue
            for entry, behind in await scan([_raw(*each) for each in page], stream_filter, budget, self._with_readers):
                place = behind
                yield entry, behind
            if len(page) < count and not budget.spent:
                return

    async def _records(self, after: RecordsPosition, count: int) -> list[RawEntry[RecordsPosition]]:
        """Read the next articles; none of one that is not out, or was erased this moment: the stream tells of it."""
        start = 0
        if after.article:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zrank(self._keys.articles, after.article)
                pipe.zcount(self._keys.articles, "-inf", f"({after.created}")
                rank, earlier = await pipe.execute()
            start = earlier if rank is None else rank + 1  # one that was cancelled meanwhile has no rank
        ids = await self._redis.zrange(self._keys.articles, start, start + count - 1, withscores=True)
        places = [replace(after, created=int(score), article=raw.decode()) for raw, score in ids]
        async with self._redis.pipeline(transaction=False) as pipe:
            for place in places:
                pipe.hmget(self._keys.article(place.article), "status", "version", "tombstone")
            heads = await pipe.execute()
        async with self._redis.pipeline(transaction=False) as pipe:
            for place, (_, version, _) in zip(places, heads, strict=True):
                pipe.hget(self._keys.version(place.article, int(version or 0)), "document")
            documents = await pipe.execute()
        found: list[RawEntry[RecordsPosition]] = []
        for place, (status, _, tombstone), document in zip(places, heads, documents, strict=True):
            if status == Status.PUBLISHED.encode() and document:
                found.append(RawEntry(place, unpacked_size(document), partial(_version, document, self._site)))
            elif status == Status.RETRACTED.encode() and after.retractions and tombstone:
                size = len(tombstone)
                found.append(RawEntry(place, size, partial(event_from_tombstone, tombstone, self._site)))
            else:
                found.append(RawEntry(place, 0, _nothing))
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
    """Read the place that a client sends: a stream id, or what `write_cursor` returned for the same reader and filters.

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


async def write_cursor(place: PullPosition, tokens: SignedTokens, bound_to: Any) -> str:
    """Return a place as clients hold it: on the stream it is the id that the live stream resumes from as well.

    A place among the records is signed. It leads on for ever, since a mirror may have been stopped for any time.
    """
    if not isinstance(place, RecordsPosition):
        return format_position(place)
    held = [format_position(place.then), place.retractions, place.created, place.article]
    return _OPAQUE + await tokens.write(Purpose.EVENTS_CURSOR, orjson.dumps(held), bound_to=bound_to)

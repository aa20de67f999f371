"""Backfills: past events matched for one subscription alone.

They serve a start in the past, the time of a pause, and a replay. A backfill advances in small steps (``backfill.lua``), in any
process, and only while few deliveries wait at the endpoint, so that new events are not delayed. Where the stream was trimmed past
its cursor it continues in the records: each article that changed since, in its current state.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.article import Status
from newswire.concurrency.backoff import pause
from newswire.concurrency.offload import OffloadError
from newswire.events import ArticlePublished, ArticleRetracted, article_event
from newswire.keys import Keyspace
from newswire.messaging.stream_position import newest_entry, parse_position
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire.storage.memory_guard import MemoryGuard
from newswire_notify.deliveries.queue import Queue
from newswire_notify.fanout.record_events import PastEvent, RecordsCursor, changed_since
from newswire_notify.streaming.event_scan import offload_if_large
from newswire_notify.subscriptions.errors import SubscriptionConflictError
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.subscriptions.repository import last_id_before
from newswire_notify.webhooks.rendering import envelope

log = logging.getLogger(__name__)

PAGE_SIZE = 25
"""Events read at a time: each may be as large as an article."""
IDLE_SECONDS = 0.5
LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class BackfillStatus:
    """Progress of a backfill. Times are ms since the epoch."""

    state: str
    """``waiting``, ``running`` or ``done``."""
    since: int
    reached: int
    examined: int
    enqueued: int
    created: int
    ended: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Past events, the cursor after them (None at the end), and how many entries or articles were examined."""

    events: Sequence[PastEvent]
    reached: str | None
    examined: int


class BackfillWorker:
    """Advances the backfills of one namespace. Any number of processes may share the work."""

    def __init__(
        self,
        queue: Queue,
        records: "Redis",
        keys: Keyspace,
        site: str,
        *,
        memory: MemoryGuard | None = None,
        on_enqueued: Callable[[], None] = lambda: None,
        archive: DocumentArchive = NO_ARCHIVE,
    ) -> None:
        self._archive = archive
        self._queue = queue
        self._records = records
        self._keys = keys
        self._site = site
        self._memory = memory
        self._on_enqueued = on_enqueued

    async def run(self, stopping: asyncio.Event) -> None:
        """Advance backfills until stopping is set, at most half of the time."""
        while not stopping.is_set():
            began = time.monotonic()
            worked = False
            try:
                if self._memory is None or self._memory.full is None:
                    worked = await self.step()
            except (RedisError, OSError, OffloadError) as error:
                log.warning("cannot advance backfills", extra={"reason": str(error)})
            await pause(stopping, time.monotonic() - began if worked else IDLE_SECONDS)

    async def step(self) -> bool:
        """Advance the backfill that has waited longest by one page; return whether there was one."""
        taken = await self._queue.call("claim_backfill", lease=int(LEASE_SECONDS * 1000))
        if not taken:
            return False
        backfill, sub, at, upto = (part.decode() for part in taken[:4])
        fields = await self._queue.redis.hgetall(self._queue.key("subscription", sub))
        if not fields:
            return True
        subscription = Subscription.read(fields)
        end = upto or await newest_entry(self._records, self._keys.stream)
        page = await self._page(at, end)
        matching = await self._matching_ids(subscription, page.events)
        enqueued = await self._queue.call(
            "advance_backfill",
            id=backfill,
            cursor=at,
            reached=page.reached or end,
            end_entry=end,
            done=page.reached is None,
            keep=self._queue.keep_ms,
            examined=page.examined,
            events=[_event_arguments(past, past.event.id in matching) for past in page.events],
        )
        if enqueued > 0:
            self._on_enqueued()
        return True

    async def _page(self, at: str, end: str) -> Page:
        """Read the events after a cursor: from the stream, or from the records where the stream was trimmed past it."""
        cursor = RecordsCursor.read(at)
        if cursor is None:
            async with self._records.pipeline(transaction=True) as pipe:
                pipe.xrange(self._keys.stream, f"({at}", end, count=PAGE_SIZE)
                pipe.get(self._keys.trimmed)
                page, trimmed = await pipe.execute()
            if parse_position(at) >= parse_position((trimmed or b"0-0").decode()):
                read = (_past(entry.decode(), found) for entry, found in page)
                size = sum(len(value) for _, found in page for value in found.values())
                events = [past for past in await offload_if_large(read, size, searches_text=False) if past]
                return Page(events, page[-1][0].decode() if len(page) == PAGE_SIZE else None, len(page))
            cursor = RecordsCursor(at)
        events, following, examined = await changed_since(
            self._records, self._keys, self._site, cursor, PAGE_SIZE, self._archive
        )
        return Page(events, following.written() if following else None, examined)

    async def _matching_ids(self, subscription: Subscription, events: Sequence[PastEvent]) -> set[str]:
        """Return the ids of the events that match the subscription and whose version is current."""
        criteria = subscription.criteria()
        versions = [past for past in events if isinstance(past.payload, ArticlePublished)]
        size = sum(len(past.payload.text) for past in versions if isinstance(past.payload, ArticlePublished))
        matched = (isinstance(past.payload, ArticlePublished) and criteria.matches(past.payload) for past in versions)
        matches = await offload_if_large(matched, size, searches_text=True)
        wanted = [past for past, matched in zip(versions, matches, strict=True) if matched]
        async with self._records.pipeline(transaction=False) as pipe:
            for past in wanted:
                pipe.hmget(self._keys.article(past.payload.id), "status", "version")
            heads = await pipe.execute()
        published = Status.PUBLISHED.encode()
        return {
            past.event.id
            for past, (status, version) in zip(wanted, heads, strict=True)
            if status == published and version == str(past.payload.version).encode()
        }


async def replay_since(queue: Queue, found: Subscription, moment_ms: int) -> bool:
    """Start a replay of everything since a time, with the same ids; return whether it was started.

    It is not while an earlier backfill of the subscription is running.

    Raises:
        SubscriptionConflictError: the subscription is paused or disabled.
    """
    answer = await queue.call(
        "replay_since", id=found.id, account=found.account, since=moment_ms, after=last_id_before(moment_ms)
    )
    if answer in (b"PAUSED", b"DISABLED"):
        raise SubscriptionConflictError(f"it is {answer.decode().lower()}")
    return bool(answer == b"OK")


async def backfill_status(queue: Queue, subscription_id: str) -> BackfillStatus | None:
    """Return the progress of the latest backfill of a subscription, or None where it had none recently."""
    backfill = await queue.redis.hget(queue.key("subscription", subscription_id), "backfill")
    fields = await queue.redis.hgetall(queue.key("backfill", backfill.decode())) if backfill else None
    if not fields:
        return None
    return BackfillStatus(
        state=fields[b"state"].decode(),
        since=int(fields[b"since"]),
        reached=int(
            fields[b"since"] if RecordsCursor.read(fields[b"cursor"].decode()) else fields[b"cursor"].split(b"-")[0]
        ),
        examined=int(fields[b"examined"]),
        enqueued=int(fields[b"enqueued"]),
        created=int(fields[b"created"]),
        ended=int(fields[b"ended"]) if b"ended" in fields else None,
    )


def _event_arguments(past: PastEvent, matches: bool) -> dict[str, Any]:
    retracted = isinstance(past.payload, ArticleRetracted)
    return {
        "id": past.event.id,
        "type": past.event.type,
        "kind": "retracted" if retracted else "published",
        "article": past.payload.id,
        "version": past.payload.version,
        "entry": past.entry,
        "envelope": envelope(past.event, with_data=retracted).decode(),
        "matches": matches,
    }


def _past(entry: str, fields: dict[bytes, bytes]) -> PastEvent | None:
    """Read a stream entry; None for anything but article events."""
    read = article_event(fields)
    return None if read is None else PastEvent(entry, *read)

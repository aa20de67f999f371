"""What came before: past events, gone through for one subscription alone.

So that a subscription may begin with a time gone by, go on where it was paused, or ask for all since a time again. It is done a
little at a time (``backlog.lua``), by whichever process comes first, and never so that much waits at an endpoint: what is
published meanwhile is not held up. Where the stream was trimmed past the cursor from which it is gone through, the records are gone
through instead: each article that changed since, as it stands now.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.article import Status
from newswire.concurrency.backoff import pause
from newswire.concurrency.offload import OffloadError
from newswire.events import ArticlePublished, ArticleRetracted, article_event
from newswire.keys import Keyspace
from newswire.messaging.stream_position import newest_entry, parse_position
from newswire.storage.memory_guard import MemoryGuard
from newswire.storage.redis_functions import Argument
from newswire_notify.deliveries.queue import Queue
from newswire_notify.fanout.record_events import PastEvent, RecordsCursor, changed_since
from newswire_notify.streaming.event_scan import offload_if_large
from newswire_notify.subscriptions.repository import Subscription, SubscriptionConflictError, last_id_before
from newswire_notify.webhooks.rendering import envelope

log = logging.getLogger(__name__)

PAGE_SIZE = 25
"""Events that are read at a time: each may be as large as an article."""
IDLE_SECONDS = 0.5
LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class BackfillStatus:
    """How far a backlog has got. Times are ms since the epoch."""

    state: str
    """``waiting``, ``running`` or ``done``."""
    since: int
    reached: int
    looked_at: int
    enqueued: int
    created: int
    ended: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some past events, where they end (None: that was all), and how many entries or articles were looked at for them."""

    events: Sequence[PastEvent]
    reached: str | None
    looked_at: int


class BackfillWorker:
    """Works off the backlogs of one namespace. Any number of processes may share the work."""

    def __init__(
        self,
        queue: Queue,
        records: "Redis",
        keys: Keyspace,
        site: str,
        *,
        memory: MemoryGuard | None = None,
        on_enqueued: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue = queue
        self._records = records
        self._keys = keys
        self._site = site
        self._memory = memory
        self._on_enqueued = on_enqueued

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until stopping is set, half of the time at the most."""
        while not stopping.is_set():
            began = time.monotonic()
            worked = False
            try:
                if self._memory is None or self._memory.full is None:
                    worked = await self.step()
            except (RedisError, OSError, OffloadError) as error:
                log.warning("backlogs cannot be worked off", extra={"reason": str(error)})
            await pause(stopping, time.monotonic() - began if worked else IDLE_SECONDS)

    async def step(self) -> bool:
        """Go through a few more events for the subscription that waits longest; return whether there was one."""
        taken = await self._queue.functions.call(
            "take_backlog", [], [self._queue.prefix, self._queue.now, int(LEASE_SECONDS * 1000)]
        )
        if not taken:
            return False
        backlog, sub, at, upto = (part.decode() for part in taken[:4])
        fields = await self._queue.redis.hgetall(self._queue.key("subscription", sub))
        if not fields:
            return True
        subscription = Subscription.read(fields)
        end = upto or await newest_entry(self._records, self._keys.stream)
        page = await self._page(at, end)
        arguments: list[Argument] = [
            self._queue.prefix,
            backlog,
            at,
            page.reached or end,
            end,
            int(page.reached is None),
            self._queue.now,
            self._queue.keep_ms,
            page.looked_at,
        ]
        asked = await self._asked_for(subscription, page.events)
        for past in page.events:
            retracted = isinstance(past.payload, ArticleRetracted)
            arguments += [
                past.event.id,
                past.event.type,
                "retracted" if retracted else "published",
                past.payload.id,
                past.payload.version,
                past.entry,
                envelope(past.event, with_data=retracted),
                int(past.event.id in asked),
            ]
        if await self._queue.functions.call("step_backlog", [], arguments) > 0:
            self._on_enqueued()
        return True

    async def _page(self, at: str, end: str) -> Page:
        """Read the events that follow a cursor, on the stream, or in the records where the stream has lost the cursor."""
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
        events, following, looked_at = await changed_since(self._records, self._keys, self._site, cursor, PAGE_SIZE)
        return Page(events, following.written() if following else None, looked_at)

    async def _asked_for(self, subscription: Subscription, events: Sequence[PastEvent]) -> set[str]:
        """Return the events of the versions that the subscription asks for and that no later one has replaced."""
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
    """Ask for all since a time to be sent again, with the ids that it had; return whether it can be done now.

    It cannot while an earlier backlog of the subscription is not done.

    Raises:
        SubscriptionConflictError: the subscription is paused or disabled.
    """
    since = last_id_before(moment_ms)
    answer = await queue.functions.call(
        "replay_since", [], [queue.prefix, found.id, found.account, moment_ms, since, queue.now]
    )
    if answer in (b"PAUSED", b"DISABLED"):
        raise SubscriptionConflictError(f"it is {answer.decode().lower()}")
    return bool(answer == b"OK")


async def backfill_status(queue: Queue, subscription_id: str) -> BackfillStatus | None:
    """Return how far the latest backlog of a subscription has got, or None where it had none lately."""
    backlog = await queue.redis.hget(queue.key("subscription", subscription_id), "backlog")
    fields = await queue.redis.hgetall(queue.key("backlog", backlog.decode())) if backlog else None
    if not fields:
        return None
    return BackfillStatus(
        state=fields[b"state"].decode(),
        since=int(fields[b"since"]),
        reached=int(fields[b"since"] if RecordsCursor.read(fields[b"at"].decode()) else fields[b"at"].split(b"-")[0]),
        looked_at=int(fields[b"looked_at"]),
        enqueued=int(fields[b"enqueued"]),
        created=int(fields[b"created"]),
        ended=int(fields[b"ended"]) if b"ended" in fields else None,
    )


def _past(entry: str, fields: dict[bytes, bytes]) -> PastEvent | None:
    """Read an entry of the stream; None for what no subscriber is told of."""
    read = article_event(fields)
    return None if read is None else PastEvent(entry, *read)

"""The live stream: every event as server-sent events, as it happens.

One broadcaster per process reads the article stream and encodes each event once. Clients with equal filters share one
evaluation. The events of one read are joined and written straight to the connections of all clients for which nothing waits, the
same bytes to each. A client that lags behind has its own task and its own bounded queue; where that is full it is disconnected,
and resumes by ``Last-Event-ID``: from the recent events in memory, and before those from the stream itself.

The module is longer than 300 lines because reading the stream, resuming a client and offering it an event change the same state,
the position of the loop and of its clients, in an order that must be seen in one place.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from functools import partial

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.account_changes import AccountChanges
from newswire.concurrency.backoff import delay_after, ended_before, pause, wait_for_any
from newswire.concurrency.loop_yielder import LoopYielder
from newswire.concurrency.offload import Deadline, Offload, OffloadError
from newswire.cost_limits import INLINE_TEXT_BYTES
from newswire.keys import Keyspace
from newswire.messaging.stream_position import BEGINNING, Position, format_position, newest_entry, parse_position
from newswire.observability import metrics
from newswire.storage.replication import ReplicationBarrier
from newswire_notify.streaming.client_timers import ClientTimers
from newswire_notify.streaming.event_names import ENDED
from newswire_notify.streaming.event_scan import RawEntry, ScanBudget, offload_if_large, scan
from newswire_notify.streaming.recent_events import RecentEvents
from newswire_notify.streaming.sse_client import (
    ACCESS_CHANGED,
    GONE,
    HEARTBEAT,
    FilterGroup,
    FrameBatch,
    ResumeFrom,
    ResumePoint,
    SseClient,
    divided,
    stream_frame,
    trimmed_frame,
)
from newswire_notify.streaming.stream_events import SseFrame, StreamEvent, StreamFilter, read_stream_entry, with_readers
from newswire_notify.streaming.stream_reading import PAGE, RedisStream, StreamEntry, StreamSource

log = logging.getLogger(__name__)

HISTORY_PAGE = 50
"""Entries read from the stream at a time for one client; as many wait for a slow one."""
ACCOUNTS_BLOCK_MS = 1000
"""Maximum time of a blocking read of account changes, after which a flush of the server is noticed."""
ANALYSIS_SECONDS = 60.0
"""Time limit for one article, whose text is at most 1 MiB."""
RECONNECT_MS = 2000
CLIENTS_PER_TURN = 256
"""Clients written to before other tasks run: about 2 ms."""
UNOBSERVED_SECONDS = 5.0
"""How long the stream is read, and recent events are kept in memory, for clients that reconnect, when there are none."""
TURN_SECONDS_LIMIT = 0.05
"""Seconds of processor time before the events decoded so far are written: events that are written together cost a client little
more than one."""
DEFAULT_HEARTBEAT_SECONDS = 15.0


class StreamBroadcaster:
    """Follows the article stream for all clients of this process."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        *,
        heartbeat: float = DEFAULT_HEARTBEAT_SECONDS,
        barrier: ReplicationBarrier | None = None,
        source: StreamSource | None = None,
        on_broadcast: Callable[[str, int], None] = lambda event, readers: None,
    ) -> None:
        """Follow the stream in ``redis``; send a comment to clients after ``heartbeat`` seconds of silence.

        ``barrier`` confirms that replicas have the events before clients are sent any.
        ``source`` is where new entries are read from; by default it is ``redis``.
        ``on_broadcast`` is called with each event that is sent to connected clients as it happens, and with their number.
        """
        self._on_broadcast = on_broadcast
        self.running = False
        self.timers = ClientTimers(heartbeat)
        self._redis = redis
        self._keys = keys
        self._barrier = barrier or ReplicationBarrier(redis, keys)
        self._source = source or RedisStream(redis, keys, self._barrier)
        self._groups: dict[tuple[str, ...], FilterGroup] = {}
        self._after: Position | None = None
        self._recent = RecentEvents()
        self._observed_at = time.monotonic()
        """When the last client left; at first when it started, because clients reconnect then."""
        self._connected = asyncio.Event()
        """Set when a client connects."""
        self._stopping: asyncio.Event | None = None
        self._analysing = Offload("live", workers=1)
        self._with_readers = partial(with_readers, redis, keys)

    @property
    def ended(self) -> bool:
        """Whether the process is stopping."""
        return self._stopping is not None and self._stopping.is_set()

    async def check(self) -> str | None:
        """Return why clients receive nothing, or None: a check of `/status`."""
        return None if self.running else "the live stream is not running"

    async def run(self, stopping: asyncio.Event) -> None:
        """Read the stream until stopping is set; retry after errors."""
        self._stopping = stopping
        failures = 0
        ending = asyncio.create_task(self._wake_all_at(stopping))
        try:
            while not stopping.is_set():
                if self._unobserved():
                    await self._rest(stopping)
                    continue
                try:
                    await self._read()
                    failures, self.running = 0, True
                except (RedisError, OSError) as error:
                    self.running = False
                    log.warning("cannot read the live stream", extra={"reason": str(error)})
                    await pause(stopping, delay_after(failures))
                    failures += 1
        finally:
            ending.cancel()
            self.running = False
            if stopping.is_set():
                self._wake_all()

    async def follow_accounts(self, stopping: asyncio.Event) -> None:
        """Disconnect clients whose account changed, until stopping is set. They reconnect, and their access is checked again."""
        changes = AccountChanges(self._redis, self._keys)
        failures = 0
        while not stopping.is_set():
            try:
                changed = await ended_before(stopping, changes.read(ACCOUNTS_BLOCK_MS))
                failures = 0
            except (RedisError, OSError) as error:
                log.warning("cannot read account changes", extra={"reason": str(error)})
                await pause(stopping, delay_after(failures))
                failures += 1
                continue
            if stopping.is_set():
                return
            for client in self._clients():
                if client.account is not None and (changed is None or client.account in changed):
                    client.end(ACCESS_CHANGED)

    @contextlib.contextmanager
    def connect(
        self, stream_filter: StreamFilter, *, limit: int, account: str | None = None, ends: float | None = None
    ) -> Iterator[SseClient]:
        """Register a client, which is offered events from now on."""
        client = SseClient(limit, account, ends)
        group = self._groups.setdefault(stream_filter.key, FilterGroup(stream_filter))
        group.clients.add(client)
        self._connected.set()
        self.timers.add(client)
        metrics.live_clients.inc()
        try:
            yield client
        finally:
            metrics.live_clients.dec()
            self.timers.remove(client)
            group.clients.discard(client)
            if not group.clients:
                self._groups.pop(stream_filter.key, None)
            self._observed_at = time.monotonic()

    async def resume(self, client: SseClient, start: ResumeFrom | None) -> ResumePoint:
        """Return where a client can be resumed; without ``start`` that is the end of the stream."""
        if start is None and self._after is not None:
            resumed = ResumePoint(self._after)
        else:
            resumed = await self._resume(client, start)
        client.served = resumed.after
        return resumed

    async def _resume(self, client: SseClient, start: ResumeFrom | None) -> ResumePoint:
        newest = client.newest = parse_position(await newest_entry(self._redis, self._keys.stream))
        if start is None:
            return ResumePoint(newest)
        if newest < start.after:
            # The stream was replaced: the client has seen none of it, whatever its last id.
            return ResumePoint(newest) if start.by_time else ResumePoint(BEGINNING, await self._first_available())
        trimmed = parse_position((await self._redis.get(self._keys.trimmed) or b"0-0").decode())
        if start.after < trimmed:
            return ResumePoint(trimmed, await self._first_available())
        return ResumePoint(start.after)

    async def _first_available(self) -> Position:
        oldest = await self._redis.xrange(self._keys.stream, count=1)
        return parse_position(oldest[0][0].decode()) if oldest else BEGINNING

    async def follow(
        self,
        client: SseClient,
        stream_filter: StreamFilter,
        resumed: ResumePoint,
        *,
        stopped: Callable[[], bool],
    ) -> AsyncGenerator[bytes]:
        """Yield the frames of one client: past events from its resume point, then new ones, without gap or repeat.

        While there is none to yield the client is idle: new events are written to its body.
        """
        yield b"retry: %d\n" % RECONNECT_MS
        if resumed.first_left is not None:
            yield trimmed_frame(resumed)
        async for frames in self._since(client, stream_filter, stopped):
            yield frames
        while not stopped() and client.ended is None:
            while client.waiting and not stopped():
                if frames := self._entitled_frames(client, client.take_waiting()):
                    yield frames
            if client.heartbeat_due:
                client.heartbeat_due = False
                yield HEARTBEAT.data
            if not (client.waiting or stopped() or client.ended is not None):
                await client.wait_idle(self.timers.now())
        if client.ended not in (None, GONE):
            resume_from = format_position(client.served)
            yield b"id: %s\n" % resume_from.encode() + stream_frame(
                ENDED, {"reason": str(client.ended), "resume_from": resume_from}
            )

    async def _since(
        self, client: SseClient, stream_filter: StreamFilter, stopped: Callable[[], bool]
    ) -> AsyncGenerator[bytes]:
        """Yield the events after a client's resume point, up to those in its queue."""
        budget = ScanBudget()
        try:
            while not stopped() and client.ended is None:
                if self._after is not None and client.newest <= self._after and client.served >= self._recent.after:
                    reached, wanted = await self._recent_matches(client, stream_filter)
                else:
                    history = await self._barrier.history()
                    page = await self._redis.xrange(
                        self._keys.stream, f"({format_position(client.served)}", count=budget.next_count(HISTORY_PAGE)
                    )
                    if not page:
                        return
                    await self._barrier.confirm(history)
                    budget = budget.renewed()
                    read = await scan([_raw(*each) for each in page], stream_filter, budget, self._with_readers)
                    reached = read[-1][1]
                    wanted = [entry.frame for entry, _ in read if entry is not None]
                for part in divided(wanted):
                    if frames := self._entitled_frames(client, part):
                        yield frames
                remembered = self._after is not None and reached >= self._after
                client.served = max(client.served, reached)
                if remembered:
                    return
        except OffloadError:
            client.end("overloaded")
        finally:
            client.resuming = False

    async def _recent_matches(self, client: SseClient, stream_filter: StreamFilter) -> tuple[Position, list[SseFrame]]:
        """Return the recent events in memory that match, and the position that they reach."""
        found = [entry for entry in self._recent if entry.at > client.served]
        reached = max(self._after or BEGINNING, client.served)
        size = sum(len(entry.json) for entry in found) if stream_filter.searches_text else 0
        takes = await offload_if_large(
            map(stream_filter.matches, found), size, searches_text=stream_filter.searches_text
        )
        return reached, [entry.frame for entry, wanted in zip(found, takes, strict=True) if wanted]

    def _entitled_frames(self, client: SseClient, frames: Iterable[SseFrame]) -> bytes:
        wanted = [frame for frame in frames if frame.entry > client.served and client.is_entitled(frame)]
        if wanted:
            client.served = wanted[-1].entry
        return b"".join(frame.data for frame in wanted)

    async def _read(self) -> None:
        if self._after is None:
            await self._load_recent()
            self.running = True
        after = self._after or BEGINNING
        found = await self._source.read(after)
        if found.newest is not None and found.newest < after:
            await self._go_back(found.newest)
        try:
            await self._receive(found.entries)
        finally:
            await self._write_pending()

    async def _go_back(self, newest: Position) -> None:
        """Go on after the last known entry of a stream that lost its end in a failover; read another stream from its beginning."""
        kept = self._recent.last_until(newest)
        if kept != BEGINNING and await self._redis.xrange(self._keys.stream, *[format_position(kept)] * 2):
            log.warning("the end of the stream was lost; going on before it")
            self._after = kept
            self._recent.cut_after(kept)
        else:
            log.warning("the stream was replaced; reading it from its beginning")
            self._after, self._recent = BEGINNING, RecentEvents()
        for client in self._clients():
            client.served = min(client.served, self._after)

    async def _receive(self, entries: Iterable[StreamEntry]) -> None:
        """Decode and match entries in their order; write those that matched whenever they have taken long."""
        started = time.thread_time()
        for entry_id, fields in entries:
            entry = read_stream_entry(entry_id, fields)
            if entry is not None and len(entry.json) > INLINE_TEXT_BYTES and self._text_is_searched():
                await self._analysing.run(partial(_analyse, entry), ANALYSIS_SECONDS)
            if entry is not None and entry.retraction:
                [entry] = await self._with_readers([entry])
            self._after = parse_position(entry_id.decode())
            if entry is not None:
                self._broadcast(entry)
            if time.thread_time() - started > TURN_SECONDS_LIMIT:
                await self._write_pending()
                await asyncio.sleep(0)
                started = time.thread_time()

    async def _load_recent(self) -> None:
        """Start at the end of the stream, with its last entries in memory."""
        history = await self._barrier.history()
        newest = parse_position(await newest_entry(self._redis, self._keys.stream))
        await self._barrier.confirm(history)
        before, recent = format_position(newest), RecentEvents(newest)
        while not recent.full or self._lacks_events_before(recent.after):
            page = await self._redis.xrevrange(self._keys.stream, before, count=PAGE)
            read = await self._with_readers(await _decoded(page))
            for (entry_id, _), entry in zip(page, read, strict=True):
                recent.prepend(parse_position(entry_id.decode()), entry)
            if len(page) < PAGE:
                break
            before = f"({format_position(recent.after)}"
        self._recent, self._after = recent, newest
        for entry in recent:  # to clients that connected before; they skip what they have seen
            self._match(entry)
        await self._write_pending()

    def _unobserved(self) -> bool:
        """Return whether there was no client for a while: nothing is read then."""
        return not self._groups and time.monotonic() > self._observed_at + UNOBSERVED_SECONDS

    async def _rest(self, stopping: asyncio.Event) -> None:
        """Read nothing until a client connects; then begin as after a start, at the end of the stream, with its last entries."""
        self._after = None
        self._source.rest()
        self._recent = RecentEvents()
        self.running = True  # also if Redis could not be read before: without clients, there is nothing to read for
        self._connected.clear()
        await wait_for_any(self._connected, stopping)

    def _lacks_events_before(self, at: Position) -> bool:
        """Return whether a client has read the stream up to a position before ``at``, and lacks the events between."""
        return any(not client.resuming and client.served < at for client in self._clients())

    def _text_is_searched(self) -> bool:
        return any(group.stream_filter.searches_text for group in self._groups.values())

    def _broadcast(self, entry: StreamEvent) -> None:
        self._recent.add(entry)
        if entry.retraction:
            for group in self._groups.values():
                group.drop_article(entry.article)
                for client in group.clients:
                    client.drop_article(entry.article, entry.at)
        if readers := self._match(entry):
            self._on_broadcast(entry.event, readers)

    def _match(self, entry: StreamEvent) -> int:
        """Add an event to what is written next, where it matches; return to how many clients."""
        readers = 0
        for group in self._groups.values():
            if group.stream_filter.matches(entry):
                group.pending.append(entry.frame)
                readers += len(group.clients)
        return readers

    async def _write_pending(self) -> None:
        """Write the events that matched to the clients of each group; groups with the same events share the same bytes."""
        batches: dict[tuple[Position, ...], FrameBatch] = {}
        written = 0
        for group in [each for each in self._groups.values() if each.pending]:
            for frames in group.take_pending():
                key = tuple(frame.entry for frame in frames)
                if (batch := batches.get(key)) is None:
                    batch = batches[key] = FrameBatch.of(frames)
                self.timers.expire()
                now = self.timers.now()
                for client in list(group.clients):
                    client.deliver(batch, now)
                    written += 1
                    if written % CLIENTS_PER_TURN == 0:
                        await asyncio.sleep(0)

    def _clients(self) -> list[SseClient]:
        return [client for group in self._groups.values() for client in group.clients]

    async def _wake_all_at(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._wake_all()

    def _wake_all(self) -> None:
        for client in self._clients():
            client.wakeup.set()


def _analyse(entry: StreamEvent, _: Deadline) -> None:
    entry.features.positions  # noqa: B018 (computed here, and kept with the entry)


async def _decoded(page: Iterable[StreamEntry]) -> list[StreamEvent | None]:
    yielder, found = LoopYielder(), list[StreamEvent | None]()
    for entry_id, fields in page:
        found.append(read_stream_entry(entry_id, fields))
        await yielder.add_bytes(sum(map(len, fields.values())))
    return found


def _raw(entry_id: bytes, fields: dict[bytes, bytes]) -> RawEntry[Position]:
    return RawEntry(
        parse_position(entry_id.decode()), sum(map(len, fields.values())), partial(read_stream_entry, entry_id, fields)
    )

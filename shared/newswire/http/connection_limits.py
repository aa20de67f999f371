"""Limits on connections: their number, how slow they may be, and which one is closed in favour of a new one."""

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from newswire.concurrency.backoff import pause
from newswire.http.client_address import UNKNOWN, ProxyList, client_network
from newswire.observability import metrics
from newswire.settings import Settings

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
SECONDS_BETWEEN_REPORTS = 60.0
MAX_OPEN_FILES = 65_536
EVICTION_DIVISOR = 20
"""When the limit is reached, one connection in this many is closed: finding them requires a scan of all connections."""


class Phase(IntEnum):
    """What a connection is doing, in the order in which connections make room for others."""

    CLOSING = 0
    """It was rejected or answered; further input is discarded."""
    IDLE = 1
    HEAD = 2
    """The server waits for a request line and headers."""
    ANSWER = 3
    """A response waits to be read by the client."""
    BODY = 4
    WORKING = 5
    """A request is being processed, or a live stream is open. It is never closed for another connection."""


class TrackedConnection(Protocol):
    """The interface of a connection that the limits use."""

    client: tuple[str, int] | None
    since: float
    """When its phase began, or when it last made progress, on the clock of the event loop."""
    held: int
    """Number of its bytes in memory."""

    @property
    def phase(self) -> Phase:
        """What it is doing."""

    def check(self, now: float, elapsed: float) -> None:
        """Close it if it has been lagging for too long."""

    def drop(self) -> None:
        """Close it immediately."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits on connections. Times in seconds, rates in bytes per second; 0 connections for no limit."""

    max_connections: int
    max_per_address: int
    head_bytes: int
    head_seconds: float
    idle_seconds: float
    proxy_idle_seconds: float
    """The same for connections of trusted proxies, which must be the first to close them."""
    stall_seconds: float
    """How far a body or the reading of an answer may fall behind the slowest rate."""
    min_rate: float
    max_buffered_bytes: int
    """The maximum that all connections together may keep in memory of unfinished bodies and unread responses."""

    @classmethod
    def of(cls, settings: Settings, open_files: int | None = None) -> "ConnectionLimits":
        """Return the limits from the settings. A quarter of the open files of the process is reserved for other uses."""
        max_connections = settings.connections
        if open_files is not None:
            max_connections = min(max_connections or open_files, max(open_files * 3 // 4, 1))
        return cls(
            max_connections=max_connections,
            max_per_address=settings.connections_per_address,
            head_bytes=settings.request_head_bytes,
            head_seconds=settings.request_head_timeout,
            idle_seconds=settings.connection_idle_timeout,
            proxy_idle_seconds=settings.proxy_idle_timeout,
            stall_seconds=settings.connection_stall_timeout,
            min_rate=settings.connection_min_rate,
            max_buffered_bytes=settings.connection_buffer_bytes,
        )


def allow_open_files() -> int:
    """Raise the limit of open files of this process to the maximum, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, MAX_OPEN_FILES) if hard != resource.RLIM_INFINITY else MAX_OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS reports a higher limit than it allows
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


class ConnectionTracker:
    """The open connections of a process. A trusted proxy serves many clients, so it counts only towards the total."""

    def __init__(self, limits: ConnectionLimits, proxies: Sequence[str]) -> None:
        self.limits = limits
        self._proxies = ProxyList(proxies)
        self._open: dict[TrackedConnection, str | None] = {}  # in the order in which they were opened
        self._by_address: dict[str, set[TrackedConnection]] = {}
        self._held = 0
        self._closed: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: TrackedConnection) -> str | None:
        """Count a new connection, and close others if there are too many.

        Return None, or the limit that rejects it: ``connections_per_address`` or ``connections``.
        """
        peer = connection.client[0] if connection.client else UNKNOWN
        address = None if peer in self._proxies else client_network(peer)
        max_connections, max_per_address = self.limits.max_connections, self.limits.max_per_address
        if address is not None and max_per_address:
            same = self._by_address.get(address, set())
            if len(same) >= max_per_address and not self._make_room(same, "evicted_of_address"):
                return "connections_per_address"
        if max_connections and len(self._open) >= max_connections and not self._make_room(self._open, "evicted"):
            return "connections"
        self._open[connection] = address
        if address is not None:
            self._by_address.setdefault(address, set()).add(connection)
        metrics.http_connections.set(len(self._open))
        return None

    def is_of_proxy(self, connection: TrackedConnection) -> bool:
        """Return whether a connection that was admitted is one of a trusted proxy."""
        return self._open.get(connection, UNKNOWN) is None

    def remove(self, connection: TrackedConnection) -> None:
        """Remove a closed connection, admitted or not."""
        self.hold(connection, 0)
        address = self._open.pop(connection, None)
        if address is not None and (same := self._by_address.get(address)) is not None:
            same.discard(connection)
            if not same:
                del self._by_address[address]
        metrics.http_connections.set(len(self._open))

    def hold(self, connection: TrackedConnection, size: int) -> None:
        """Set the number of bytes that a connection holds in memory; close the worst one if the total is too high."""
        self._held += size - connection.held
        connection.held = size
        while size and self._held > self.limits.max_buffered_bytes:
            worst = self._largest_holder()
            if worst is None:
                return
            self._close(worst, "buffers")

    def count(self, reason: str) -> None:
        """Count a connection that a limit closed or rejected."""
        metrics.http_connections_closed.labels(reason).inc()
        self._closed[reason] += 1

    async def run(self, stopping: asyncio.Event) -> None:
        """Close slow connections every second until stopping is set; log once a minute what the limits closed."""
        loop = asyncio.get_running_loop()
        last = reported = loop.time()
        while not await pause(stopping, SWEEP_SECONDS):
            now = loop.time()
            # A process that was paused has read nothing: its clients are not slow.
            self.sweep(now, min(now - last, 2 * SWEEP_SECONDS))
            last = now
            if self._closed and now - reported >= SECONDS_BETWEEN_REPORTS:
                log.warning("connections were closed by a limit", extra={"by_reason": dict(self._closed)})
                self._closed.clear()
                reported = now

    def sweep(self, now: float, elapsed: float) -> None:
        """Close slow connections."""
        for connection in list(self._open):
            connection.check(now, elapsed)

    def _make_room(self, among: "dict[TrackedConnection, str | None] | set[TrackedConnection]", reason: str) -> bool:
        """Close the least active connections, those longest without progress first; return whether there were any."""
        idle = sorted(
            (phase, connection.since, at)
            for at, connection in enumerate(among)
            if (phase := connection.phase) is not Phase.WORKING
        )
        chosen = {at for _, _, at in idle[: min(max(len(among) // EVICTION_DIVISOR, 1), max(len(idle) // 2, 1))]}
        for connection in [each for at, each in enumerate(among) if at in chosen]:
            self._close(connection, reason)
        return bool(chosen)

    def _largest_holder(self) -> TrackedConnection | None:
        """Return the connection longest without progress, of the address that holds the most bytes."""
        by_address: Counter[str | None] = Counter()
        holders = []
        for connection, address in self._open.items():
            if connection.held and connection.phase is not Phase.WORKING:
                by_address[address] += connection.held
                holders.append((connection, address))
        if not holders:
            return None
        max_connections = by_address.most_common(1)[0][0]
        return min((each for each, address in holders if address == max_connections), key=lambda each: each.since)

    def _close(self, connection: TrackedConnection, reason: str) -> None:
        self.count(reason)
        self.remove(connection)
        connection.drop()

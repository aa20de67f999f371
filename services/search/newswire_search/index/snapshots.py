"""The snapshots of an index that cursors read from: their users, their lifetime, and which one a new one replaces.

A snapshot covers the whole index, so cursors of different searches can share one. Each reader has a share: a reader that opens
more ends its own cursors, never those of another reader. However often it is renewed, a snapshot expires a fixed time after it was
opened.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

SNAPSHOT_IDLE_SECONDS = 300.0
"""How long an unused snapshot is kept."""
SNAPSHOT_MAX_SECONDS = 900.0
"""Maximum lifetime of a snapshot: it keeps deleted data on disk."""

T = TypeVar("T")


@dataclass(slots=True)
class _Snapshot(Generic[T]):
    handle: T
    opened: float
    used: float
    state: object
    readers: dict[str, int] = field(default_factory=dict)
    """The number of each reader's last use."""


class Snapshots(Generic[T]):
    """The snapshots of one process, by name; safe to use from any thread."""

    def __init__(self, limit: int, per_reader: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep at most ``limit`` snapshots in total, and ``per_reader`` for each reader."""
        self._limit = limit
        self._per_reader = per_reader
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Snapshot[T]] = {}
        self._uses = 0

    def __len__(self) -> int:
        """Return the number of open snapshots."""
        return len(self._open)

    def add(self, name: str, handle: T, reader: str, state: object = None) -> list[T]:
        """Add a snapshot; ``state`` is the state of the index that it shows. Return the handles of snapshots to close."""
        with self._lock:
            now = self._clock()
            removed = self._remove_expired(now)
            self._open[name] = _Snapshot(handle, now, now, state)
            self._use(self._open[name], reader, now)
            return removed + self._enforce_share(reader) + self._enforce_limit()

    def find_by_state(self, state: object, reader: str) -> tuple[str, T] | None:
        """Return the name and the handle of a snapshot that shows a state of the index, renewed for a reader."""
        with self._lock:
            now = self._clock()
            self._remove_expired(now)
            for name, snapshot in self._open.items():
                if snapshot.state == state:
                    self._use(snapshot, reader, now)
                    self._enforce_share(reader)
                    return name, snapshot.handle
        return None

    def use(self, name: str, reader: str) -> T | None:
        """Return the handle of a snapshot and renew it; None if it has expired."""
        with self._lock:
            now = self._clock()
            self._remove_expired(now)
            snapshot = self._open.get(name)
            if snapshot is None:
                return None
            self._use(snapshot, reader, now)
            self._enforce_share(reader)
            return snapshot.handle

    def clear(self) -> None:
        """Drop all snapshots."""
        with self._lock:
            self._open.clear()

    def _use(self, snapshot: _Snapshot[T], reader: str, now: float) -> None:
        self._uses += 1
        snapshot.used, snapshot.readers[reader] = now, self._uses

    def _remove_expired(self, now: float) -> list[T]:
        expired = [
            name
            for name, snapshot in self._open.items()
            if snapshot.used + SNAPSHOT_IDLE_SECONDS < now or snapshot.opened + SNAPSHOT_MAX_SECONDS < now
        ]
        return [self._open.pop(name).handle for name in expired]

    def _enforce_share(self, reader: str) -> list[T]:
        """Limit a reader to its share; remove snapshots that no other reader uses."""
        removed: list[T] = []
        own = sorted(
            (snapshot.readers[reader], name) for name, snapshot in self._open.items() if reader in snapshot.readers
        )
        for _, name in own[: -self._per_reader]:
            readers = self._open[name].readers
            del readers[reader]
            if not readers:
                removed.append(self._open.pop(name).handle)
        return removed

    def _enforce_limit(self) -> list[T]:
        """Remove the least recently used snapshot of the reader that has the most."""
        removed: list[T] = []
        while len(self._open) > self._limit:
            counts = Counter(reader for snapshot in self._open.values() for reader in snapshot.readers)
            top = max(counts, key=lambda reader: counts[reader])
            _, name = min(
                (snapshot.readers[top], name) for name, snapshot in self._open.items() if top in snapshot.readers
            )
            removed.append(self._open.pop(name).handle)
        return removed

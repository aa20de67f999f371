"""The snapshots of an index that cursors walk through: who holds each, until when, and which one goes for a new one.

A snapshot is of the whole index, so cursors of different searches can walk through one. Each reader has a share: one that opens
more ends its own cursors, never another reader's. However often it is renewed, a snapshot ends at a fixed time after it was opened.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

SNAPSHOT_IDLE_SECONDS = 300.0
"""For how long a snapshot is held that no cursor comes back to."""
SNAPSHOT_MAX_SECONDS = 900.0
"""For how long a snapshot is held at the most: it keeps what was deleted meanwhile on disk."""

T = TypeVar("T")


@dataclass(slots=True)
class _Snapshot(Generic[T]):
    held: T
    opened: float
    used: float
    state: object
    readers: dict[str, int] = field(default_factory=dict)
    """The number of each reader's last use."""


class Snapshots(Generic[T]):
    """The snapshots of one process, by name; any thread may use them."""

    def __init__(self, limit: int, per_reader: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold so many in all, and so many for each reader."""
        self._limit = limit
        self._per_reader = per_reader
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Snapshot[T]] = {}
        self._uses = 0

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def add(self, name: str, held: T, reader: str, state: object = None) -> list[T]:
        """Hold one more; ``state`` is what it shows, for `of_state`. Return what is to be closed for it."""
        with self._lock:
            now = self._clock()
            ended = self._drop_ended(now)
            self._open[name] = _Snapshot(held, now, now, state)
            self._use(self._open[name], reader, now)
            return ended + self._within_share(reader) + self._within_limit()

    def of_state(self, state: object, reader: str) -> tuple[str, T] | None:
        """Return the name of one that shows a state, and itself."""
        with self._lock:
            now = self._clock()
            self._drop_ended(now)
            for name, snapshot in self._open.items():
                if snapshot.state == state:
                    self._use(snapshot, reader, now)
                    self._within_share(reader)
                    return name, snapshot.held
        return None

    def use(self, name: str, reader: str) -> T | None:
        """Return one by its name, held for longer now; None where it has ended."""
        with self._lock:
            now = self._clock()
            self._drop_ended(now)
            snapshot = self._open.get(name)
            if snapshot is None:
                return None
            self._use(snapshot, reader, now)
            self._within_share(reader)
            return snapshot.held

    def clear(self) -> None:
        """Hold none any more."""
        with self._lock:
            self._open.clear()

    def _use(self, snapshot: _Snapshot[T], reader: str, now: float) -> None:
        self._uses += 1
        snapshot.used, snapshot.readers[reader] = now, self._uses

    def _drop_ended(self, now: float) -> list[T]:
        ended = [
            name
            for name, snapshot in self._open.items()
            if snapshot.used + SNAPSHOT_IDLE_SECONDS < now or snapshot.opened + SNAPSHOT_MAX_SECONDS < now
        ]
        return [self._open.pop(name).held for name in ended]

    def _within_share(self, reader: str) -> list[T]:
        """Let a reader hold no more than its share; what nobody else holds ends."""
        ended: list[T] = []
        own = sorted(
            (snapshot.readers[reader], name) for name, snapshot in self._open.items() if reader in snapshot.readers
        )
        for _, name in own[: -self._per_reader]:
            readers = self._open[name].readers
            del readers[reader]
            if not readers:
                ended.append(self._open.pop(name).held)
        return ended

    def _within_limit(self) -> list[T]:
        """Take from the reader that holds the most what it used least recently."""
        ended: list[T] = []
        while len(self._open) > self._limit:
            holds = Counter(reader for snapshot in self._open.values() for reader in snapshot.readers)
            most = max(holds, key=lambda reader: holds[reader])
            _, name = min(
                (snapshot.readers[most], name) for name, snapshot in self._open.items() if most in snapshot.readers
            )
            ended.append(self._open.pop(name).held)
        return ended

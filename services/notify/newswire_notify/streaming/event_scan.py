"""Entries and records decoded and held against a filter: within a budget, and off the event loop where there is much of it."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from newswire.concurrency.offload import Deadline, Offload
from newswire.http.cost_limits import (
    FIRST_READ_ENTRIES,
    INLINE_BYTES,
    INLINE_TEXT_BYTES,
    PAGE_PROCESSOR_SECONDS,
    PAGE_READ_BYTES,
    PAGE_READ_ENTRIES,
)
from newswire_notify.streaming.entries import Asked, Entry

Place = TypeVar("Place")
Result = TypeVar("Result")

offload: Final = Offload("events")


class ScanBudget:
    """What is left of what one page may cost."""

    def __init__(
        self,
        entries: int = PAGE_READ_ENTRIES,
        read_bytes: int = PAGE_READ_BYTES,
        processor_seconds: float = PAGE_PROCESSOR_SECONDS,
    ) -> None:
        self._entries = entries
        self._bytes = read_bytes
        self._seconds = processor_seconds
        self._largest = 0

    @property
    def spent(self) -> bool:
        """Whether nothing more is to be read."""
        return self._entries <= 0 or self._bytes <= 0 or self._seconds <= 0

    def next_count(self, most: int) -> int:
        """Return how many entries to read next, judging by the largest of those read so far."""
        fitting = max(self._bytes, 0) // self._largest if self._largest else FIRST_READ_ENTRIES
        return max(1, min(most, fitting, self._entries))

    def renewed(self) -> "ScanBudget":
        """Return a whole budget for the next page, which knows how large entries are."""
        whole = ScanBudget()
        whole._largest = self._largest
        return whole

    def spend(self, size: int, seconds: float) -> None:
        """Take one entry off."""
        self._entries -= 1
        self._bytes -= size
        self._seconds -= seconds
        self._largest = max(self._largest, size)


@dataclass(frozen=True, slots=True)
class RawEntry(Generic[Place]):
    """An entry or a record as it was read."""

    place: Place
    """Behind it."""
    size: int
    """Bytes."""
    read: Callable[[], Entry | None]


async def scan(
    raw: Sequence[RawEntry[Place]],
    asked: Asked,
    budget: ScanBudget,
    with_readers: Callable[[Sequence[Entry | None]], Awaitable[list[Entry | None]]],
) -> list[tuple[Entry | None, Place]]:
    """Decode entries until the budget is spent, at least one; with each whether it was asked for (else None), and its place.

    ``with_readers`` looks up who may know of retractions, where an entitlement narrows what is asked for.

    Raises:
        OffloadError: too much waits to be decoded.
    """

    def decoded() -> Iterator[tuple[Entry | None, Place]]:
        for each in raw:
            begun = time.thread_time()
            entry = each.read()
            decide = asked.passes_filters if entry is not None and entry.retraction else asked.takes
            found = entry if entry is not None and decide(entry) else None
            budget.spend(each.size, time.thread_time() - begun)
            yield found, each.place
            if budget.spent:
                return

    read = await in_turns(decoded(), sum(each.size for each in raw), searches_text=asked.searches_text)
    if asked.entitlement is None:
        return read
    noted = await with_readers([entry for entry, _ in read])
    return [
        (entry if entry is not None and asked.may_know(entry) else None, place)
        for entry, (_, place) in zip(noted, read, strict=True)
    ]


async def in_turns(work: Iterable[Result], size: int, *, searches_text: bool) -> list[Result]:
    """Do pieces of work one after the other: here where there is little to be read in all, else in a thread.

    Raises:
        OffloadError: too much waits, or it took too long.
    """
    if size <= (INLINE_TEXT_BYTES if searches_text else INLINE_BYTES):
        return list(work)

    def done(deadline: Deadline) -> list[Result]:
        results = []
        for result in work:
            results.append(result)
            deadline.check()
        return results

    return await offload.run(done)

"""Decodes and filters entries and records: within a budget, and off the event loop where they are large."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from newswire.concurrency.offload import Deadline, Offload
from newswire.cost_limits import (
    FIRST_READ_ENTRIES,
    INLINE_BYTES,
    INLINE_TEXT_BYTES,
    PAGE_PROCESSOR_SECONDS,
    PAGE_READ_BYTES,
    PAGE_READ_ENTRIES,
)
from newswire_notify.streaming.stream_events import StreamEvent, StreamFilter

PositionT = TypeVar("PositionT")
ResultT = TypeVar("ResultT")

offload: Final = Offload("events")


class ScanBudget:
    """The remaining cost that one page may incur."""

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
        """Whether nothing more may be read."""
        return self._entries <= 0 or self._bytes <= 0 or self._seconds <= 0

    def next_count(self, maximum: int) -> int:
        """Return how many entries to read next, by the largest one so far."""
        fitting = max(self._bytes, 0) // self._largest if self._largest else FIRST_READ_ENTRIES
        return max(1, min(maximum, fitting, self._entries))

    def renewed(self) -> "ScanBudget":
        """Return a full budget for the next page, which keeps the size of the largest entry."""
        whole = ScanBudget()
        whole._largest = self._largest
        return whole

    def spend(self, size: int, seconds: float) -> None:
        """Subtract one entry."""
        self._entries -= 1
        self._bytes -= size
        self._seconds -= seconds
        self._largest = max(self._largest, size)


@dataclass(frozen=True, slots=True)
class RawEntry(Generic[PositionT]):
    """An undecoded entry or record."""

    position: PositionT
    """Behind it."""
    size: int
    """Bytes."""
    read: Callable[[], StreamEvent | None]


async def scan(
    raw: Sequence[RawEntry[PositionT]],
    stream_filter: StreamFilter,
    budget: ScanBudget,
    with_readers: Callable[[Sequence[StreamEvent | None]], Awaitable[list[StreamEvent | None]]],
) -> list[tuple[StreamEvent | None, PositionT]]:
    """Decode entries until the budget is spent, at least one; return each one that matches (else None) with its position.

    ``with_readers`` looks up who may know of retractions, where the filter has an entitlement.

    Raises:
        OffloadError: too much is waiting to be decoded.
    """

    def decoded() -> Iterator[tuple[StreamEvent | None, PositionT]]:
        for each in raw:
            started = time.thread_time()
            entry = each.read()
            decide = stream_filter.matches_filters if entry is not None and entry.retraction else stream_filter.matches
            found = entry if entry is not None and decide(entry) else None
            budget.spend(each.size, time.thread_time() - started)
            yield found, each.position
            if budget.spent:
                return

    read = await offload_if_large(decoded(), sum(each.size for each in raw), searches_text=stream_filter.searches_text)
    if stream_filter.entitlement is None:
        return read
    noted = await with_readers([entry for entry, _ in read])
    return [
        (entry if entry is not None and stream_filter.may_see_retraction(entry) else None, position)
        for entry, (_, position) in zip(noted, read, strict=True)
    ]


async def offload_if_large(work: Iterable[ResultT], size: int, *, searches_text: bool) -> list[ResultT]:
    """Run pieces of work in order: on the event loop where they are small in total, else in a thread.

    Raises:
        OffloadError: too much is waiting, or it took too long.
    """
    if size <= (INLINE_TEXT_BYTES if searches_text else INLINE_BYTES):
        return list(work)

    def done(deadline: Deadline) -> list[ResultT]:
        results = []
        for result in work:
            results.append(result)
            deadline.check()
        return results

    return await offload.run(done)

"""Comparing an index with the records, while both are written to.

An article that changes in the very moment differs for as long as the index needs to follow. So nothing counts as a
difference that does not outlast some further looks.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from redis.asyncio import Redis

from newswire.article import Status
from newswire.keys import Keyspace
from newswire.storage.article_records import ArticleState, article_pages, read_article_states
from newswire_search.index.admin import IndexContents, IndexedVersion
from newswire_search.index.port import Operation, RejectedOperation, Retract
from newswire_search.indexing.from_records import operations_from_records

PAGE = 500
SUSPECTS_BATCH_SIZE = 10_000
"""How many articles that seem to differ are looked at again together: that many ids are in memory."""
CHECK_INTERVAL_SECONDS = 0.5
MAX_CHECKS_WITHOUT_PROGRESS, MAX_CHECKS = 6, 40
"""What differs still after so many looks that found nothing better, or after so many in all, does differ."""
MAX_LISTED_DIFFERENCES = 20

ProgressCallback = Callable[[int], None]
"""Called with how many articles have been compared so far."""


class DifferenceKind(StrEnum):
    """How an index may differ from the records."""

    MISSING = "missing"
    """On record, published or retracted, and not in the index."""
    STALE = "stale"
    """The index holds an earlier version."""
    EXTRA = "extra"
    """The index shows what is retracted, not published yet, or not on record at all."""
    NEWER = "newer"
    """The index holds a later version than the record: the records have been set back. Only a new index mends that."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One article of which the index says something else than the record."""

    id: str
    wrong: DifferenceKind
    recorded: ArticleState | None
    held: IndexedVersion | None

    def __str__(self) -> str:
        """Say it in one line."""
        recorded = f"{self.recorded.status} {self.recorded.version}" if self.recorded else "nothing"
        held = f"{'retracted' if self.held.retracted else 'published'} {self.held.version}" if self.held else "nothing"
        return f"{self.id} is {self.wrong}: on record {recorded}, in the index {held}"


@dataclass
class VerificationReport:
    """What a comparison has found."""

    compared: int = 0
    found: Counter[DifferenceKind] = field(default_factory=Counter)
    repaired: int = 0
    shown: list[Difference] = field(default_factory=list)
    """The first `MAX_LISTED_DIFFERENCES` of those that are left."""

    @property
    def left(self) -> int:
        """How many differences there still are."""
        return self.found.total() - self.repaired


@dataclass(frozen=True, slots=True)
class Comparison:
    """An index beside the records of a namespace."""

    redis: "Redis"
    keys: Keyspace
    contents: IndexContents

    async def differences(self, ids: Sequence[str]) -> list[Difference]:
        """Compare these articles as they are now."""
        found: list[Difference] = []
        for at in range(0, len(ids), PAGE):
            page = ids[at : at + PAGE]
            held = await self.contents.lookup(page)
            states = await read_article_states(self.redis, self.keys, page)
            compared = (_difference(article, states.get(article), held.get(article)) for article in page)
            found += [difference for difference in compared if difference is not None]
        return found

    async def suspects(self, report_progress: ProgressCallback) -> AsyncIterator[list[str]]:
        """Scan records and index once; yield the ids that seem to differ, in lists of at most `SUSPECTS_BATCH_SIZE`."""
        suspects: list[str] = []
        done = 0
        async for ids, _ in article_pages(self.redis, self.keys, PAGE):
            suspects += [difference.id for difference in await self.differences(ids)]
            done += len(ids)
            report_progress(done)
            if len(suspects) >= SUSPECTS_BATCH_SIZE:
                yield suspects
                suspects = []
        async for page in self.contents.scan():
            # What is on record has been compared; what else may show is on no record.
            shown = [held.id for held in page if not held.retracted]
            states = await read_article_states(self.redis, self.keys, shown)
            suspects += [article_id for article_id in shown if article_id not in states]
            if len(suspects) >= SUSPECTS_BATCH_SIZE:
                yield suspects
                suspects = []
        if suspects:
            yield suspects

    async def repair(self, ids: Sequence[str]) -> set[str]:
        """Bring the index to what is on record of these articles; return the ids of those that it can never take."""
        found = await self.differences(ids)
        operations: list[Operation] = [
            Retract(difference.id, difference.held.version)
            for difference in found
            if difference.wrong is DifferenceKind.EXTRA and difference.held
        ]
        operations += await operations_from_records(self.redis, self.keys, [difference.id for difference in found])
        results = await self.contents.write(operations) if operations else []
        rejected = zip(operations, results, strict=True)
        return {operation.id for operation, result in rejected if isinstance(result, RejectedOperation)}


Repair = Callable[[Sequence[str]], Awaitable[object]]


async def verify(
    comparison: Comparison, report_progress: ProgressCallback, repair: Repair | None = None
) -> VerificationReport:
    """Compare everything; repair what differs if ``repair`` is given (`Comparison.repair` where the index can be written).

    Raises:
        newswire.messaging.messages.DependencyUnavailableError: the index is down.
    """
    report = VerificationReport()

    def count(done: int) -> None:
        report.compared = done
        report_progress(done)

    await comparison.contents.refresh()
    async for ids in comparison.suspects(count):
        found = await _lasting(comparison, ids)
        report.found.update(difference.wrong for difference in found)
        left = found
        if repair and found:
            await repair([difference.id for difference in found])
            left = await _lasting(comparison, [difference.id for difference in found])
            report.repaired += len(found) - len(left)
        report.shown += left[: MAX_LISTED_DIFFERENCES - len(report.shown)]
    return report


async def _lasting(comparison: Comparison, ids: Sequence[str]) -> list[Difference]:
    """Return those differences that further looks do not make fewer."""
    await comparison.contents.refresh()
    found = await comparison.differences(ids)
    looks = in_vain = 0
    while found and looks < MAX_CHECKS and in_vain < MAX_CHECKS_WITHOUT_PROGRESS:
        await asyncio.sleep(CHECK_INTERVAL_SECONDS)
        await comparison.contents.refresh()
        before = len(found)
        found = await comparison.differences([difference.id for difference in found])
        looks, in_vain = looks + 1, in_vain + 1 if len(found) == before else 0
    return found


def _difference(article_id: str, state: ArticleState | None, held: IndexedVersion | None) -> Difference | None:
    if state is None or state.status is Status.SCHEDULED:
        wrong = DifferenceKind.EXTRA if held is not None and not held.retracted else None
    elif held is None:
        wrong = DifferenceKind.MISSING
    else:
        retracted = state.status is Status.RETRACTED
        recorded, indexed = (state.version, retracted), (held.version, held.retracted)
        if recorded == indexed:
            wrong = None
        elif recorded < indexed:
            wrong = DifferenceKind.NEWER
        else:
            wrong = DifferenceKind.EXTRA if retracted and not held.retracted else DifferenceKind.STALE
    return Difference(article_id, wrong, state, held) if wrong else None

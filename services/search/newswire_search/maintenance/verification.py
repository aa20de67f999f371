"""Compares an index with the records, while both change.

An article that has just changed differs until the index has caught up. So a difference counts only if it persists in further
comparisons.
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
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire_search.index.admin import IndexContents, IndexedVersion
from newswire_search.index.models import Operation, RejectedOperation, Retract
from newswire_search.indexing.from_records import operations_from_records

PAGE = 500
SUSPECTS_BATCH_SIZE = 10_000
"""How many articles that seem to differ are compared again at a time: this many ids are in memory."""
CHECK_INTERVAL_SECONDS = 0.5
MAX_CHECKS_WITHOUT_PROGRESS, MAX_CHECKS = 6, 40
"""A difference is final after this many comparisons without progress, or this many in total."""
MAX_LISTED_DIFFERENCES = 20

ProgressCallback = Callable[[int], None]
"""Called with the number of articles compared so far."""


class DifferenceKind(StrEnum):
    """How an index may differ from the records."""

    MISSING = "missing"
    """On record, published or retracted, and not in the index."""
    STALE = "stale"
    """The index contains an earlier version."""
    EXTRA = "extra"
    """The index shows an article that is retracted, not published yet, or not on record."""
    NEWER = "newer"
    """The index contains a later version than the records, which were restored to an earlier state. Only a reindex repairs that."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An article whose indexed version differs from the record."""

    id: str
    kind: DifferenceKind
    recorded: ArticleState | None
    indexed: IndexedVersion | None

    def __str__(self) -> str:
        """Describe the difference in one line."""
        recorded = f"{self.recorded.status} {self.recorded.version}" if self.recorded else "nothing"
        indexed = "nothing"
        if self.indexed:
            indexed = f"{'retracted' if self.indexed.retracted else 'published'} {self.indexed.version}"
        return f"{self.id} is {self.kind}: on record {recorded}, in the index {indexed}"


@dataclass
class VerificationReport:
    """The result of a comparison."""

    compared: int = 0
    found: Counter[DifferenceKind] = field(default_factory=Counter)
    repaired: int = 0
    listed: list[Difference] = field(default_factory=list)
    """The first `MAX_LISTED_DIFFERENCES` of those that remain."""

    @property
    def remaining(self) -> int:
        """The number of remaining differences."""
        return self.found.total() - self.repaired


@dataclass(frozen=True, slots=True)
class Comparison:
    """An index, and the records that it should match."""

    redis: "Redis"
    keys: Keyspace
    contents: IndexContents
    archive: DocumentArchive = NO_ARCHIVE

    async def differences(self, ids: Sequence[str]) -> list[Difference]:
        """Compare the current state of these articles."""
        found: list[Difference] = []
        for at in range(0, len(ids), PAGE):
            page = ids[at : at + PAGE]
            indexed = await self.contents.lookup(page)
            states = await read_article_states(self.redis, self.keys, page)
            compared = (_difference(article, states.get(article), indexed.get(article)) for article in page)
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
            # Articles on record have been compared; look for others.
            published = [indexed.id for indexed in page if not indexed.retracted]
            states = await read_article_states(self.redis, self.keys, published)
            suspects += [article_id for article_id in published if article_id not in states]
            if len(suspects) >= SUSPECTS_BATCH_SIZE:
                yield suspects
                suspects = []
        if suspects:
            yield suspects

    async def repair(self, ids: Sequence[str]) -> set[str]:
        """Update the index from the records of these articles; return the ids of those that it can never accept."""
        found = await self.differences(ids)
        operations: list[Operation] = [
            Retract(difference.id, difference.indexed.version)
            for difference in found
            if difference.kind is DifferenceKind.EXTRA and difference.indexed
        ]
        differing = [difference.id for difference in found]
        operations += await operations_from_records(self.redis, self.keys, differing, self.archive)
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
        found = await _persistent(comparison, ids)
        report.found.update(difference.kind for difference in found)
        remaining = found
        if repair and found:
            await repair([difference.id for difference in found])
            remaining = await _persistent(comparison, [difference.id for difference in found])
            report.repaired += len(found) - len(remaining)
        report.listed += remaining[: MAX_LISTED_DIFFERENCES - len(report.listed)]
    return report


async def _persistent(comparison: Comparison, ids: Sequence[str]) -> list[Difference]:
    """Return the differences that persist in further comparisons."""
    await comparison.contents.refresh()
    found = await comparison.differences(ids)
    checks = without_progress = 0
    while found and checks < MAX_CHECKS and without_progress < MAX_CHECKS_WITHOUT_PROGRESS:
        await asyncio.sleep(CHECK_INTERVAL_SECONDS)
        await comparison.contents.refresh()
        before = len(found)
        found = await comparison.differences([difference.id for difference in found])
        checks, without_progress = checks + 1, without_progress + 1 if len(found) == before else 0
    return found


def _difference(article_id: str, state: ArticleState | None, indexed: IndexedVersion | None) -> Difference | None:
    if state is None or state.status is Status.SCHEDULED:
        kind = DifferenceKind.EXTRA if indexed is not None and not indexed.retracted else None
    elif indexed is None:
        kind = DifferenceKind.MISSING
    else:
        retracted = state.status is Status.RETRACTED
        recorded, found = (state.version, retracted), (indexed.version, indexed.retracted)
        if recorded == found:
            kind = None
        elif recorded < found:
            kind = DifferenceKind.NEWER
        else:
            kind = DifferenceKind.EXTRA if retracted and not indexed.retracted else DifferenceKind.STALE
    return Difference(article_id, kind, state, indexed) if kind else None

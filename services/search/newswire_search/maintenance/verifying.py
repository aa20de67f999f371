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
from newswire_search.index.port import Operation, Refused, Retract
from newswire_search.index.upkeep import Contents, Held
from newswire_search.indexing.recorded import recorded_operations

PAGE = 500
SUSPECTS = 10_000
"""How many articles that seem to differ are looked at again together: that many ids are in memory."""
SECONDS_BETWEEN_LOOKS = 0.5
LOOKS_IN_VAIN, MOST_LOOKS = 6, 40
"""What differs still after so many looks that found nothing better, or after so many in all, does differ."""
SHOWN = 20

Told = Callable[[int], None]
"""Is told how many articles have been compared so far."""


class Wrong(StrEnum):
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
    wrong: Wrong
    recorded: ArticleState | None
    held: Held | None

    def __str__(self) -> str:
        """Say it in one line."""
        recorded = f"{self.recorded.status} {self.recorded.version}" if self.recorded else "nothing"
        held = f"{'retracted' if self.held.retracted else 'published'} {self.held.version}" if self.held else "nothing"
        return f"{self.id} is {self.wrong}: on record {recorded}, in the index {held}"


@dataclass
class Report:
    """What a comparison has found."""

    compared: int = 0
    found: Counter[Wrong] = field(default_factory=Counter)
    mended: int = 0
    shown: list[Difference] = field(default_factory=list)
    """The first `SHOWN` of those that are left."""

    @property
    def left(self) -> int:
        """How many differences there still are."""
        return self.found.total() - self.mended


@dataclass(frozen=True, slots=True)
class Comparison:
    """An index beside the records of a namespace."""

    redis: "Redis"
    keys: Keyspace
    contents: Contents

    async def differences(self, ids: Sequence[str]) -> list[Difference]:
        """Compare these articles as they are now."""
        found: list[Difference] = []
        for at in range(0, len(ids), PAGE):
            page = ids[at : at + PAGE]
            held = await self.contents.held(page)
            states = await read_article_states(self.redis, self.keys, page)
            compared = (_difference(article, states.get(article), held.get(article)) for article in page)
            found += [difference for difference in compared if difference is not None]
        return found

    async def suspects(self, told: Told) -> AsyncIterator[list[str]]:
        """Go once through records and index; yield the ids of those that seem to differ, in lists of `SUSPECTS` or less."""
        suspects: list[str] = []
        done = 0
        async for ids, _ in article_pages(self.redis, self.keys, PAGE):
            suspects += [difference.id for difference in await self.differences(ids)]
            done += len(ids)
            told(done)
            if len(suspects) >= SUSPECTS:
                yield suspects
                suspects = []
        async for page in self.contents.all_held():
            # What is on record has been compared; what else may show is on no record.
            shown = [held.id for held in page if not held.retracted]
            states = await read_article_states(self.redis, self.keys, shown)
            suspects += [article_id for article_id in shown if article_id not in states]
            if len(suspects) >= SUSPECTS:
                yield suspects
                suspects = []
        if suspects:
            yield suspects

    async def mend(self, ids: Sequence[str]) -> set[str]:
        """Bring the index to what is on record of these articles; return the ids of those that it can never take."""
        found = await self.differences(ids)
        operations: list[Operation] = [
            Retract(difference.id, difference.held.version)
            for difference in found
            if difference.wrong is Wrong.EXTRA and difference.held
        ]
        operations += await recorded_operations(self.redis, self.keys, [difference.id for difference in found])
        results = await self.contents.write(operations) if operations else []
        refused = zip(operations, results, strict=True)
        return {operation.id for operation, result in refused if isinstance(result, Refused)}


Mend = Callable[[Sequence[str]], Awaitable[object]]


async def verify(comparison: Comparison, told: Told, mend: Mend | None = None) -> Report:
    """Compare everything, and mend what differs if told how to; `Comparison.mend` is the way where the index can be written.

    Raises:
        newswire.messaging.messages.DependencyUnavailableError: the index is down.
    """
    report = Report()

    def count(done: int) -> None:
        report.compared = done
        told(done)

    await comparison.contents.refresh()
    async for ids in comparison.suspects(count):
        found = await _lasting(comparison, ids)
        report.found.update(difference.wrong for difference in found)
        left = found
        if mend and found:
            await mend([difference.id for difference in found])
            left = await _lasting(comparison, [difference.id for difference in found])
            report.mended += len(found) - len(left)
        report.shown += left[: SHOWN - len(report.shown)]
    return report


async def _lasting(comparison: Comparison, ids: Sequence[str]) -> list[Difference]:
    """Return those differences that further looks do not make fewer."""
    await comparison.contents.refresh()
    found = await comparison.differences(ids)
    looks = in_vain = 0
    while found and looks < MOST_LOOKS and in_vain < LOOKS_IN_VAIN:
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        await comparison.contents.refresh()
        before = len(found)
        found = await comparison.differences([difference.id for difference in found])
        looks, in_vain = looks + 1, in_vain + 1 if len(found) == before else 0
    return found


def _difference(article_id: str, state: ArticleState | None, held: Held | None) -> Difference | None:
    if state is None or state.status is Status.SCHEDULED:
        wrong = Wrong.EXTRA if held is not None and not held.retracted else None
    elif held is None:
        wrong = Wrong.MISSING
    else:
        retracted = state.status is Status.RETRACTED
        recorded, indexed = (state.version, retracted), (held.version, held.retracted)
        if recorded == indexed:
            wrong = None
        elif recorded < indexed:
            wrong = Wrong.NEWER
        else:
            wrong = Wrong.EXTRA if retracted and not held.retracted else Wrong.STALE
    return Difference(article_id, wrong, state, held) if wrong else None

"""Previews of a subscription: the stream is read backwards within a budget."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis

from newswire.article import Status
from newswire.events import ArticlePublished, article_event
from newswire.keys import Keyspace
from newswire_notify.streaming.event_scan import ScanBudget, offload_if_large
from newswire_notify.subscriptions.models import SubscriptionCriteria

PAGE = 25
"""Events read at a time: each may be as large as an article."""
MAX_CONCURRENT_PREVIEWS = 4
MAX_PREVIEW_EVENTS = 2000
"""Events examined per preview."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Versions that a subscription would have received, newest first, and how far back the search went."""

    articles: Sequence[ArticlePublished]
    examined: int
    back_to: datetime | None
    """Time of the oldest event examined."""
    whole: bool
    """Whether that was the first event on the stream."""


class Previews:
    """Previews for owners, a few at a time."""

    def __init__(self, records: "Redis", keys: Keyspace) -> None:
        self._records = records
        self._keys = keys
        self._running = asyncio.Semaphore(MAX_CONCURRENT_PREVIEWS)

    async def of(self, criteria: SubscriptionCriteria, maximum: int) -> Preview:
        """Return what `preview` returns, when it is this one's turn."""
        async with self._running:
            return await preview(self._records, self._keys, criteria, maximum)


async def preview(
    records: "Redis", keys: Keyspace, criteria: SubscriptionCriteria, maximum: int, budget: ScanBudget | None = None
) -> Preview:
    """Return the last versions that match the criteria and are still the current versions of their articles.

    Raises:
        OffloadError: too many large events are waiting to be decoded.
    """
    budget = budget or ScanBudget(MAX_PREVIEW_EVENTS)
    found: list[ArticlePublished] = []
    examined, end, oldest = 0, "+", None
    while not budget.spent:
        count = budget.next_count(PAGE)
        page = await records.xrevrange(keys.stream, end, count=count)
        size = sum(len(value) for _, fields in page for value in fields.values())
        searches_text = bool(criteria.filter.query or (criteria.entitlement and criteria.entitlement.query))
        for entry, version in await offload_if_large(
            _matched(page, criteria, budget), size, searches_text=searches_text
        ):
            examined, oldest, end = examined + 1, entry, f"({entry.decode()}"
            if version is not None and await _is_current(records, keys, version):
                found.append(version)
                if len(found) == maximum:
                    return Preview(found, examined, _time(oldest), whole=False)
        if len(page) < count and not budget.spent:
            return Preview(found, examined, _time(oldest), whole=True)
    return Preview(found, examined, _time(oldest), whole=False)


def _matched(
    page: Sequence[tuple[bytes, dict[bytes, bytes]]], criteria: SubscriptionCriteria, budget: ScanBudget
) -> Iterator[tuple[bytes, ArticlePublished | None]]:
    """Decode entries until the budget is spent, at least one; yield the id of each and its version, where that matches."""
    for entry, fields in page:
        started = time.thread_time()
        _, version = article_event(fields) or (None, None)
        matched = isinstance(version, ArticlePublished) and criteria.matches(version)
        budget.spend(sum(map(len, fields.values())), time.thread_time() - started)
        yield entry, version if matched and isinstance(version, ArticlePublished) else None
        if budget.spent:
            return


async def _is_current(records: "Redis", keys: Keyspace, version: ArticlePublished) -> bool:
    status, current = await records.hmget(keys.article(version.id), "status", "version")
    return bool(status == Status.PUBLISHED.encode() and int(current) == version.version)


def _time(entry: bytes | None) -> datetime | None:
    return None if entry is None else datetime.fromtimestamp(int(entry.split(b"-")[0]) / 1000, UTC)

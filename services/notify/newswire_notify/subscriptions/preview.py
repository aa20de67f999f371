"""What a subscription would have been told of lately: the stream read backwards, a bounded way."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis

from newswire.article import Status
from newswire.events import ArticlePublished, article_event
from newswire.keys import Keyspace
from newswire_notify.streaming.event_scan import ScanBudget, offload_if_large
from newswire_notify.subscriptions.repository import SubscriptionCriteria

PAGE = 25
"""Events that are read at a time: each may be as large as an article."""
MAX_PREVIEW_EVENTS = 2000
"""Events that are looked at, at the most."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Versions that a subscription would have been told of, newest first, and how far was looked for them."""

    articles: Sequence[ArticlePublished]
    looked_at: int
    back_to: datetime | None
    """The time of the oldest event that was looked at."""
    whole: bool
    """Whether that was the first that the stream still holds."""


async def preview(
    records: "Redis", keys: Keyspace, criteria: SubscriptionCriteria, most: int, budget: ScanBudget | None = None
) -> Preview:
    """Look back for the last versions that are what somebody asks for, of articles that still stand as they were told.

    Raises:
        OffloadError: too many large events wait to be read.
    """
    budget = budget or ScanBudget(MAX_PREVIEW_EVENTS)
    found: list[ArticlePublished] = []
    looked_at, end, oldest = 0, "+", None
    while not budget.spent:
        count = budget.next_count(PAGE)
        page = await records.xrevrange(keys.stream, end, count=count)
        size = sum(len(value) for _, fields in page for value in fields.values())
        searches_text = bool(criteria.filter.query or (criteria.entitlement and criteria.entitlement.query))
        for entry, version in await offload_if_large(
            _matched(page, criteria, budget), size, searches_text=searches_text
        ):
            looked_at, oldest, end = looked_at + 1, entry, f"({entry.decode()}"
            if version is not None and await _stands(records, keys, version):
                found.append(version)
                if len(found) == most:
                    return Preview(found, looked_at, _time(oldest), whole=False)
        if len(page) < count and not budget.spent:
            return Preview(found, looked_at, _time(oldest), whole=True)
    return Preview(found, looked_at, _time(oldest), whole=False)


def _matched(
    page: Sequence[tuple[bytes, dict[bytes, bytes]]], criteria: SubscriptionCriteria, budget: ScanBudget
) -> Iterator[tuple[bytes, ArticlePublished | None]]:
    """Read entries until the budget is spent, at least one; with the id of each the version, if it is what is asked for."""
    for entry, fields in page:
        begun = time.thread_time()
        _, version = article_event(fields) or (None, None)
        matched = isinstance(version, ArticlePublished) and criteria.matches(version)
        budget.spend(sum(map(len, fields.values())), time.thread_time() - begun)
        yield entry, version if matched and isinstance(version, ArticlePublished) else None
        if budget.spent:
            return


async def _stands(records: "Redis", keys: Keyspace, version: ArticlePublished) -> bool:
    status, current = await records.hmget(keys.article(version.id), "status", "version")
    return bool(status == Status.PUBLISHED.encode() and int(current) == version.version)


def _time(entry: bytes | None) -> datetime | None:
    return None if entry is None else datetime.fromtimestamp(int(entry.split(b"-")[0]) / 1000, UTC)

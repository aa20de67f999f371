"""Paging through results during writes, on both indexes."""

import asyncio
import os
from dataclasses import replace

import pytest

from newswire_search.index.models import (
    Position,
    SearchRequest,
    SnapshotExpiredError,
    Sort,
)
from newswire_search.index.port import ArticleIndex
from tests.search.samples import ids, publish, put, request, retract, wanting

WALKED = int(os.environ.get("NEWSWIRE_WALKED_ARTICLES", "600"))
DAY = "2026-03-{:02d}T12:00:00Z"


async def walk(index: ArticleIndex, first: SearchRequest) -> list[str]:
    seen: list[str] = []
    at: SearchRequest | None = first
    while at is not None:
        page = await index.search(at)
        seen += ids(page)
        at = replace(at, after=page.next) if page.next else None
    return seen


@pytest.mark.parametrize("sort", list(Sort))
async def test_paging_returns_each_article_once(index: ArticleIndex, sort: Sort) -> None:
    await put(index, *(publish(f"a{n:02}", f"Ferry {n}", "ferry " * (n % 5 + 1)) for n in range(25)))
    q = "ferry" if sort is Sort.RELEVANCE else ""
    seen = await walk(index, request(q, sort, limit=4))
    assert sorted(seen) == [f"a{n:02}" for n in range(25)]
    if sort is not Sort.RELEVANCE:
        assert seen == sorted(seen, reverse=sort is Sort.NEWEST)


async def test_a_last_page_that_is_full_has_no_next(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n}", "Ferry") for n in range(6)))
    for asked in (request("ferry", limit=6), request(limit=6)):
        assert (await index.search(asked)).next is None


async def test_paging_by_date_neither_repeats_nor_skips_during_writes(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n:02}", published_at=DAY.format(n + 1)) for n in range(20)))
    first = await index.search(request(limit=8))
    assert first.next is not None
    await put(index, publish("new", published_at=DAY.format(28)), publish("a03", version=2, published_at=DAY.format(4)))
    rest = await walk(index, replace(request(limit=8), after=first.next))
    assert ids(first) + rest == [f"a{n:02}" for n in reversed(range(20))]


async def test_paging_by_relevance_uses_the_snapshot_of_the_second_page(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n:02}", "Ferry", "ferry " * (n + 1) + "boat " * (25 - n)) for n in range(20)))
    asked = request("ferry", limit=6)
    undisturbed = await walk(index, asked)
    first = await index.search(asked)
    second = await index.search(replace(asked, after=first.next))
    assert second.next is not None
    # These change every score: more articles hold the word, and some that come later in the walk now hold it more often.
    await put(index, *(publish(f"b{n:02}", "Ferry ferry", "ferry " * 40) for n in range(30)))
    await put(index, publish("a02", "Ferry ferry", "ferry " * 50, version=2))
    rest = await walk(index, replace(asked, after=second.next))
    assert ids(first) + ids(second) + rest == undisturbed


async def test_writes_after_a_first_page_neither_repeat_nor_hide_results(
    index: ArticleIndex,
) -> None:
    await put(index, *(publish(f"a{n:02}", "Ferry", "ferry " * (n + 1) + "boat " * (25 - n)) for n in range(20)))
    asked = request("ferry", limit=6)
    first = await index.search(asked)
    shown = ids(first)
    hidden = sorted({f"a{n:02}" for n in range(20)} - set(shown))
    new = [f"b{n:02}" for n in range(10)]
    # All of these are better now than what comes next; one shown and one not yet shown are gone, one is about something else.
    await put(index, *(publish(name, "Ferry ferry", "ferry " * 40) for name in new))
    await put(index, publish(hidden[0], "Ferry ferry", "ferry " * 50, version=2), publish(shown[1], "Ferry", version=2))
    await put(index, retract(shown[0], 2), retract(hidden[1], 2), publish(hidden[2], "Ship", "Of ships.", version=2))
    rest, after = list[str](), first.next
    while after is not None:
        page = await index.search(replace(asked, after=after, limit=7))
        assert page.total == 27
        assert page.facets["publisher"][0].count == 27
        rest += ids(page)
        after = page.next
    assert sorted(rest) == sorted([hidden[0], *hidden[3:], *new])


@pytest.mark.parametrize("sort", list(Sort))
async def test_long_paging_during_writes(index: ArticleIndex, sort: Sort) -> None:
    started = [f"a{n:06}" for n in range(WALKED)]
    for at in range(0, WALKED, 500):
        made = (publish(name, f"Ferry {name}", "ferry " * (int(name[1:]) % 7)) for name in started[at : at + 500])
        await put(index, *made)
    walked = asyncio.Event()

    async def write() -> None:
        n = 0
        while not walked.is_set():
            at = started[n * 37 % WALKED]
            await index.write([publish(f"b{n:06}", "Ferry ferry"), publish(at, "Ferry", "ferry again", version=n + 2)])
            n += 1
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    seen = await walk(index, request("ferry", sort, limit=100))
    walked.set()
    await writing
    assert len(seen) == len(set(seen))
    assert set(started) <= set(seen)


async def test_snapshot_hides_later_retractions_and_changes(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n}", "Ferry", "ferry " * (n + 1), topics=[f"t{n}"]) for n in range(9)))
    asked = request("ferry", limit=3)
    undisturbed = await walk(index, asked)
    second = await index.search(replace(asked, after=(await index.search(asked)).next))
    gone, corrected, rewritten = undisturbed[6:]
    await put(
        index,
        retract(gone, 1),
        publish(corrected, "Ship", "No longer about it.", version=2),
        publish(rewritten, "A ferry", "Ferry.", version=2),
    )
    third = await index.search(replace(asked, after=second.next))
    assert [(article["id"], article["title"]) for article in third.articles] == [(rewritten, "A ferry")]
    assert (third.next, third.total) == (None, 7)
    left = sorted((f"t{name[1:]}", 1) for name in undisturbed[:6])
    assert sorted((value.value, value.count) for value in third.facets["topic"]) == left


async def test_pages_are_full_after_many_retractions(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n:02}", "Ferry", "ferry " * (n + 1)) for n in range(40)))
    asked = request("ferry", limit=4)
    order = await walk(index, asked)
    second = await index.search(replace(asked, after=(await index.search(asked)).next))
    await put(index, *(retract(name, 1) for name in order[9:21]), retract(order[-1], 1))
    rest: list[list[str]] = []
    after = second.next
    while after is not None:
        page = await index.search(replace(asked, after=after))
        rest.append(ids(page))
        after = page.next
    assert [name for page in rest for name in page] == [order[8], *order[21:-1]]
    assert [len(page) for page in rest] == [4, 4, 4, 4, 3]


async def test_erased_articles_are_not_counted_while_still_indexed(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n}", "Ferry", "ferry " * (n + 1), category="Sea") for n in range(6)))
    await put(index, publish("a5", "Ferry", "ferry", category="Sea", version=3))
    erased = {1: ["a0", "a1"], 2: ["a5"], 7: ["a2"]}
    for sort in Sort:
        asked = request("ferry", sort, limit=2, erased=erased)
        first = await index.search(asked)
        assert (first.total, first.facets["category"][0].count) == (3, 3)
        assert sorted(await walk(index, asked)) == ["a3", "a4", "a5"]
        narrow = replace(asked, filters=wanting("category", "sea"))
        assert (await index.search(narrow)).facets["category"][0].count == 3
    (day,) = await index.days(request(erased=erased))
    assert day.count == 3


async def test_unknown_snapshot_is_expired(index: ArticleIndex) -> None:
    await put(index, publish("a1", "Ferry"))
    for forged in (
        "nonsense",
        "",
        "46ToAwMDaWR5BXV1aWQyKwZub2RlXzMAAAAAAAAAACoBYwADaWR4BXV1aWQxAgZub2RlXzEAAAAAAAAAAAEBYQ==",
    ):
        with pytest.raises(SnapshotExpiredError):
            await index.search(replace(request("ferry"), after=Position((1, 1, "a1"), forged)))

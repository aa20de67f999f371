"""Facets and selections, on both indexes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire_search.index import facets
from newswire_search.index.elasticsearch.query import unscored_query
from newswire_search.index.facets import listed
from newswire_search.index.mapping import SEPARATOR
from newswire_search.index.models import FACET_VALUES, FACETS, FieldFilter
from newswire_search.index.port import ArticleIndex
from tests.search.samples import avoiding, publish, put, request, search, values, wanting


@pytest.fixture
async def coast(index: ArticleIndex) -> ArticleIndex:
    await put(
        index,
        publish("a1", "Ferry", category="Travel", topics=["Sea", "Harbour"], published_at="2026-02-28T23:59:59Z"),
        publish("a2", "Ferry", category="Travel", topics=["Sea"], published_at="2026-03-01T00:30:00+01:00"),
        publish("a3", "Ferry", category="Weather", topics=["Storm", "Sea"], published_at="2026-03-01T00:00:00Z"),
        publish("a4", "Ferry", category="Sport", topics=["Chess"], published_at="2026-03-02T00:00:00Z"),
        publish("a5", "Train", category="Travel", topics=["Rail"], published_at="2025-12-24T00:00:00Z"),
    )
    return index


async def test_selection_keeps_the_counts_of_other_values_of_its_field(coast: ArticleIndex) -> None:
    page = await search(coast, "ferry", filters=wanting("category", "travel"))
    assert page.total == 2
    assert values(page, "category") == [("Travel", 2), ("Sport", 1), ("Weather", 1)]
    assert values(page, "topic") == [("Sea", 2), ("Harbour", 1)]
    both = await search(coast, "ferry", filters=wanting("category", "travel", "weather"))
    assert values(both, "category") == values(page, "category")
    assert values(both, "topic") == [("Sea", 3), ("Harbour", 1), ("Storm", 1)]


async def test_each_field_is_counted_within_the_selection_of_others(coast: ArticleIndex) -> None:
    page = await search(coast, filters=wanting("category", "travel") | wanting("topic", "sea"))
    assert page.total == 2
    assert values(page, "category") == [("Travel", 2), ("Weather", 1)]
    assert values(page, "topic") == [("Sea", 2), ("Harbour", 1), ("Rail", 1)]
    assert values(page, "month") == [("2026-02", 2)]


async def test_counts_are_the_same_on_every_page(coast: ArticleIndex) -> None:
    for asked in (request("ferry", limit=1), request(limit=1)):
        first = await coast.search(replace(asked, filters=wanting("topic", "sea")))
        second = await coast.search(replace(asked, filters=wanting("topic", "sea"), after=first.next))
        assert second.facets == first.facets
        assert second.total == first.total


async def test_selected_value_is_listed_with_count_zero(coast: ArticleIndex) -> None:
    page = await search(coast, "ferry", filters=wanting("category", "gardens", "travel"))
    assert values(page, "category") == [("Travel", 2), ("Sport", 1), ("Weather", 1), ("gardens", 0)]


async def test_selected_value_is_listed_even_if_many_are_more_frequent(index: ArticleIndex) -> None:
    topics = [f"Topic {n:02}" for n in range(FACET_VALUES)]
    await put(index, publish("a1", topics=topics), publish("a2", topics=topics), publish("a3", topics=["Zebra"]))
    assert len(values(await search(index), "topic")) == FACET_VALUES + 1 - 1
    page = await search(index, filters=wanting("topic", "zebra"))
    assert values(page, "topic")[-1] == ("Zebra", 1)
    assert len(values(page, "topic")) == FACET_VALUES + 1


async def test_excluded_values_stay_excluded_from_counts(coast: ArticleIndex) -> None:
    page = await search(coast, "ferry", filters=avoiding("category", "sport"))
    assert values(page, "category") == [("Travel", 2), ("Weather", 1)]
    mixed = {"topic": FieldFilter(include=("harbour",), exclude=("storm",))}
    page = await search(coast, "ferry", filters=mixed)
    assert page.total == 1
    assert values(page, "topic") == [("Sea", 2), ("Chess", 1), ("Harbour", 1)]


async def test_months_are_those_of_utc_the_latest_first(coast: ArticleIndex) -> None:
    assert values(await search(coast), "month") == [("2026-03", 2), ("2026-02", 2), ("2025-12", 1)]
    page = await search(coast, filters=wanting("month", "2026-02"))
    assert sorted(found["id"] for found in page.articles) == ["a1", "a2"]
    assert values(page, "month") == [("2026-03", 2), ("2026-02", 2), ("2025-12", 1)]


async def test_facets_are_not_counted_unless_requested(coast: ArticleIndex) -> None:
    page = await search(coast, "ferry", with_facets=False)
    assert (page.total, page.facets) == (4, {})


async def test_counts_are_the_same_whether_a_page_has_all_results_or_not(coast: ArticleIndex) -> None:
    await put(
        coast,
        publish("b1", "Ferry", category="TRAVEL", topics=["sea", "Épée"], authors=["Ida Roth", "ida roth"]),
        publish("b2", "Ferry", category="Travel", topics=["Epee"], authors=["Ida Roth"], language="en-GB"),
    )
    for q in ("ferry", "ferry nothing", "ferry nothing see -chess"):
        for filters in ({}, avoiding("category", "sport")):
            whole = await search(coast, q, filters=filters)
            part = await search(coast, q, filters=filters, limit=1)
            assert whole.total == len(whole.articles) > len(part.articles)
            assert whole.facets == part.facets
    nothing = await search(coast, "nowhere")
    assert (nothing.total, nothing.facets) == (0, {field: [] for field in FACETS})


async def test_facets_are_counted_alike_at_any_time_and_in_any_order() -> None:
    """So that Elasticsearch can keep the counts of a search."""
    at, languages = request("ferry train", now_ms=1), {"en", "de"}
    assert unscored_query(at, languages) == unscored_query(replace(at, now_ms=2, limit=3), languages)
    assert "should" not in str(unscored_query(request("ferry train"), {"en"}))


@given(
    st.dictionaries(st.tuples(st.sampled_from("abcd"), st.sampled_from(["A", "b", "C"])), st.integers(1, 3)),
    st.sampled_from(["month", "topic"]),
)
def test_values_are_listed_alike_whether_or_not_some_are_selected(
    counts: dict[tuple[str, str], int], field: str
) -> None:
    buckets = [(f"{folded}{SEPARATOR}{spelling}", count) for (folded, spelling), count in counts.items()]
    selected = listed(field, buckets, ["unknown"], lambda _: 0)
    assert listed(field, buckets, (), int) == selected[:-1]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(facets, "FACET_VALUES", 2)
        by_count = sorted(buckets, key=lambda bucket: -bucket[1])
        assert listed("topic", by_count, (), int, sorted_by_count=True) == listed("topic", buckets, (), int)

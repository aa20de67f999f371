"""Searching: results, order and counts, on both indexes."""

import pytest

from newswire.text.query import parse
from newswire_search.index.models import FieldFilter, Sort
from newswire_search.index.port import ArticleIndex
from newswire_search.query.serializers import highlights
from tests.search.samples import avoiding, found, publish, put, request, search, values, wanting


@pytest.fixture
async def harbour(index: ArticleIndex) -> ArticleIndex:
    await put(
        index,
        publish(
            "a1",
            "Ferries sail again",
            "The running repairs ended and the ferries left the harbour.",
            category="Travel",
            topics=["Ferry", "Harbour"],
            authors=["Zoë Ærø"],
            language="en",
            publisher="The Harbour Post",
            published_at="2026-03-01T08:00:00Z",
        ),
        publish(
            "a2",
            "Market opens",
            "A fish market opened beside the old harbour wall. O'Brien sells herring.",
            category="travel",
            topics=["harbour", "Food"],
            authors=["Jo Lind"],
            language="en",
            publisher="Coast Weekly",
            published_at="2026-03-02T23:59:59.999Z",
        ),
        publish(
            "a3",
            "Storm warning",
            "Gale force winds; no ferry runs today.",
            category="Weather",
            topics=["Storm"],
            authors=["Zoe Aero", "Jo Lind"],
            language="sv",
            publisher="Coast Weekly",
            published_at="2026-03-03T00:00:00Z",
            summary="Stay at home",
        ),
        publish("a4", "Chess club meets", "Weekly games in the town hall.", published_at="2026-03-04T00:00:00Z"),
    )
    return index


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("ferry", {"a1", "a3"}),
        ("FERRY", {"a1", "a3"}),
        ("FERRIES", {"a1"}),
        ("run", {"a1", "a3"}),
        ("ferry harbour", {"a1"}),
        ('"fish market"', {"a2"}),
        ('"market fish"', set()),
        ("herring OR chess", {"a2", "a4"}),
        ("ferry -storm", {"a1"}),
        ("-harbour", {"a3", "a4"}),
        ('harbour -"fish market"', {"a1"}),
        ("o'brien", {"a2"}),
        ("aero", {"a1", "a3"}),
        ("lind", {"a2", "a3"}),
        ('"stay home"', set()),
        ("stay home", {"a3"}),
        ("food", {"a2"}),
        ("zeppelin", set()),
        ("", {"a1", "a2", "a3", "a4"}),
    ],
)
async def test_queries(harbour: ArticleIndex, q: str, expected: set[str]) -> None:
    page = await search(harbour, q)
    assert ({a["id"] for a in page.articles}, page.total) == (expected, len(expected))


async def test_no_phrase_crosses_from_one_field_into_the_next(harbour: ArticleIndex) -> None:
    assert await found(harbour, '"warning stay"') == []
    assert await found(harbour, '"again the"') == []


async def test_filters_are_folded_ored_within_and_anded_between_fields(harbour: ArticleIndex) -> None:
    assert set(await found(harbour, filters=wanting("category", "travel"))) == {"a1", "a2"}
    assert set(await found(harbour, filters=wanting("category", "travel", "weather"))) == {"a1", "a2", "a3"}
    assert await found(harbour, filters=wanting("category", "travel") | wanting("topic", "food")) == ["a2"]
    assert set(await found(harbour, filters=wanting("author", "zoe aero"))) == {"a1", "a3"}
    assert set(await found(harbour, filters=wanting("publisher", "coast weekly"))) == {"a2", "a3"}
    assert await found(harbour, filters=wanting("language", "sv")) == ["a3"]
    assert await found(harbour, filters=wanting("topic", "nothing of the kind")) == []


async def test_a_filter_can_exclude(harbour: ArticleIndex) -> None:
    assert set(await found(harbour, filters=avoiding("category", "travel"))) == {"a3", "a4"}
    assert await found(harbour, filters=avoiding("category", "travel", "weather")) == ["a4"]
    both = {"topic": FieldFilter(include=("harbour",), exclude=("food",))}
    assert await found(harbour, filters=both) == ["a1"]
    assert await found(harbour, "ferry", filters=avoiding("author", "jo lind")) == ["a1"]


async def test_dates_are_inclusive_to_the_millisecond(harbour: ArticleIndex) -> None:
    second_of_march, third_of_march = 1_772_409_600_000, 1_772_496_000_000
    assert await found(harbour, since_ms=second_of_march, until_ms=third_of_march - 1) == ["a2"]
    assert await found(harbour, since_ms=third_of_march) == ["a4", "a3"]
    assert await found(harbour, until_ms=third_of_march) == ["a3", "a2", "a1"]


async def test_order_by_date(harbour: ArticleIndex) -> None:
    assert await found(harbour, sort=Sort.NEWEST) == ["a4", "a3", "a2", "a1"]
    assert await found(harbour, sort=Sort.OLDEST) == ["a1", "a2", "a3", "a4"]
    assert await found(harbour, "harbour", Sort.OLDEST) == ["a1", "a2"]


async def test_articles_of_the_same_time_are_ordered_by_id(index: ArticleIndex) -> None:
    await put(index, publish("b2"), publish("b3"))
    await put(index, publish("b1"))
    assert await found(index, sort=Sort.NEWEST) == ["b3", "b2", "b1"]
    assert await found(index, sort=Sort.OLDEST) == ["b1", "b2", "b3"]


async def test_more_words_and_title_words_rank_first(index: ArticleIndex) -> None:
    await put(
        index,
        publish(
            "b1",
            "Town council",
            "A long report in which a lighthouse is named once, among budgets, roads and schools.",
        ),
        publish("b2", "Lighthouse reopens", "The lighthouse lamp is lit. A lighthouse maintainer waved."),
        publish("b3", "Roads", "Budgets and schools."),
    )
    assert await found(index, "lighthouse") == ["b2", "b1"]


async def test_facets_count_spellings_together_under_the_most_common_one(index: ArticleIndex) -> None:
    await put(
        index,
        publish("b1", topics=["Wind Power", "Sea"], authors=["Ann", "ANN"]),
        publish("b2", topics=["wind power"]),
        publish("b3", topics=["Wind Power"], category="Café", language="en"),
        publish("b4", topics=["wind  power".replace("  ", " "), "Sea"], category="Cafe"),
        publish("b5", topics=["Wind Power"], category="Café"),
    )
    page = await search(index)
    assert values(page, "topic") == [("Wind Power", 5), ("Sea", 2)]
    assert values(page, "category") == [("Café", 3)]
    assert values(page, "author") == [("Ann", 1)]
    assert values(page, "publisher") == [("The Harbour Post", 5)]
    assert values(page, "language") == [("und", 4), ("en", 1)]


async def test_facets_count_results(harbour: ArticleIndex) -> None:
    page = await search(harbour, "ferry")
    assert values(page, "category") == [("Travel", 1), ("Weather", 1)]
    assert values(page, "author") == [("Zoe Aero", 2), ("Jo Lind", 1)] or values(page, "author") == [
        ("Zoë Ærø", 2),
        ("Jo Lind", 1),
    ]


async def test_bodies_are_omitted_unless_requested(harbour: ArticleIndex) -> None:
    page = await search(harbour, "chess", with_text=True)
    assert page.articles[0]["body"] == "<p>Weekly games in the town hall.</p>"


async def test_highlights_are_escaped_except_for_marks(index: ArticleIndex) -> None:
    await put(
        index, publish("b1", "<b>Ferry</b> & <mark>fares</mark>", 'A "ferry" <script>alert(1)</script> ran & ran')
    )
    page = await search(index, "ferry script")
    shown = highlights(page.articles[0], page.articles[0]["text"], parse("ferry script"))
    assert shown["title"] == ["&lt;b&gt;<mark>Ferry</mark>&lt;/b&gt; &amp; &lt;mark&gt;fares&lt;/mark&gt;"]
    assert len(shown["body"]) == 1
    bare = shown["body"][0].replace("<mark>", "").replace("</mark>", "")
    assert "<mark>ferry</mark>" in shown["body"][0]
    assert "<mark>script</mark>" in shown["body"][0]
    assert "<" not in bare
    assert ">" not in bare


async def test_there_is_nothing_to_highlight_without_words(harbour: ArticleIndex) -> None:
    page = await search(harbour, "-ferry")
    assert highlights(page.articles[0], page.articles[0]["text"], parse("-ferry")) == {"title": [], "body": []}


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("published:2026-03-02", {"a2"}),
        ("published:2026-03-02..2026-03-03 -storm", {"a2"}),
        ("published:..2026-03-01", {"a1"}),
        ("published:2026-03-03..", {"a3", "a4"}),
        ("-published:2026-03", set()),
        ("(published:2026-03-01 OR chess) -nothing", {"a1", "a4"}),
        ("ferr*", {"a1", "a3"}),
        ("ferries*", {"a1"}),
        ("Zoë* -ferr*", set()),
        ("aer*", {"a1", "a3"}),
        ("herr* OR che*", {"a2", "a4"}),
        ("o'bri*", {"a2"}),
        ("har* wall", {"a2"}),
    ],
)
async def test_dates_and_beginnings_of_words(harbour: ArticleIndex, q: str, expected: set[str]) -> None:
    assert set(await found(harbour, q)) == expected


async def test_article_is_highlighted_in_its_own_language(index: ArticleIndex) -> None:
    await put(index, publish("de", "Neue Häuser", "Die alten Häuser stehen noch.", language="de"))
    page = await search(index, "Hauses")
    assert highlights(page.articles[0], page.articles[0]["text"], parse("Hauses")) == {
        "title": ["Neue <mark>Häuser</mark>"],
        "body": ["Die alten <mark>Häuser</mark> stehen noch."],
    }


async def test_a_page_may_do_without_the_total(harbour: ArticleIndex) -> None:
    whole = await search(harbour, sort=Sort.NEWEST, limit=2)
    page = await search(harbour, sort=Sort.NEWEST, limit=2, with_total=False)
    assert (whole.total, page.total) == (4, 2)
    assert (page.articles, page.next) == (whole.articles, whole.next)
    last = await search(harbour, sort=Sort.NEWEST, limit=2, after=page.next, with_total=False)
    assert (last.total, [article["id"] for article in last.articles], last.next) == (2, ["a2", "a1"], None)


async def test_total_and_facets_may_be_requested_without_articles(harbour: ArticleIndex) -> None:
    page = await search(harbour, "ferry", Sort.NEWEST, limit=0)
    assert (page.total, page.articles, page.next) == (2, [], None)
    facets = await search(harbour, sort=Sort.NEWEST, limit=0, with_total=False, facet_fields=("category",))
    assert (facets.total, facets.articles, facets.next) == (0, [], None)
    assert {each.value: each.count for each in facets.facets["category"]} == {"Travel": 2, "Weather": 1}


async def test_searches_that_run_together_return_what_each_returns_alone(harbour: ArticleIndex) -> None:
    requests = [
        request("ferry", limit=1),
        request("harbour", Sort.NEWEST, limit=0),
        request("harbour", filters=wanting("publisher", "coast weekly"), with_body=False, with_facets=False),
        request("zeppelin"),
    ]
    together = await harbour.search_all(requests)
    assert together == [await harbour.search(each) for each in requests]
    assert [page.total for page in together] == [2, 2, 1, 0]
    assert await harbour.search_all(requests[:1]) == together[:1]
    assert await harbour.search_all([]) == []

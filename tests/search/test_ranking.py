"""Ranking by relevance and partial matches, on both indexes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from redis.asyncio import Redis

from newswire.text.query import parse
from newswire_search.index.models import SearchRequest, WordMatch
from newswire_search.index.partial_matches import partial_matches_request
from newswire_search.index.port import ArticleIndex
from newswire_search.index.ranking import any_includes_all, plan_query, recency
from newswire_search.query.parameters import SearchParams, to_request
from tests.search.samples import found, ids, publish, put, request, retract
from tests.search.test_api import client_for, search
from tests.search.test_api import ids as ids_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


async def some(index: ArticleIndex, q: str) -> list[str]:
    return ids(await index.search(replace(request(q), word_match=WordMatch.PARTIAL)))


@pytest.mark.parametrize(
    "q", ["the end of the line", "The End of the Line!", "the ends of the lines", '"the end of the line"']
)
async def test_an_article_whose_title_is_the_query_comes_first(index: ArticleIndex, q: str) -> None:
    await put(
        index,
        publish(
            "a1", "The end of the line", "A tram stopped for good after ninety years on its rails, to little notice."
        ),
        publish("a2", "The end of the line for a line", "The line ends, and the end of the line is the end of a line."),
        publish("a3", "Line end, end line", "End line end line end line."),
    )
    assert (await found(index, q))[0] == "a1"


async def test_a_title_is_compared_in_the_language_of_its_article(index: ArticleIndex) -> None:
    await put(
        index,
        publish(
            "a1", "Die Häuser am Fluss", "Ein Bericht über Wohnungen, Mieten und Wasser in der Stadt.", language="de"
        ),
        publish("a2", "Haus Fluss, Haus am Fluss", "Haus Fluss Haus Fluss Haus Fluss.", language="de"),
    )
    assert (await found(index, "die Häuser am Fluss"))[0] == "a1"


async def test_of_articles_with_one_title_the_newest_comes_first(index: ArticleIndex) -> None:
    await put(
        index,
        publish("a1", "Weather tomorrow", "Weather: rain tomorrow.", published_at=days_ago(60)),
        publish(
            "a2", "Weather tomorrow", "Cloudy, then a lot of sun over most of the valleys.", published_at=days_ago(1)
        ),
        publish("a3", "Weather tomorrow and after", "Weather tomorrow.", published_at=days_ago(0)),
    )
    assert await found(index, "weather tomorrow", now_ms=NOW_MS) == ["a2", "a1", "a3"]


async def test_adjacent_words_score_more(index: ArticleIndex) -> None:
    filler = "Council members spoke at length about budgets and roads and schools and parks"
    await put(
        index,
        publish("a1", "Report", f"A bridge was named. {filler}. Later the toll."),
        publish("a2", "Report", f"A bridge toll. {filler}. Later was named the."),
        publish("a3", "Report", f"A toll was named. {filler}. Later the bridge."),
    )
    assert (await found(index, "bridge toll"))[0] == "a2"


async def test_newer_of_equal_matches_ranks_first(index: ArticleIndex) -> None:
    text = "The ferry sails."
    await put(
        index,
        publish("old", "Ferry", text, published_at=days_ago(300)),
        publish("new", "Ferry", text, published_at=days_ago(2)),
        publish("mid", "Ferry", text, published_at=days_ago(40)),
    )
    assert await found(index, "ferry sails", now_ms=NOW_MS) == ["new", "mid", "old"]


async def test_age_never_outweighs_a_clearly_better_match(index: ArticleIndex) -> None:
    await put(
        index,
        publish("old", "Ferry timetable", "The ferry timetable: each ferry, each pier.", published_at=days_ago(3000)),
        publish(
            "new", "Town news", "Roads, schools, a ferry, parks, rents, a timetable and bees.", published_at=days_ago(0)
        ),
    )
    assert await found(index, "ferry timetable", now_ms=NOW_MS) == ["old", "new"]


def test_recency_is_bounded_and_halves() -> None:
    day = 86_400_000
    assert recency(NOW_MS, NOW_MS) == pytest.approx(1.1)
    assert recency(NOW_MS - 30 * day, NOW_MS) == pytest.approx(1.05)
    assert recency(0, NOW_MS) == pytest.approx(1.0)


def test_age_counts_unless_dates_or_another_sort_are_requested() -> None:
    def now_of(**sent: str) -> int | None:
        return to_request(SearchParams.model_validate(sent), clock=lambda: 5.0).now_ms

    assert now_of(q="ferry") == 5000
    for dated in ({"from": "2026-01-01"}, {"to": "2026-01-01"}, {"sort": "newest"}):
        assert now_of(q="ferry", **dated) is None
    assert now_of(q="ferry published:2026-01") is None


async def test_paging_keeps_the_ages_of_its_first_page(index: ArticleIndex) -> None:
    await put(
        index,
        *(publish(f"a{n:03}", "Ferry", "ferry " * (n % 7 + 1), published_at=days_ago(n % 90)) for n in range(230)),
    )
    first = request("ferry", now_ms=NOW_MS, limit=100)
    together = ids(await index.search(first))
    seen: list[str] = []
    at: SearchRequest | None = replace(first, limit=30)
    while at is not None:
        page = await index.search(at)
        seen += ids(page)
        at = replace(at, after=page.next) if page.next else None
    assert sorted(seen) == [f"a{n:03}" for n in range(230)]
    assert seen[:100] == together


@pytest.fixture
async def piers(index: ArticleIndex) -> ArticleIndex:
    await put(
        index,
        publish("all", "Ferry at the north pier", "A storm held it there."),
        publish("two", "Storm over the pier", "Waves.", category="Weather"),
        publish("one", "Ferry sold", "A buyer was found."),
        publish("none", "Chess", "Games."),
        publish("gone", "Ferry storm", "Withdrawn."),
    )
    await put(index, retract("gone", 1))
    return index


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("ferry pier storm", ["two", "one"]),
        ("ferry the pier storm", ["two", "one"]),
        ("ferry pier storm zeppelin", ["two", "all", "one"]),
        ("(ferry OR zeppelin) pier storm", ["two", "one"]),
        ("ferry pier storm -waves", ["one"]),
        ('ferry pier "storm over"', ["two"]),
        ("ferry pier category:weather", ["two"]),
        ("ferry storm published:2020", []),
    ],
)
async def test_partial_matches(piers: ArticleIndex, q: str, expected: list[str]) -> None:
    assert await some(piers, q) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 20])
@pytest.mark.parametrize("with_facets", [True, False])
async def test_both_kinds_of_matches_are_those_that_each_search_finds_alone(
    piers: ArticleIndex, limit: int, with_facets: bool
) -> None:
    await put(piers, publish("de", "Fähre am Pier im Sturm", "Die ferry blieb am pier.", language="de"))
    for q in (
        "ferry pier storm",
        "ferry pier",
        "ferry pier ferry",
        "ferry zeppelin",
        "zeppelin quagga",
        "ferry -storm pier",
        'ferry pier "north pier"',
        '"north pier" the of',  # only stop words may be missing
        "ferry (pier OR storm)",
        "ferry pier-storm north",
        "ferry pier published:2026",
        "the ferry",
        "ferry",
        "",
    ):
        asked = request(q, limit=limit, with_facets=with_facets)
        page, partial_matches = await piers.search_with_partial_matches(asked)
        alone = await piers.search(asked)
        assert (page.total, ids(page), page.facets, page.next) == (alone.total, ids(alone), alone.facets, alone.next), q
        for_partial = partial_matches_request(asked, alone.total)
        rest = await piers.search(for_partial) if for_partial else None
        assert (partial_matches is None) == (rest is None), q
        if partial_matches is not None and rest is not None:
            assert (partial_matches.total, ids(partial_matches)) == (rest.total, ids(rest)), q


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("ferry pier", True),
        ("ferry pier ferry", True),
        ("the ferry pier", True),
        ("ferry (pier OR quay)", True),
        ('ferry pier "north quay" -storm author:smith', True),
        ('the of "north quay"', False),  # one of the stop words counts for partial matches alone
    ],
)
def test_which_queries_find_both_kinds_of_matches_together(q: str, expected: bool) -> None:
    assert any_includes_all(parse(q), "en") is expected


@pytest.fixture
async def client(piers: ArticleIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(piers, redis, namespace) as http:
        yield http


async def test_partial_matches_fill_the_first_page(client: httpx.AsyncClient) -> None:
    answer = await search(client, "q=ferry+pier+storm")
    assert ids_of(answer) == ["all"]
    assert answer["partial_matches"]["total"] == 2
    assert [each["id"] for each in answer["partial_matches"]["articles"]] == ["two", "one"]
    assert answer["partial_matches"]["articles"][0]["highlights"]["title"] == [
        "<mark>Storm</mark> over the <mark>pier</mark>"
    ]
    assert answer["next_cursor"] is None
    narrow = await search(client, "q=ferry+pier+storm&limit=2")
    assert [each["id"] for each in narrow["partial_matches"]["articles"]] == ["two"]
    assert narrow["partial_matches"]["total"] == 2


@pytest.mark.parametrize(
    "query",
    [
        "q=ferry+pier+storm&limit=1",
        "q=ferry",
        "q=ferry+pier+storm&sort=newest",
        "",
        "q=%22ferry+pier%22",
        "q=title:ferry",
    ],
)
async def test_partial_matches_are_omitted_when_not_needed(client: httpx.AsyncClient, query: str) -> None:
    assert (await search(client, query))["partial_matches"] is None


async def test_page_shows_partial_matches_separately(client: httpx.AsyncClient) -> None:
    page = (await client.get("/search?q=ferry+pier+storm")).text
    assert (
        page.index("One article was found")
        < page.index("north ")
        < page.index("With some of the words")
        < page.index("sold")
    )
    nothing = (await client.get("/search?q=ferry+zeppelin")).text
    assert "No article has all of the words." in nothing
    assert "With some of the words" in nothing
    assert "With some of the words" not in (await client.get("/search?q=zeppelin+quagga")).text


@pytest.mark.parametrize(
    ("q", "pairs", "near"),
    [
        ("night ferry", [], None),  # an article with the pair has both words: it is no partial match
        ("night ferry harbour", [("night", "ferri"), ("ferri", "harbour")], None),
        ("night ferry (harbour OR quay)", [("night", "ferri")], ("night", "ferri")),
        ('night ferry "old harbour" quay*', [], None),
    ],
)
def test_partial_matches_are_not_scored_by_what_none_of_them_has(
    q: str, pairs: list[tuple[str, ...]], near: tuple[str, ...] | None
) -> None:
    plan = plan_query(SearchRequest(query=parse(q), word_match=WordMatch.PARTIAL), "en")
    assert [pair.terms for pair in plan.pairs] == pairs
    assert (plan.all_words.terms if plan.all_words else None) == near

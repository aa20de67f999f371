"""Publication days, on both indexes."""

from datetime import UTC, date, datetime

from newswire_search.index.models import PublicationDay, SearchRequest
from newswire_search.index.port import ArticleIndex
from tests.search.samples import publish, put, request, retract, search, wanting


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def test_days_are_counted_oldest_first(index: ArticleIndex) -> None:
    await put(
        index,
        publish("a1", "Ferry", published_at="1969-07-20T20:17:00Z", updated_at="2026-03-01T07:00:00Z"),
        publish("a2", "Ferry", published_at="2026-03-01T00:00:00Z", updated_at="2026-03-01T08:00:00Z"),
        publish(
            "a3",
            "Storm",
            published_at="2026-03-01T23:59:59.999Z",
            updated_at="2026-03-02T09:30:00.125Z",
            category="Sea",
        ),
        publish("a4", "Chess", published_at="2026-03-02T00:00:00Z", updated_at="2026-03-02T00:00:00Z"),
        publish("a5", "Ferry", published_at="2026-03-09T00:00:00Z"),
    )
    await put(index, retract("a5", 2))
    moon = PublicationDay(date(1969, 7, 20), 1, at("2026-03-01T07:00:00"))
    assert list(await index.days(SearchRequest())) == [
        moon,
        PublicationDay(date(2026, 3, 1), 2, at("2026-03-02T09:30:00.125")),
        PublicationDay(date(2026, 3, 2), 1, at("2026-03-02T00:00:00")),
    ]
    assert list(await index.days(request("ferry", until_ms=0))) == [moon]
    assert [day.count for day in await index.days(request(filters=wanting("category", "sea")))] == [1]
    assert list(await index.days(request("zeppelin"))) == []


async def test_facets_can_be_left_out(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n}", published_at=f"2026-03-0{n}T00:00:00Z", category="Sea") for n in range(1, 4)))
    page = await search(index, limit=2, with_facets=False)
    assert [found["id"] for found in page.articles] == ["a3", "a2"]
    assert (page.total, page.facets) == (3, {})

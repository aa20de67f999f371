"""The readers' API over HTTP."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.models import SearchPage, SearchRequest
from newswire_search.index.port import ArticleIndex
from newswire_search.query import cursor
from newswire_search.query.state_cache import MAX_SECONDS
from tests.search import reader_client
from tests.search.samples import publish, put, retract


def client_for(index: ArticleIndex, redis: Redis, namespace: str, *, public_read: bool = True) -> httpx.AsyncClient:
    return reader_client.client_for(index, redis, namespace, public_read=public_read)


@pytest.fixture
async def client(index: ArticleIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    await put(
        index,
        publish(
            "a1",
            "Ferries sail again",
            "The ferries left the harbour.",
            category="Travel",
            topics=["Sea"],
            authors=["Ann Lee"],
            summary="At last",
            published_at="2026-03-01T23:59:59.999Z",
            external_id="secret-7",
            mood="hopeful",
        ),
        publish("a2", "Storm warning", "No ferry runs.", category="Weather", published_at="2026-03-02T00:00:00Z"),
        publish("a3", "Chess", "Games.", category="travel", published_at="2026-03-03T10:00:00Z"),
    )
    async with client_for(index, redis, namespace) as http:
        yield http


async def search(client: httpx.AsyncClient, query: str) -> dict[str, Any]:
    answer = await client.get(f"/v1/search?{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(answer: dict[str, Any]) -> list[str]:
    return [found["id"] for found in answer["articles"]]


async def test_search_response_has_exactly_the_documented_members(client: httpx.AsyncClient) -> None:
    answer = await search(client, "q=harbour")
    assert answer.keys() == {
        "total",
        "interpreted",
        "hints",
        "took_ms",
        "articles",
        "partial_matches",
        "facets",
        "next_cursor",
        "suggestion",
    }
    assert answer["total"] == 1
    assert answer["next_cursor"] is None
    assert answer["articles"] == [
        {
            "id": "a1",
            "version": 1,
            "title": "Ferries sail again",
            "summary": "At last",
            "authors": [{"name": "Ann Lee"}],
            "category": "Travel",
            "topics": ["Sea"],
            "language": "und",
            "publisher": "The Harbour Post",
            "image": None,
            "published_at": "2026-03-01T23:59:59.999000Z",
            "updated_at": "2026-03-01T12:00:00Z",
            "canonical_url": None,
            "correction_note": None,
            "url": "https://news.example/articles/a1/ferries-sail-again",
            "highlights": {"title": [], "body": ["The ferries left the <mark>harbour</mark>."]},
        }
    ]
    assert answer["facets"] == {
        "category": [{"value": "Travel", "count": 1}],
        "topic": [{"value": "Sea", "count": 1}],
        "author": [{"value": "Ann Lee", "count": 1}],
        "publisher": [{"value": "The Harbour Post", "count": 1}],
        "language": [{"value": "und", "count": 1}],
        "month": [{"value": "2026-03", "count": 1}],
    }


@pytest.mark.parametrize("query", ["q=harbour", "q=ferries%20harbour", "q=ferry&limit=1", "topic=Sea&sort=newest"])
async def test_facets_that_are_not_requested_are_empty(client: httpx.AsyncClient, query: str) -> None:
    every = (await search(client, query))["facets"]
    first = await search(client, f"{query}&facets=topic,%20author")
    assert first["facets"] == {name: counted if name in ("topic", "author") else [] for name, counted in every.items()}
    none = await search(client, f"{query}&facets=")
    assert none["facets"] == {name: [] for name in every}
    assert ids(none) == ids(first)
    if first["next_cursor"]:  # which facets are counted may change between pages
        following = await search(client, f"{query}&cursor={first['next_cursor']}")
        assert following["facets"] == every


async def test_fields_adds_body_and_text(client: httpx.AsyncClient) -> None:
    (found,) = (await search(client, "q=harbour&fields=body,text"))["articles"]
    assert (found["body"], found["text"]) == ("<p>The ferries left the harbour.</p>", "The ferries left the harbour.")
    (listed, *_) = (await search(client, "fields=text"))["articles"]
    assert "text" in listed
    assert "body" not in listed


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a3", "a2", "a1"]),
        ("sort=oldest", ["a1", "a2", "a3"]),
        ("category=TRAVEL", ["a3", "a1"]),
        ("category=Travel&category=weather", ["a3", "a2", "a1"]),
        ("category=-travel", ["a2"]),
        ("category=travel&topic=sea", ["a1"]),
        ("author=ann%20lee", ["a1"]),
        ("author=-Ann%20Lee", ["a3", "a2"]),
        ("publisher=the%20harbour%20post", ["a3", "a2", "a1"]),
        ("language=und", ["a3", "a2", "a1"]),
        ("month=2026-03&month=2026-04", ["a3", "a2", "a1"]),
        ("month=-2026-03", []),
        ("from=2026-03-02", ["a3", "a2"]),
        ("to=2026-03-01", ["a1"]),
        ("from=2026-03-01&to=2026-03-01", ["a1"]),
        ("from=2026-03-02T00:00:00Z&to=2026-03-03T11:00:00%2B01:00", ["a3", "a2"]),
        ("to=2026-03-03T11:00:00+01:00&from=2026-03-03", ["a3"]),
        ("q=ferry&sort=newest", ["a2", "a1"]),
        ("q=zeppelin", []),
    ],
)
async def test_parameters(client: httpx.AsyncClient, query: str, expected: list[str]) -> None:
    answer = await search(client, query)
    assert (ids(answer), answer["total"]) == (expected, len(expected))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("q=a&q=b", "q"),
        ("sort=newest&sort=newest", "sort"),
        ("from=2026-03-01&from=2026-03-01", "from"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("sort=best", "sort"),
        ("from=yesterday", "from"),
        ("from=20260301", "from"),
        ("from=1772357400", "from"),
        ("from=2026-W09-7", "from"),
        ("from=2026-02-30", "from"),
        ("to=2026-03-01T09:30:00", "to"),
        ("to=2026-03-01T09:30:00,5Z", "to"),
        ("to=2026-02-30", "to"),
        ("to=2026-03-01T10:00:00", "to"),
        ("from=2026-03-02&to=2026-03-01", "from"),
        ("fields=title", "fields"),
        ("facets=topic,place", "facets"),
        ("facets=topic&facets=author", "facets"),
        ("ids=a1&facets=topic", "facets"),
        ("category=", "category"),
        ("category=-", "category"),
        (f"q={'x' * 1001}", "q"),
        (f"q={'+x' * 65}", "q"),
    ],
)
async def test_invalid_parameter_is_422_and_names_the_field(client: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"/v1/search?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["fix"]


@pytest.mark.parametrize("query", ["q=ferry%20OR%20chess", "sort=newest", "sort=oldest"])
async def test_cursors_page_through_all_results(client: httpx.AsyncClient, query: str) -> None:
    first = await search(client, f"{query}&limit=2")
    second = await search(client, f"{query}&limit=2&cursor={first['next_cursor']}")
    assert len(ids(first)) == 2
    assert sorted(ids(first) + ids(second)) == ["a1", "a2", "a3"]
    assert second["next_cursor"] is None
    assert first["total"] == second["total"] == 3


async def test_articles_by_id_are_in_the_requested_order(index: ArticleIndex, client: httpx.AsyncClient) -> None:
    await put(index, retract("a3", 1))
    answer = await search(client, "ids=a2,%20nothing,a3&ids=a1,a2&ids=..%2F_search")
    assert (ids(answer), answer["total"], answer["next_cursor"]) == (["a2", "a1"], 2, None)
    assert answer["articles"][0]["highlights"] == {"title": [], "body": []}
    assert set(map(len, answer["facets"].values())) == {0}
    (found,) = (await search(client, "ids=a1&fields=text"))["articles"]
    assert found["text"] == "The ferries left the harbour."


async def test_suggestions(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/search/suggest?q=s")
    assert answer.json() == {
        "suggestions": [
            {"kind": "topic", "value": "Sea", "id": None},
            {"kind": "title", "value": "Storm warning", "id": "a2"},
            {"kind": "title", "value": "Ferries sail again", "id": "a1"},
        ]
    }
    answer = await client.get("/v1/search/suggest?q=S&limit=2&format=opensearch")
    assert answer.headers["content-type"] == "application/x-suggestions+json"
    assert answer.json() == ["S", ["Sea", "Storm warning"]]
    assert (await client.get("/v1/search/suggest")).json() == {"suggestions": []}


async def test_related_articles(index: ArticleIndex, client: httpx.AsyncClient) -> None:
    await put(index, publish("b1", "Ferries sail", "The ferries are in the harbour."), publish("b2", "Gone"))
    await put(index, retract("b2", 1))
    (found,) = (await client.get("/v1/search/related/a1?limit=1")).json()["articles"]
    assert found["id"] == "b1"
    assert found.keys() == (await search(client, "ids=b1"))["articles"][0].keys() - {"highlights"}
    assert (await client.get("/v1/search/related/b2")).status_code == 410
    assert (await client.get("/v1/search/related/nothing")).status_code == 404


async def test_spelling_is_suggested_when_nothing_matches(client: httpx.AsyncClient) -> None:
    answer = await search(client, "q=harbuor%20-storm")
    assert (answer["total"], answer["suggestion"]) == (0, "harbour -storm")
    assert (await search(client, "q=harbour"))["suggestion"] is None


async def test_selected_value_without_articles_is_listed_as_sent(client: httpx.AsyncClient) -> None:
    answer = await search(client, "topic=Deep%20Sea")
    assert answer["facets"]["topic"] == [{"value": "Sea", "count": 1}, {"value": "Deep Sea", "count": 0}]


async def test_a_cursor_belongs_to_its_search(client: httpx.AsyncClient) -> None:
    first = await search(client, "sort=newest&limit=1")
    for query in ("sort=oldest", "sort=newest&q=ferry", "sort=newest&category=travel", "sort=newest&from=2026-03-01"):
        answer = await client.get(f"/v1/search?{query}&limit=1&cursor={first['next_cursor']}")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "cursor"
    page = await client.get(f"/search?sort=newest&cursor={first['next_cursor']}")
    assert page.status_code == 400
    assert len(ids(await search(client, f"limit=2&cursor={first['next_cursor']}"))) == 2


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("?month=March", "month"),
        ("?month=2026-13", "month"),
        ("?ids=", "ids"),
        ("?ids=,", "ids"),
        (f"?ids={','.join(f'a{n}' for n in range(101))}", "ids"),
        ("?ids=a1&q=ferry", "q"),
        ("?ids=a1&limit=5", "limit"),
        ("?ids=a1&from=2026-03-01", "from"),
        ("?ids=a1&topic=sea", "topic"),
        ("/suggest?q=a&q=b", "q"),
        ("/suggest?limit=21", "limit"),
        ("/suggest?format=xml", "format"),
        ("/suggest?sort=newest", "sort"),
        ("/related/a1?limit=0", "limit"),
        ("/related/a1?q=a", "q"),
    ],
)
async def test_requests_that_need_no_index_are_validated_as_strictly(
    embedded_index: ArticleIndex, redis: Redis, namespace: str, path: str, field: str
) -> None:
    async with client_for(embedded_index, redis, namespace) as client:
        answer = await client.get(f"/v1/search{path}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_expired_cursor_is_410(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor, "CURSOR_LIFETIME_SECONDS", -MAX_SECONDS - 1)
    first = await search(client, "limit=1")
    answer = await client.get(f"/v1/search?limit=1&cursor={first['next_cursor']}")
    assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")


async def test_article_response(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/search/articles/a1")
    assert answer.status_code == 200
    found = answer.json()
    assert found["body"] == "<p>The ferries left the harbour.</p>"
    assert "external_id" not in found
    assert "mood" not in found
    assert (await client.get("/v1/search/articles/a1?x=1")).status_code == 422


@pytest.mark.parametrize("name", ["nothing", "%2e%2e", "a%2Fb", "x" * 600, "a%00", "_search", "%ED%A0%80"])
async def test_an_unknown_article_is_404(client: httpx.AsyncClient, name: str) -> None:
    assert (
        await client.get(httpx.URL("http://news.example", raw_path=f"/v1/search/articles/{name}".encode()))
    ).status_code == 404


async def test_retracted_article_is_410_without_its_text(index: ArticleIndex, client: httpx.AsyncClient) -> None:
    await put(index, retract("a1", 1))
    for path in ("/v1/search/articles/a1", "/articles/a1/ferries-sail-again"):
        answer = await client.get(path)
        assert answer.status_code == 410
        assert "sail" not in answer.text
    assert ids(await search(client, "q=harbour")) == []


async def test_reading_can_require_a_key(embedded_index: ArticleIndex, redis: Redis, namespace: str) -> None:
    key = await create_key(redis, Keyspace(namespace), "Reader", {Scope.READ})
    other = await create_key(redis, Keyspace(namespace), "Other", {Scope.PUBLISH})
    async with client_for(embedded_index, redis, namespace, public_read=False) as client:
        for path in ("/v1/search", "/v1/search/articles/a1", "/", "/search", "/articles/a1/x"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers={"Authorization": f"Bearer {other.token}"})).status_code == 403
            answer = await client.get(path, headers={"Authorization": f"Bearer {key.token}"})
            assert answer.status_code == (404 if "a1" in path else 200)


class _Down:
    """An index whose server cannot be reached."""

    name = "elasticsearch"

    async def search(self, request: SearchRequest) -> SearchPage:
        raise DependencyUnavailableError("Elasticsearch: connection refused at 10.0.0.7")

    async def get(self, *_: object, **__: object) -> None:
        raise DependencyUnavailableError("Elasticsearch: connection refused at 10.0.0.7")

    get_all = complete = search_with_partial_matches = get


async def test_an_index_that_is_down_is_503(redis: Redis, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    index: Any = _Down()
    async with client_for(index, redis, namespace) as client:
        for path, kind in (
            ("/v1/search?q=ferry", "application/problem+json"),
            ("/v1/search?ids=a1", "application/problem+json"),
            ("/v1/search/suggest?q=ferry", "application/problem+json"),
            ("/v1/search/related/a1", "application/problem+json"),
            ("/v1/search/articles/a1", "application/problem+json"),
            ("/", "text/html; charset=utf-8"),
            ("/search?q=ferry", "text/html; charset=utf-8"),
            ("/articles/a1/x", "text/html; charset=utf-8"),
        ):
            caplog.clear()
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (503, kind)
            assert "10.0.0.7" not in answer.text
            assert "retry-after" in answer.headers
            reasons = [getattr(record, "reason", "") for record in caplog.records]
            assert any("10.0.0.7" in reason for reason in reasons), "operators read it in the log"


async def test_openapi_lists_every_parameter_once(client: httpx.AsyncClient) -> None:
    operation = (await client.get("/openapi.json")).json()["paths"]["/v1/search"]["get"]
    names = [parameter["name"] for parameter in operation["parameters"]]
    expected = [
        "author",
        "category",
        "cursor",
        "facets",
        "fields",
        "from",
        "ids",
        "language",
        "limit",
        "month",
        "publisher",
        "q",
        "sort",
        "to",
        "topic",
    ]
    assert sorted(names) == expected


@pytest.mark.parametrize("path", ["", "/suggest", "/related/a1", "/articles/a1"])
async def test_every_route_rejects_unknown_parameters(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/v1/search{path}?limt=1")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "limt")


@pytest.mark.parametrize("q", ["???", "title:…", '"?"', "()", "-!", "NOT", "… — …"])
async def test_query_without_words_matches_nothing_and_has_a_hint(client: httpx.AsyncClient, q: str) -> None:
    answer = await search(client, f"q={quote(q)}")
    assert (answer["total"], answer["articles"], answer["partial_matches"]) == (0, [], None)
    assert answer["hints"][0].keys() == {"code", "message", "at"}
    assert answer["hints"][0]["code"] == "nothing_to_look_for"
    assert not any(counted for counted in answer["facets"].values())


async def test_unknown_field_has_a_hint_besides_results(client: httpx.AsyncClient) -> None:
    answer = await search(client, "q=titel:harbour")
    assert [hint["code"] for hint in answer["hints"]] == ["unknown_field"]
    assert answer["interpreted"] == '"titel:harbour"'
    assert (await search(client, "q=harbour"))["hints"] == []

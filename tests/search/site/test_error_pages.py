"""Errors are pages for readers and problem documents for programs."""

from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from tests.search.reader_client import client_for
from tests.search.samples import publish, put, retract

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PROGRAM = {"Accept": "application/json"}


@pytest.fixture
async def client(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    await put(embedded_index, publish("a1", "Quay closes", category="Harbour"), publish("a2", "Gone"), retract("a2", 2))
    async with client_for(embedded_index, redis, namespace) as http:
        yield http


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nothing/of/the-kind", 404, "There is nothing here"),
        ("/articles/a9", 404, "There is nothing here"),
        ("/articles/a2", 410, "No longer here"),
        ("/search?sort=best", 422, "This address is not valid"),
        ("/search?from=yesterday", 422, "is not a date"),
        ("/search?q=a&cursor=x", 400, "This address is not valid"),
    ],
)
async def test_readers_get_a_page_and_programs_a_problem(
    client: httpx.AsyncClient, path: str, status: int, says: str
) -> None:
    shown = await client.get(path, headers=BROWSER)
    assert (shown.status_code, shown.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert says in shown.text
    assert shown.headers["cache-control"] == "no-store"
    assert 'href="/sections/Harbour"' in shown.text
    assert '<meta name="robots" content="noindex">' in shown.text
    told = await client.get(path, headers=PROGRAM)
    assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json")
    assert told.json()["status"] == status


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/search?sort=best", "/feeds/nothing", "/sitemap-x.xml", "/assets/x.css"]
)
async def test_programs_addresses_answer_problems_to_browsers_too(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers=BROWSER)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/search/", "/search"),
        ("/live/?utm_source=x", "/live?utm_source=x"),
        ("/sections/nothing/", "/sections/nothing"),
        ("//evil.example/", "/evil.example"),
        ("/%5Cevil.example/", "/%5Cevil.example"),
        ("/%0d%0aset-cookie:x/", "/set-cookie%3Ax"),
    ],
)
async def test_a_slash_at_the_end_of_an_unknown_address_is_removed(
    client: httpx.AsyncClient, path: str, location: str
) -> None:
    answer = await client.get(f"https://news.example{path}", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (301, location)


async def test_too_many_requests_are_explained(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> None:
    async with client_for(embedded_index, redis, namespace, read_rate=1) as client:
        answers = [await client.get("/", headers=BROWSER) for _ in range(5)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert "Too many requests" in answers[-1].text
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_errors_speak_the_language_of_the_site(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    for language, says in (("de", "Hier ist nichts"), ("fr", "Il n’y a rien ici"), ("es-MX", "Aquí no hay nada")):
        async with client_for(embedded_index, redis, namespace, site_language=language) as client:
            answer = await client.get("/nothing", headers=BROWSER)
            assert says in answer.text
            assert f'<html lang="{language}" dir="ltr"' in answer.text


async def test_head_answers_as_get_without_a_body(client: httpx.AsyncClient) -> None:
    for path in (
        "/",
        "/live",
        "/about",
        "/search",
        "/sections/Harbour",
        "/articles/a1/quay-closes",
        "/articles/a2",
        "/no",
    ):
        got, headed = await client.get(path, headers=BROWSER), await client.head(path, headers=BROWSER)
        assert (headed.status_code, headed.headers.get("etag")) == (got.status_code, got.headers.get("etag")), path
        assert headed.content == b""

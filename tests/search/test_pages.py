"""The reader site."""

from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from newswire_search.embedded_index import EmbeddedIndex
from newswire_search.index import ArticleIndex
from tests.search.samples import publish, put, retract
from tests.search.test_api import client_for

EVIL = "<script>alert('x')</script> & \"co\""


class Page(HTMLParser):
    """What of a page the tests ask for."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def links(self) -> list[str]:
        return [link["href"] or "" for link in self.all("a")]


@pytest.fixture
async def client(index: ArticleIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    await put(
        index,
        publish(
            "a1",
            "Ferries sail",
            "The ferries left the harbour.",
            category="Travel & Sea",
            topics=["Boats"],
            authors=["Ann Lee"],
            published_at="2026-03-01T09:05:00Z",
        ),
        publish(
            "a2",
            EVIL,
            f"ferry {EVIL}",
            summary=EVIL,
            category=EVIL,
            topics=[EVIL],
            authors=[EVIL],
            correction_note=EVIL,
        ),
    )
    async with client_for(index, redis, namespace) as http:
        yield http


async def page(client: httpx.AsyncClient, path: str, status: int = 200) -> Page:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    made = Page(answer.text)
    # No script but that of the search box, which is a file of ours.
    policy = answer.headers["content-security-policy"]
    scripts = made.all("script")
    assert ("script-src" in policy) is bool(scripts)
    if scripts:
        assert "script-src 'self';" in policy
        (script,) = scripts
        assert (script["src"] or "").startswith("/assets/suggest.")
    assert not made.all("style")
    assert all(
        "style" not in attributes and not any(name.startswith("on") for name in attributes)
        for _, attributes in made.tags
    )
    assert [tag for tag, _ in made.tags].count("main") == 1
    assert [tag for tag, _ in made.tags].count("h1") == 1
    return made


async def test_every_page_is_free_of_scripts_even_from_evil_articles(client: httpx.AsyncClient) -> None:
    for path in ("/", "/search", "/search?q=ferry", f"/search?q={EVIL}", f"/search?category={EVIL}"):
        await page(client, path)
    latest = await page(client, "/")
    evil = next(link for link in latest.links() if link.startswith("/articles/a2/"))
    await page(client, evil)


async def test_an_article_page(client: httpx.AsyncClient) -> None:
    shown = await page(client, "/articles/a1/ferries-sail")
    assert "Ferries sail" in shown.text
    assert "The ferries left the harbour." in shown.text
    assert "Posted by" in shown.text
    assert "Ann Lee" in shown.text
    assert "Category: Travel & Sea" in shown.text
    assert {"datetime": "2026-03-01T09:05:00+00:00"} in shown.all("time")
    assert "1 March 2026, 09:05 UTC" in shown.text
    assert {"rel": "canonical", "href": "https://news.example/articles/a1/ferries-sail"} in shown.all("link")
    assert "/search?category=Travel+%26+Sea" in shown.links()


@pytest.mark.parametrize("path", ["/articles/a1", "/articles/a1/wrong", "/articles/a1/ferries"])
async def test_a_wrong_slug_leads_to_the_right_one(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (301, "/articles/a1/ferries-sail")


async def test_what_is_gone_or_never_was_has_a_page(index: ArticleIndex, client: httpx.AsyncClient) -> None:
    await put(index, retract("a1", 1))
    gone = await page(client, "/articles/a1/ferries-sail", 410)
    assert "Ferries" not in gone.text
    assert "Ferries" not in (await page(client, "/")).text
    await page(client, "/articles/nothing/of-the-kind", 404)
    await page(client, "/search?sort=best", 422)
    await page(client, "/search?colour=red", 422)


async def test_search_shows_highlights_filters_and_facets(client: httpx.AsyncClient) -> None:
    shown = await page(client, "/search?q=harbour&from=&to=&sort=relevance&category=travel+%26+sea")
    assert "One article was found." in shown.text
    assert shown.all("mark")
    assert "/search?q=harbour&sort=relevance" in shown.links()
    on = [link for link in shown.all("a") if link.get("aria-current") == "true"]
    assert [link["href"] for link in on] == ["/search?q=harbour&sort=relevance"]
    assert "/search?q=harbour&sort=relevance&category=travel+%26+sea&topic=Boats" in shown.links()
    labelled = {label["for"] for label in shown.all("label")}
    assert {"q", "from", "to", "sort"} <= labelled


async def test_nothing_found_is_said(client: httpx.AsyncClient) -> None:
    assert "No article was found." in (await page(client, "/search?q=zeppelin")).text


async def test_pages_lead_on(tmp_path: Path, redis: Redis, namespace: str) -> None:
    index = EmbeddedIndex(tmp_path)
    assert "Nothing has been published yet." in await _text(index, redis, namespace, "/")
    await put(index, *(publish(f"a{n:02}", f"Ferry {n:02}") for n in range(35)))
    async with client_for(index, redis, namespace) as client:
        for start in ("/", "/search?q=ferry&limit=30"):
            first = await page(client, start)
            (following,) = [link["href"] for link in first.all("a") if link.get("rel") == "next"]
            second = await page(client, following or "")
            titles = {f"Ferry {n:02}" for n in range(35)}
            assert {t for t in titles if t in first.text} | {t for t in titles if t in second.text} == titles
            assert not [link for link in second.all("a") if link.get("rel") == "next"]
    await index.close()


async def _text(index: ArticleIndex, redis: Redis, namespace: str, path: str) -> str:
    async with client_for(index, redis, namespace) as client:
        return (await page(client, path)).text

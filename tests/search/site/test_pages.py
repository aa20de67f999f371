"""The pages for readers."""

import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.port import ArticleIndex
from tests.search.reader_client import client_for
from tests.search.samples import publish, put, retract
from tests.search.schemas import faults_of_json

EVIL = "<script>alert('x')</script> & \"co\""


class Page(HTMLParser):
    """The parts of a page that tests check."""

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
            image={"url": "https://courier.example/f.jpg", "alt": "A ferry"},
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
    # No script that runs but files of ours; the rest is data.
    policy = answer.headers["content-security-policy"]
    scripts = [script for script in made.all("script") if script.get("type") != "application/ld+json"]
    assert "script-src 'self';" in policy
    assert all((script["src"] or "").startswith(("/assets/site.", "/assets/live.")) for script in scripts)
    assert not made.all("style")
    assert all(
        "style" not in attributes and not any(name.startswith("on") for name in attributes)
        for _, attributes in made.tags
    )
    assert [tag for tag, _ in made.tags].count("main") == 1
    assert [tag for tag, _ in made.tags].count("h1") == 1
    return made


async def test_pages_contain_no_injected_scripts(client: httpx.AsyncClient) -> None:
    for path in ("/", "/live", "/search", "/search?q=ferry", f"/search?q={EVIL}", f"/search?category={EVIL}"):
        await page(client, path)
    for kind in ("sections", "topics", "authors"):
        await page(client, f"/{kind}/{quote(EVIL, safe='')}")
    latest = await page(client, "/")
    evil = next(link for link in latest.links() if link.startswith("/articles/a2/"))
    await page(client, evil)


async def test_an_article_page(client: httpx.AsyncClient) -> None:
    shown = await page(client, "/articles/a1/ferries-sail")
    assert "Ferries sail" in shown.text
    assert "The ferries left the harbour." in shown.text
    assert "By Ann Lee" in shown.text
    assert "Category: Travel & Sea" in shown.text
    assert {"datetime": "2026-03-01T09:05:00Z", "title": "1 March 2026, 09:05 UTC"} in shown.all("time")
    assert "1 March 2026, 09:05 UTC" in shown.text
    assert {"rel": "canonical", "href": "https://news.example/articles/a1/ferries-sail"} in shown.all("link")
    assert {"/sections/Travel%20%26%20Sea", "/topics/Boats", "/authors/Ann%20Lee"} <= set(shown.links())


@pytest.mark.parametrize("path", ["/articles/a1", "/articles/a1/wrong", "/articles/a1/ferries"])
async def test_wrong_slug_redirects_to_the_right_one(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (301, "/articles/a1/ferries-sail")


async def test_an_address_in_another_alphabet(index: ArticleIndex, client: httpx.AsyncClient) -> None:
    await put(index, publish("a3", "Паром тонет"))
    await page(client, "/articles/a3/паром-тонет")
    answer = await client.get("/articles/a3/паром")
    assert (answer.status_code, answer.headers["location"]) == (
        301,
        "/articles/a3/%D0%BF%D0%B0%D1%80%D0%BE%D0%BC-%D1%82%D0%BE%D0%BD%D0%B5%D1%82",
    )


async def test_article_page_has_linked_data(client: httpx.AsyncClient) -> None:
    for link in ("/articles/a1/ferries-sail", next(x for x in (await page(client, "/")).links() if "/a2/" in x)):
        source = (await client.get(link)).text
        data, _ = re.findall(r'<script type="application/ld\+json">(.*?)</script>', source, re.DOTALL)
        assert faults_of_json(json.loads(data), "news_article") == []
        if "/a1/" in link:
            assert json.loads(data)["headline"] == "Ferries sail"
            assert json.loads(data)["image"]["url"] == "https://courier.example/f.jpg"
        else:
            assert json.loads(data)["headline"] == EVIL


@pytest.mark.parametrize(
    ("path", "feed"),
    [
        ("/", "/feeds/latest.{}"),
        ("/search", "/feeds/latest.{}"),
        ("/search?q=ferry&sort=oldest", "/feeds/search.{}?q=ferry"),
        ("/search?category=Travel+%26+Sea", "/feeds/category/Travel%20%26%20Sea.{}"),
        ("/search?category=-Boats", "/feeds/search.{}?category=-Boats"),
        ("/search?q=ferry&topic=Boats&limit=1", "/feeds/search.{}?q=ferry&topic=Boats"),
        ("/articles/a1/ferries-sail", "/feeds/category/Travel%20%26%20Sea.{}"),
        ("/sections/travel%20%26%20sea", "/feeds/category/Travel%20%26%20Sea.{}"),
        ("/topics/boats", "/feeds/topic/Boats.{}"),
        ("/authors/ann%20lee", "/feeds/author/Ann%20Lee.{}"),
        ("/live", "/feeds/latest.{}"),
    ],
)
async def test_pages_link_to_their_feeds(client: httpx.AsyncClient, path: str, feed: str) -> None:
    shown = await page(client, path)
    expected = {
        ("application/rss+xml", feed.format("xml")),
        ("application/atom+xml", feed.format("atom")),
        ("application/feed+json", feed.format("json")),
    }
    links = [link for link in shown.all("link") if link.get("rel") == "alternate"]
    assert {(link["type"], link["href"]) for link in links} == expected
    assert all(link["title"] for link in links)
    if not path.startswith("/articles"):
        assert expected <= {(link.get("type"), link["href"]) for link in shown.all("a")}
    assert "/opensearch.xml" in {link["href"] for link in shown.all("link") if link.get("rel") == "search"}


async def test_retracted_and_unknown_articles_have_error_pages(index: ArticleIndex, client: httpx.AsyncClient) -> None:
    await put(index, retract("a1", 1))
    gone = await page(client, "/articles/a1/ferries-sail", 410)
    assert "Ferries" not in gone.text
    assert "Ferries" not in (await page(client, "/")).text
    await page(client, "/articles/nothing/of-the-kind", 404)
    await page(client, "/search?sort=best", 422)
    assert "Ferries" not in (await page(client, "/live")).text
    await page(client, "/sections/Travel%20%26%20Sea", 404)
    assert "Travel & Sea" not in (await page(client, "/about")).text


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


async def test_search_page_reports_no_results(client: httpx.AsyncClient) -> None:
    assert "No article was found." in (await page(client, "/search?q=zeppelin")).text


async def test_pages_link_to_the_next_page(tmp_path: Path, redis: Redis, namespace: str) -> None:
    index = EmbeddedIndex(tmp_path)
    assert "Nothing has been published yet." in await _text(index, redis, namespace, "/")
    await put(index, *(publish(f"a{n:02}", f"Ferry {n:02}") for n in range(55)))
    async with client_for(index, redis, namespace) as client:
        for start in ("/", "/search?q=ferry&limit=40"):
            first = await page(client, start)
            (following,) = [link["href"] for link in first.all("a") if link.get("rel") == "next"]
            second = await page(client, following or "")
            titles = {f"Ferry {n:02}" for n in range(55)}
            assert {t for t in titles if t in first.text} | {t for t in titles if t in second.text} == titles
            assert not [link for link in second.all("a") if link.get("rel") == "next"]
    await index.close()


async def _text(index: ArticleIndex, redis: Redis, namespace: str, path: str) -> str:
    async with client_for(index, redis, namespace) as client:
        return (await page(client, path)).text

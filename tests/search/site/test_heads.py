"""What search engines and social networks read in the heads of pages."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from tests.search.reader_client import client_for
from tests.search.samples import publish, put
from tests.search.schemas import faults_of_json
from tests.search.site.test_pages import Page, page

SITE = "https://news.example"


@pytest.fixture
async def client(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    await put(
        embedded_index,
        publish(
            "a1",
            "Quay </script> closes",
            "The quay closes. " * 40,
            language="en",
            category="Harbour",
            topics=["Tides", "Boats"],
            authors=["Ann Lee"],
            published_at="2026-03-01T09:05:00.125Z",
            updated_at="2026-03-02T09:05:00Z",
            version=2,
            image={"url": "http://x.example/a.jpg", "alt": "A quay", "width": 1200, "height": 800},
            metadata={
                "hreflang-de": "https://de.example/a1",
                "hreflang-EN": "https://en.example/a1",
                "hreflang-fr": "javascript:alert(1)",
                "hreflang-??": "https://x.example/",
            },
        ),
        publish("a2", "Bread is dear", "Bread.", canonical_url="https://courier.example/bread"),
    )
    named = {"site_name": "The Harbour Post", "site_publisher": "Harbour Media", "site_language": "en-US"}
    async with client_for(embedded_index, redis, namespace, **named) as http:
        yield http


def properties(shown: Page) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for meta in shown.all("meta"):
        name = meta.get("property") or meta.get("name") or ""
        found.setdefault(name, []).append(meta.get("content") or "")
    return found


async def linked_data(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    source = (await client.get(path)).text
    documents = re.findall(r'<script type="application/ld\+json">(.*?)</script>', source, re.DOTALL)
    return {document["@type"]: document for document in map(json.loads, documents)}


async def test_an_article(client: httpx.AsyncClient) -> None:
    path = "/articles/a1/quay-script-closes"
    shown = await page(client, path)
    said = properties(shown)
    assert said["og:type"] == ["article"]
    assert said["og:title"] == ["Quay </script> closes"]
    assert said["og:url"] == [SITE + path]
    assert said["og:site_name"] == ["The Harbour Post"]
    assert said["og:locale"] == ["en_US"]
    assert said["og:image"] == ["https://x.example/a.jpg"]
    assert (said["og:image:alt"], said["og:image:width"]) == (["A quay"], ["1200"])
    assert said["article:published_time"] == ["2026-03-01T09:05:00.125000+00:00"]
    assert said["article:modified_time"] == ["2026-03-02T09:05:00+00:00"]
    assert (said["article:section"], said["article:tag"]) == (["Harbour"], ["Tides", "Boats"])
    assert said["twitter:card"] == ["summary_large_image"]
    assert said["robots"] == ["max-image-preview:large"]
    (description,) = said["description"]
    assert description == said["og:description"][0]
    assert len(description) <= 202
    assert description.endswith(" …")
    alternates = {link["hreflang"]: link["href"] for link in shown.all("link") if link.get("hreflang")}
    assert alternates == {"en": SITE + path, "de": "https://de.example/a1"}
    data = await linked_data(client, path)
    article = data["NewsArticle"]
    assert faults_of_json(article, "news_article") == []
    assert article["publisher"]["name"] == "Harbour Media"
    assert article["image"]["url"] == "https://x.example/a.jpg"
    assert article["isAccessibleForFree"] is True
    trail = data["BreadcrumbList"]["itemListElement"]
    assert [(step["position"], step["name"], step["item"]) for step in trail] == [
        (1, "The Harbour Post", f"{SITE}/"),
        (2, "Harbour", f"{SITE}/sections/Harbour"),
        (3, "Quay </script> closes", SITE + path),
    ]


async def test_an_article_whose_original_is_elsewhere(client: httpx.AsyncClient) -> None:
    shown = await page(client, "/articles/a2/bread-is-dear")
    assert {"rel": "canonical", "href": "https://courier.example/bread"} in shown.all("link")
    said = properties(shown)
    assert said["og:url"] == ["https://courier.example/bread"]
    assert (said["twitter:card"], "og:image" in said) == (["summary"], False)


async def test_an_article_has_its_own_locale_and_its_original_names_the_versions(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    versions = {"hreflang-de": "https://courier.example/brot"}
    original = "https://courier.example/bread"
    await put(embedded_index, publish("a1", "Bread", language="he", canonical_url=original, metadata=versions))
    async with client_for(embedded_index, redis, namespace) as client:
        shown = await page(client, "/articles/a1/bread")
        source = (await client.get("/articles/a1/bread")).text
    assert properties(shown)["og:locale"] == ["he_IL"]
    assert [link for link in shown.all("link") if link.get("hreflang")] == []
    assert 'Also in: <a href="https://courier.example/brot" hreflang="de">German</a></p>' in source


async def test_readers_see_the_versions_in_other_languages_only(client: httpx.AsyncClient) -> None:
    source = (await client.get("/articles/a1/quay-script-closes")).text
    assert 'Also in: <a href="https://de.example/a1" hreflang="de">German</a></p>' in source


@pytest.mark.parametrize(
    "path", ["/", "/live", "/about", "/sections", "/sections/Harbour", "/articles/a2/bread-is-dear"]
)
async def test_every_page_that_may_be_found_has_a_description(client: httpx.AsyncClient, path: str) -> None:
    said = properties(await page(client, path))
    assert said["description"] == said["og:description"] != [""]


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/?utm_source=x", "/"),
        ("/sections/harbour", "/sections/Harbour"),
        ("/topics/TIDES", "/topics/Tides"),
        ("/authors/ann%20lee", "/authors/Ann%20Lee"),
        ("/live", "/live"),
    ],
)
async def test_a_list(client: httpx.AsyncClient, path: str, canonical: str) -> None:
    shown = await page(client, path)
    assert {"rel": "canonical", "href": SITE + canonical} in shown.all("link")
    said = properties(shown)
    assert (said["og:type"], said["og:url"]) == (["website"], [SITE + canonical])
    collection = (await linked_data(client, path))["CollectionPage"]
    items = collection["mainEntity"]["itemListElement"]
    assert f"{SITE}/articles/a1/quay-script-closes" in [item["url"] for item in items]
    assert [item["position"] for item in items] == list(range(1, len(items) + 1))
    assert all(item["name"] for item in items)


async def test_search_results_and_errors_are_not_indexed(client: httpx.AsyncClient) -> None:
    for path, status in (("/search?q=quay", 200), ("/articles/none", 404)):
        assert properties(await page(client, path, status))["robots"] == ["noindex"]


async def test_every_page_has_one_language_and_titles_have_their_own(client: httpx.AsyncClient) -> None:
    for path in ("/", "/articles/a1/quay-script-closes", "/live"):
        shown = await page(client, path)
        (html,) = shown.all("html")
        assert (html["lang"], html["dir"]) == ("en-US", "ltr")
    headings = [each for tag in ("h2", "h3") for each in (await page(client, "/")).all(tag) if "lang" in each]
    assert {(each["lang"], each["dir"]) for each in headings} == {("en", "ltr"), ("", "auto")}

"""Linked data of articles has what search engines ask for, whatever the publisher sends."""

import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from tests.search.reader_client import client_for
from tests.search.samples import publish, put
from tests.search.schemas import faults_of_json

SITE = "https://news.example"
ARTICLES: dict[str, dict[str, Any]] = {
    "least": {},
    "authors": {"authors": ["Ann Lee", {"name": "Bo/Li ?", "url": "https://bo.example/"}, "..", "علي"]},
    "picture": {"image": {"url": "http://x.example/a%20b.jpg", "alt": "A quay", "width": 1200, "height": 800}},
    "picture without size": {"image": {"url": "https://x.example/a.jpg"}},
    "stored after publication": {
        "published_at": "2020-03-01T09:05:00.125Z",
        "updated_at": "2026-03-02T09:05:00Z",
        "version": 1,
    },
    "changed": {"published_at": "2026-03-01T09:05:00Z", "updated_at": "2026-03-02T09:05:00Z", "version": 2},
    "stored before publication": {
        "published_at": "2026-03-01T09:05:00Z",
        "updated_at": "2026-03-01T09:04:59Z",
        "version": 2,
    },
    "elsewhere": {"canonical_url": "https://courier.example/bread"},
    "labels": {"category": "Travel & <Sea>", "topics": ["A/B", "?"], "language": "ar"},
}


def is_address(text: Any) -> bool:
    parts = urlsplit(str(text))
    return parts.scheme in ("http", "https") and bool(parts.netloc) and not re.search(r"\s", str(text))


def of_type(source: str, name: str) -> dict[str, Any]:
    documents = map(json.loads, re.findall(r'<script type="application/ld\+json">(.*?)</script>', source, re.DOTALL))
    (found,) = [document for document in documents if document["@type"] == name]
    return dict(found)


async def pages_of(client: httpx.AsyncClient) -> dict[str, str]:
    found = {name: await client.get(f"/articles/a{at}", follow_redirects=True) for at, name in enumerate(ARTICLES)}
    assert all(answer.status_code == 200 for answer in found.values())
    return {name: answer.text for name, answer in found.items()}


@pytest.fixture
async def pages(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> dict[str, str]:
    await put(embedded_index, *(publish(f"a{at}", "Quay", **more) for at, more in enumerate(ARTICLES.values())))
    async with client_for(embedded_index, redis, namespace, site_name="The Harbour Post") as client:
        return await pages_of(client) | {"front": (await client.get("/")).text}


@pytest.mark.parametrize("name", ARTICLES)
async def test_an_article_has_what_search_engines_ask_for(pages: dict[str, str], name: str) -> None:
    article = of_type(pages[name], "NewsArticle")
    assert faults_of_json(article, "news_article") == []
    assert article["headline"] == "Quay"
    for author in article.get("author", []):
        assert author["@type"] == "Person"
        assert author["name"]
        assert is_address(author["url"]), author
    published, modified = (datetime.fromisoformat(article[each]) for each in ("datePublished", "dateModified"))
    assert published.tzinfo is not None
    assert modified.tzinfo is not None
    assert modified >= published
    assert is_address(article["mainEntityOfPage"])
    assert article["publisher"]["name"]
    if "picture" in name:
        assert article["image"]["@type"] == "ImageObject"
        assert is_address(article["image"]["url"])
        assert article["image"]["url"].startswith("https:")
    trail = of_type(pages[name], "BreadcrumbList")["itemListElement"]
    assert [step["position"] for step in trail] == list(range(1, len(trail) + 1))
    assert len(trail) >= 2
    assert all(step["name"] and is_address(step["item"]) for step in trail)


def test_authors_are_named_with_a_page(pages: dict[str, str]) -> None:
    authors = of_type(pages["authors"], "NewsArticle")["author"]
    assert [author["url"] for author in authors] == [
        f"{SITE}/authors/Ann%20Lee",
        "https://bo.example/",
        f"{SITE}/search?author=..",
        f"{SITE}/authors/%D8%B9%D9%84%D9%8A",
    ]


def test_an_article_that_was_not_changed_has_one_date(pages: dict[str, str]) -> None:
    article = of_type(pages["stored after publication"], "NewsArticle")
    assert datetime.fromisoformat(article["dateModified"]) == datetime.fromisoformat(article["datePublished"])


def test_the_front_page_names_the_site(pages: dict[str, str]) -> None:
    site = of_type(pages["front"], "WebSite")
    assert (site["name"], site["url"]) == ("The Harbour Post", f"{SITE}/")

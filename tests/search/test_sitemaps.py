"""Sitemaps, robots.txt and the OpenSearch description."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from lxml import etree
from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.models import PublicationDay
from newswire_search.index.port import ArticleIndex
from newswire_search.site import sitemaps
from newswire_search.site.sitemaps import SitemapFile, SitemapSpan, files, parse_sitemap_name
from tests.search.reader_client import NOW, client_for
from tests.search.samples import publish, put, retract
from tests.search.schemas import faults_of_xml

SITE = "https://news.example"
AT = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
async def client(index: ArticleIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(index, redis, namespace) as http:
        yield http


async def entries(client: httpx.AsyncClient, path: str) -> list[tuple[str, str | None]]:
    """Validate a sitemap and return its addresses with their times of change."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/xml"
    assert faults_of_xml(answer.content, "sitemap") == []
    return [
        (entry.findtext("{*}loc") or "", entry.findtext("{*}lastmod")) for entry in etree.fromstring(answer.content)
    ]


async def test_each_article_is_in_one_sitemap(
    index: ArticleIndex, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sitemaps, "MAX_URLS_PER_FILE", 8)
    monkeypatch.setattr(sitemaps, "ARTICLES_PER_QUERY", 4)
    picking = random.Random(4)
    days = ["2025-12-31", "2026-01-01", *["2026-02-11"] * 2, *["2026-02-12"] * 21, "2026-02-28", "2026-03-01"]
    moments = [f"{day}T{picking.choice(['00:00:00', '23:59:59.999', '12:00:00'])}Z" for day in days]
    await put(index, *(publish(f"a{n:02}", published_at=at) for n, at in enumerate(moments)))
    await put(index, publish("gone", published_at="2026-01-05T00:00:00Z"), retract("gone", 2))
    listed = await entries(client, "/sitemap.xml")
    names = [
        "pages",
        "2025-12",
        "2026-01",
        "2026-02-11",
        *(f"2026-02-12-part-{n}" for n in (1, 2, 3)),
        "2026-02-28",
        "2026-03",
    ]
    assert [address for address, _ in listed] == [f"{SITE}/sitemap-{name}.xml" for name in names]
    assert {changed for _, changed in listed[1:]} == {"2026-03-01T12:00:00+00:00"}
    found: list[str] = []
    for address, _ in listed[1:]:
        file = await entries(client, address)
        assert 0 < len(file) <= 8
        found += [article for article, _ in file]
    assert sorted(found) == [f"{SITE}/articles/a{n:02}/untitled" for n in range(len(moments))]
    assert await entries(client, "/sitemap-pages.xml") == [
        (f"{SITE}{path}", None) for path in ("/", "/live", "/about", "/sections")
    ]
    await put(index, publish("b1", category="A/B"))
    assert (f"{SITE}/sections/A%2FB", None) in await entries(client, "/sitemap-pages.xml")


@pytest.mark.parametrize(
    "name", ["2026-13", "2026-02-30", "2026-00", "0000-01", "2024-01", "2026-03-part-9", "x", "2026-3"]
)
async def test_unknown_sitemap_is_404(client: httpx.AsyncClient, index: ArticleIndex, name: str) -> None:
    await put(index, publish("a1"))
    answer = await client.get(f"/sitemap-{name}.xml")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_empty_site_has_a_sitemap_index(client: httpx.AsyncClient) -> None:
    assert await entries(client, "/sitemap.xml") == [(f"{SITE}/sitemap-pages.xml", None)]
    assert (await client.get("/sitemap-news.xml")).status_code == 404
    assert (await client.get("/sitemap.xml?page=2")).status_code == 422


async def test_news_are_of_the_last_two_days(index: ArticleIndex, client: httpx.AsyncClient) -> None:
    def ago(**span: float) -> str:
        return (NOW - timedelta(**span)).isoformat()

    await put(
        index,
        publish("a1", "Ferry <&> co\x08", language="pt-BR", published_at=ago(hours=1)),
        publish("a2", "Fähre", language="zh-Hant", published_at=ago(hours=48)),
        publish("a3", "Old", published_at=ago(hours=48, seconds=0.001)),
        publish("a4", "Gone", published_at=ago(hours=2)),
        publish("a5", "Storm", language="zh", published_at=ago(hours=3)),
    )
    await put(index, retract("a4", 2))
    listed = await entries(client, "/sitemap-news.xml")
    assert [address.split("/")[4] for address, _ in listed] == ["a1", "a5", "a2"]
    root = etree.fromstring((await client.get("/sitemap-news.xml")).content)
    first = [element.text for element in root[0].iter("{http://www.google.com/schemas/sitemap-news/0.9}*")]
    assert [text for text in first if text] == [
        "The Harbour Post",
        "pt",
        ago(hours=1).replace("+00:00", "Z"),
        "Ferry <&> co",
    ]
    assert [element.text for element in root.iter("{*}language")] == ["pt", "zh-cn", "zh-tw"]
    assert (f"{SITE}/sitemap-news.xml", None) in await entries(client, "/sitemap.xml")


async def test_news_name_the_publication_and_a_language(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    await put(embedded_index, publish("a1", published_at=(NOW - timedelta(hours=1)).isoformat()))
    named = {"site_name": "Hafenblatt", "site_language": "de-AT"}
    async with client_for(embedded_index, redis, namespace, **named) as client:
        news = etree.fromstring((await client.get("/sitemap-news.xml")).content)
    assert [news.findtext(f".//{{*}}{name}") for name in ("name", "language")] == ["Hafenblatt", "de"]


async def test_articles_whose_original_is_elsewhere_are_not_listed(
    index: ArticleIndex, client: httpx.AsyncClient
) -> None:
    recent = (NOW - timedelta(hours=1)).isoformat()
    elsewhere = publish("a1", canonical_url="https://courier.example/x", published_at=recent)
    await put(
        index, elsewhere, publish("a3", canonical_url="https://courier.example/y", published_at="2025-01-01T00:00:00Z")
    )
    assert (await client.get("/sitemap-news.xml")).status_code == 404
    assert f"{SITE}/sitemap-news.xml" not in [address for address, _ in await entries(client, "/sitemap.xml")]
    assert await entries(client, "/sitemap-2025-01.xml") == [(f"{SITE}/", None)]
    here = publish("a2", canonical_url=f"{SITE}/articles/a2/untitled", published_at=recent)
    newer = publish("a4", canonical_url="https://courier.example/z", published_at=NOW.isoformat())
    await put(index, here, newer)
    assert (f"{SITE}/sitemap-news.xml", None) in await entries(client, "/sitemap.xml")
    for path in ("/sitemap-news.xml", "/sitemap-2026-03.xml"):
        assert [address for address, _ in await entries(client, path)] == [f"{SITE}/articles/a2/untitled"]


async def test_unchanged_sitemaps_are_304(index: ArticleIndex, client: httpx.AsyncClient) -> None:
    await put(index, publish("a1"), publish("a2"))
    for path in ("/sitemap.xml", "/sitemap-2026-03.xml"):
        first = await client.get(path)
        assert (await client.get(path, headers={"If-None-Match": first.headers["etag"]})).status_code == 304
        assert (await client.head(path)).headers["content-length"] == str(len(first.content))
    await put(index, retract("a1", 2))
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 200
    assert "/a1/" not in again.text


def test_large_month_is_divided_into_days() -> None:
    maximum = sitemaps.MAX_URLS_PER_FILE
    spread = files(
        [
            PublicationDay(date(987, 5, 31), maximum, AT - timedelta(days=2)),
            PublicationDay(date(2026, 2, 1), maximum - 1, AT),
            PublicationDay(date(2026, 2, 28), 1, AT - timedelta(days=1)),
            PublicationDay(date(2026, 3, 1), 1, AT),
            PublicationDay(date(2026, 3, 2), maximum, AT),
            PublicationDay(date(2026, 3, 3), maximum + 1, AT),
        ]
    )
    assert list(spread) == [
        SitemapFile("0987-05", AT - timedelta(days=2)),
        SitemapFile("2026-02", AT),
        SitemapFile("2026-03-01", AT),
        SitemapFile("2026-03-02", AT),
        SitemapFile("2026-03-03-part-1", AT),
        SitemapFile("2026-03-03-part-2", AT),
    ]


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("2026-02", SitemapSpan("2026-02-01", "2026-02-28", 0)),
        ("2024-02", SitemapSpan("2024-02-01", "2024-02-29", 0)),
        ("9999-12", SitemapSpan("9999-12-01", "9999-12-31", 0)),
        ("0987-05-31", SitemapSpan("0987-05-31", "0987-05-31", 0)),
        ("2026-03-03-part-3", SitemapSpan("2026-03-03", "2026-03-03", 2 * sitemaps.MAX_URLS_PER_FILE)),
        ("2026-02-29", None),
        ("2026-02-", None),
        ("2026-02-01-part-0", None),
        ("2026-02-01-part-999999", None),
    ],
)
def test_sitemap_names(name: str, span: SitemapSpan | None) -> None:
    assert parse_sitemap_name(name) == span


async def test_robots_txt(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> None:
    async with client_for(embedded_index, redis, namespace) as client:
        answer = await client.get("/robots.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert {f"Sitemap: {SITE}/sitemap.xml", "Disallow: /search"} <= set(lines)
    assert "Disallow: /" not in lines
    async with client_for(embedded_index, redis, namespace, public_read=False) as client:
        assert (await client.get("/robots.txt")).text.splitlines() == ["User-agent: *", "Disallow: /"]


async def test_opensearch_description(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> None:
    async with client_for(embedded_index, redis, namespace) as client:
        answer = await client.get("/opensearch.xml")
    assert answer.headers["content-type"] == "application/opensearchdescription+xml"
    root = etree.fromstring(answer.content)
    assert root.tag == "{http://a9.com/-/spec/opensearch/1.1/}OpenSearchDescription"
    assert 1 <= len(root.findtext("{*}ShortName") or "") <= 16
    urls = {url.get("type"): url.get("template") for url in root.iterfind("{*}Url")}
    assert urls["text/html"] == f"{SITE}/search?q={{searchTerms}}"
    suggesting = urls["application/x-suggestions+json"]
    assert suggesting == f"{SITE}/v1/search/suggest?q={{searchTerms}}&format=opensearch"

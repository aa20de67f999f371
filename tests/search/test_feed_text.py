"""Feed readers show plain text unchanged and never read it as markup."""

import asyncio
import json
import re
from html import escape, unescape
from pathlib import Path
from typing import Any

import feedparser
import httpx
import pytest
from lxml import etree
from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from tests.npm import node_with
from tests.search.reader_client import client_for
from tests.search.samples import publish, put

HERE = Path(__file__).parent / "readers"
TEXTS = [
    '<img src=x onerror="alert(1)">',
    "x < y and y > z",
    "a<b",
    "AT&T",
    "&lt;b&gt; is how <b> is written",
    "&amp; &copy; &#60;",
    "<script>alert(1)</script>",
    "</description></item><item>",
    "]]> <![CDATA[ x ]]>",
    'it\'s "quoted" \u2028 line',
    "<!-- hidden -->",
]


@pytest.fixture(scope="session")
def rss_parser() -> list[str]:
    return [node_with("rss-parser", HERE), str(HERE / "read.mjs")]


async def items_by_rss_parser(command: list[str], feed: bytes) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(feed)
    assert process.returncode == 0
    items: list[dict[str, Any]] = json.loads(output)["items"]
    return items


def texts_of(rss: etree._Element, tag: str) -> list[str]:
    return [item.findtext(tag) or "" for item in rss.iter("item")]


def one_line(text: str) -> str:
    return " ".join(text.split())


def read_as_html(html: str) -> str:
    """Return the text of HTML that must contain no markup."""
    assert "<" not in html, html
    return one_line(unescape(html))


@pytest.mark.parametrize("content", ["summary", "full"])
async def test_two_feed_readers_decode_plain_text_unchanged(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, rss_parser: list[str], content: str
) -> None:
    articles = [
        publish(f"a{n:02}", text, f"Body {n}", summary=text, authors=[text], category=text, topics=[f"{text} {n}"])
        for n, text in enumerate(TEXTS)
    ]
    await put(embedded_index, *articles)
    expected = [one_line(text) for text in reversed(TEXTS)]
    async with client_for(embedded_index, redis, namespace, feed_content=content) as client:
        feeds = {form: (await client.get(f"/feeds/latest.{form}")) for form in ("xml", "atom", "json")}

    rss = etree.fromstring(feeds["xml"].content)
    assert [read_as_html(text) for text in texts_of(rss, "description")] == expected
    assert [one_line(text) for text in texts_of(rss, "title")] == expected
    parsed = feedparser.parse(feeds["xml"].content, sanitize_html=False)
    assert [entry.summary_detail.type for entry in parsed.entries] == ["text/html"] * len(TEXTS)
    assert [read_as_html(entry.summary) for entry in parsed.entries] == expected
    items = await items_by_rss_parser(rss_parser, feeds["xml"].content)
    assert [one_line(item["title"]) for item in items] == expected
    if content == "summary":
        assert [read_as_html(item["content"]) for item in items] == expected

    parsed = feedparser.parse(feeds["atom"].content, sanitize_html=False)
    for entry in parsed.entries:
        assert (entry.title_detail.type, entry.summary_detail.type) == ("text/plain", "text/plain")
    assert [one_line(entry.title) for entry in parsed.entries] == expected
    assert [one_line(entry.summary) for entry in parsed.entries] == expected
    assert [one_line(entry.tags[0].term) for entry in parsed.entries] == expected
    items = await items_by_rss_parser(rss_parser, feeds["atom"].content)
    assert [one_line(item["title"]) for item in items] == expected
    assert [one_line(item["summary"]) for item in items] == expected

    found = feeds["json"].json()["items"]
    assert [one_line(item["title"]) for item in found] == expected
    assert [one_line(item["summary"]) for item in found] == expected
    if content == "summary":
        assert [one_line(item["content_text"]) for item in found] == expected


async def test_search_words_are_in_no_element_read_as_html(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    hostile = "<img src=x onerror=alert(1)> ferry"
    async with client_for(embedded_index, redis, namespace) as client:
        answer = await client.get("/feeds/search.xml", params={"q": hostile})
        root = etree.fromstring(answer.content)
        assert root.findtext("channel/title") == f"Newswire: {hostile}"
        assert "<" not in (root.findtext("channel/description") or "")
        parsed = feedparser.parse(answer.content, sanitize_html=False)
        assert "onerror" not in parsed.feed.subtitle


async def test_article_text_cannot_end_the_linked_data_script(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    hostile = "</script><script>alert(1)</script> <!-- \u2028 \u2029 ]]> & <img onerror>"
    await put(
        embedded_index,
        publish("a1", hostile, summary=hostile, authors=[hostile], category=hostile, topics=[hostile]),
    )
    async with client_for(embedded_index, redis, namespace) as client:
        page = await client.get("/articles/a1", follow_redirects=True)
        searched = await client.get("/search", params={"q": hostile})
        news = await client.get("/sitemap-2026-03.xml")
    data = linked_data(page)
    assert (data["headline"], data["description"], data["author"][0]["name"]) == (hostile, hostile, hostile)
    for answer in (page, searched):
        assert "alert(1)</script>" not in answer.text.replace(escape("alert(1)</script>"), "")
        assert "<img onerror" not in answer.text
    etree.fromstring(news.content)


def linked_data(page: httpx.Response) -> dict[str, Any]:
    scripts = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page.text, re.DOTALL)
    assert not set("<>&\u2028\u2029").intersection("".join(scripts))
    by_type: dict[str, dict[str, Any]] = {data["@type"]: data for data in map(json.loads, scripts)}
    return by_type["NewsArticle"]

"""Feeds in all formats, and conditional requests."""

import time
from collections.abc import AsyncIterator
from email.utils import format_datetime, parsedate_to_datetime

import feedparser
import httpx
import orjson
import pytest
from lxml import etree
from redis.asyncio import Redis

from newswire.auth.accounts import entitle_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.feeds.feed import feed_entry
from newswire_search.feeds.index_changes import SETTLING_SECONDS
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.models import SearchPage, SearchRequest
from newswire_search.index.port import ArticleIndex
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from tests.search.reader_client import client_for
from tests.search.samples import publish, put, retract
from tests.search.schemas import faults_of_json, faults_of_xml

HOSTILE = "<script>alert('x')</script> & \"co\" ]]> \u202e\x08\x1b\ufffe\U0001f6a2"
MAX_LISTED_DIFFERENCES = HOSTILE.translate(dict.fromkeys(map(ord, "\x08\x1b\ufffe")))
FORMS = ("xml", "atom", "json")


@pytest.fixture
async def stocked(index: ArticleIndex) -> ArticleIndex:
    await put(
        index,
        publish(
            "a1",
            "Ferries sail again",
            "The ferries left the harbour.",
            summary="At last",
            category="Travel",
            topics=["Sea", "Ports/Docks"],
            authors=["Ann Lee", "Bo Ek"],
            language="en",
            canonical_url="https://courier.example/ferries",
            image={
                "url": "https://courier.example/f.jpg?w=9",
                "alt": "A ferry",
                "caption": "At dawn",
                "credit": "L. Quist",
                "width": 800,
                "height": 600,
            },
            published_at="2026-03-01T08:00:00Z",
            updated_at="2026-03-02T09:30:00.125Z",
        ),
        publish("a2", "Storm", "No ferry runs. " * 40, category="A/B.json", published_at="2026-03-03T00:00:00Z"),
        publish(
            "a3",
            HOSTILE,
            HOSTILE,
            summary=HOSTILE,
            authors=[HOSTILE],
            category=HOSTILE,
            topics=[HOSTILE],
            language="de",
        ),
    )
    return index


@pytest.fixture
async def client(stocked: ArticleIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(stocked, redis, namespace) as http:
        yield http


async def ids(client: httpx.AsyncClient, path: str) -> list[str]:
    """Validate a feed of any format and return the ids in it."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    sound(answer)
    if answer.headers["content-type"] == "application/feed+json":
        entries = [item["id"] for item in answer.json()["items"]]
    else:
        entries = [entry.id for entry in feedparser.parse(answer.content).entries]
    assert all(entry.startswith("urn:newswire:article:") for entry in entries)
    return [entry.rpartition(":")[2] for entry in entries]


def sound(answer: httpx.Response) -> None:
    kind = answer.headers["content-type"]
    if kind == "application/feed+json":
        assert faults_of_json(answer.json(), "json_feed") == []
        return
    assert faults_of_xml(answer.content, {"application/rss+xml": "rss", "application/atom+xml": "atom"}[kind]) == []
    parsed = feedparser.parse(answer.content)
    assert not parsed.bozo, parsed.bozo_exception
    assert parsed.version == {"application/rss+xml": "rss20", "application/atom+xml": "atom10"}[kind]


FEEDS = {
    "latest.{}": ["a2", "a3", "a1"],
    "category/travel.{}": ["a1"],
    "category/A%2FB.json.{}": ["a2"],
    "category/-Travel.{}": ["a2", "a3"],
    "topic/Ports%2Fdocks.{}": ["a1"],
    "author/bo%20ek.{}": ["a1"],
    "publisher/The%20Harbour%20Post.{}": ["a2", "a3", "a1"],
    "language/de.{}": ["a3"],
    "topic/none.{}": [],
    "search.{}": ["a2", "a3", "a1"],
    "search.{}?q=ferry": ["a2", "a1"],
    "search.{}?q=ferry&topic=sea&from=2026-03-01&to=2026-03-01": ["a1"],
    "search.{}?category=travel&category=a/b.json": ["a2", "a1"],
    "search.{}?category=-travel&q=ferry": ["a2"],
    "search.{}?q=zeppelin": [],
    "search.{}?q=%3Cscript%3E%08": ["a3"],
}


async def test_there_is_a_feed_for_everything(client: httpx.AsyncClient) -> None:
    for form in FORMS:
        found = {path: await ids(client, "/feeds/" + path.format(form)) for path in FEEDS}
        assert found == FEEDS


@pytest.mark.parametrize("content", ["summary", "full"])
async def test_rss(stocked: ArticleIndex, redis: Redis, namespace: str, content: str) -> None:
    async with client_for(stocked, redis, namespace, feed_content=content) as client:
        answer = await client.get("/feeds/latest.xml")
    sound(answer)
    feed = feedparser.parse(answer.content)
    assert (feed.feed.title, feed.feed.link) == ("Newswire: Latest articles", "https://news.example/")
    assert feed.feed.updated == "Tue, 03 Mar 2026 00:00:00 GMT"
    storm, hostile, ferries = feed.entries
    assert (ferries.title, ferries.link) == (
        "Ferries sail again",
        "https://news.example/articles/a1/ferries-sail-again",
    )
    assert (ferries.id, ferries.guidislink) == ("urn:newswire:article:a1", False)
    assert (ferries.published, ferries.updated) == ("Sun, 01 Mar 2026 08:00:00 GMT", "2026-03-02T09:30:00.125000+00:00")
    assert [author.name for author in ferries.authors] == ["Ann Lee", "Bo Ek"]
    assert [tag.term for tag in ferries.tags] == ["Travel", "Sea", "Ports/Docks"]
    assert (ferries.summary, ferries.language, ferries.publisher) == ("At last", "en", "The Harbour Post")
    (enclosure,) = ferries.enclosures
    assert (enclosure.href, enclosure.type, enclosure.length) == (
        "https://courier.example/f.jpg?w=9",
        "image/jpeg",
        "0",
    )
    (media,) = ferries.media_content
    assert (media["medium"], media["width"], media["height"]) == ("image", "800", "600")
    assert [author.name for author in storm.authors] == ["The Harbour Post"]
    assert storm.summary.endswith(" …")
    assert len(storm.summary) <= 300
    assert (hostile.author, hostile.language) == (MAX_LISTED_DIFFERENCES, "de")
    bodies = [entry.get("content", [{"value": None}])[0]["value"] for entry in feed.entries]
    assert bodies[2] == (None if content == "summary" else "<p>The ferries left the harbour.</p>")


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", ""),
        (" The ferry \n\n is\tlate. ", "The ferry is late."),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 298 + " …"),
        ("a" * 298 + " bcd", "a" * 298 + " …"),
        ("a" * 297 + " bcd", "a" * 297 + " …"),
        ("self-made " * 40, "self-made " * 28 + "self-made …"),
        ("日本" * 500, "日本" * 149 + " …"),
        ("word " * 1_000_000, "word " * 58 + "word …"),
        (" " * 5000 + "late", ""),
    ],
)
def test_a_missing_summary_is_the_beginning_of_the_text_cut_at_a_word(text: str, summary: str) -> None:
    article = publish("a1").article.model_dump(mode="json", exclude_none=True) | {"summary": "", "text": text}
    found = feed_entry(article, full=False).summary
    assert found == summary
    assert len(found) <= 300


async def test_text_is_unchanged_except_for_invalid_xml_characters(client: httpx.AsyncClient) -> None:
    for form, path in (("xml", "channel/item[2]/title"), ("atom", "{*}entry[2]/{*}title")):
        root = etree.fromstring((await client.get(f"/feeds/latest.{form}")).content)
        assert root.findtext(path) == MAX_LISTED_DIFFERENCES
    items = (await client.get("/feeds/latest.json")).json()["items"]
    assert items[1]["title"] == HOSTILE


@pytest.mark.parametrize("content", ["summary", "full"])
async def test_atom(stocked: ArticleIndex, redis: Redis, namespace: str, content: str) -> None:
    async with client_for(stocked, redis, namespace, feed_content=content) as client:
        answer = await client.get("/feeds/category/Travel.atom")
    sound(answer)
    feed = feedparser.parse(answer.content)
    assert feed.feed.title == "Newswire: Travel"
    assert feed.feed.id == "https://news.example/feeds/category/Travel.atom"
    assert feed.feed.updated == "2026-03-02T09:30:00.125000+00:00"
    links = {link.rel: link.href for link in feed.feed.links}
    assert links == {
        "self": feed.feed.id,
        "hub": "https://news.example/hub",
        "alternate": "https://news.example/sections/Travel",
    }
    (entry,) = feed.entries
    assert (entry.id, entry.published) == ("urn:newswire:article:a1", "2026-03-01T08:00:00+00:00")
    assert entry.updated == feed.feed.updated
    assert [author.name for author in entry.authors] == ["Ann Lee", "Bo Ek"]
    links = {link.rel: link.href for link in entry.links}
    assert links == {
        "alternate": "https://news.example/articles/a1/ferries-sail-again",
        "canonical": "https://courier.example/ferries",
        "enclosure": "https://courier.example/f.jpg?w=9",
    }
    assert [tag.term for tag in entry.tags] == ["Travel", "Sea", "Ports/Docks"]
    assert entry.summary == "At last"
    assert ("content" in entry) == (content == "full")


async def test_json_feed(stocked: ArticleIndex, redis: Redis, namespace: str) -> None:
    async with client_for(stocked, redis, namespace) as client:
        short = (await client.get("/feeds/search.json?q=harbour&topic=Sea")).json()
    async with client_for(stocked, redis, namespace, feed_content="full") as client:
        full = (await client.get("/feeds/search.json?q=harbour&topic=Sea")).json()
    expected = {
        "id": "urn:newswire:article:a1",
        "url": "https://news.example/articles/a1/ferries-sail-again",
        "external_url": "https://courier.example/ferries",
        "title": "Ferries sail again",
        "summary": "At last",
        "image": "https://courier.example/f.jpg?w=9",
        "date_published": "2026-03-01T08:00:00+00:00",
        "date_modified": "2026-03-02T09:30:00.125000+00:00",
        "authors": [{"name": "Ann Lee"}, {"name": "Bo Ek"}],
        "tags": ["Travel", "Sea", "Ports/Docks"],
        "language": "en",
    }
    assert short == {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Newswire: harbour, Sea",
        "home_page_url": "https://news.example/search?q=harbour&topic=Sea",
        "feed_url": "https://news.example/feeds/search.json?q=harbour&topic=Sea",
        "language": "en",
        "hubs": [{"type": "WebSub", "url": "https://news.example/hub"}],
        "items": [{**expected, "content_text": "At last"}],
    }
    assert full["items"] == [{**expected, "content_html": "<p>The ferries left the harbour.</p>"}]


REFUSED = (
    ("latest.xml?q=ferry", "q"),
    ("search.xml?sort=oldest", "sort"),
    ("search.xml?limit=3", "limit"),
    ("search.xml?cursor=x", "cursor"),
    ("search.xml?q=a&q=b", "q"),
    ("search.xml?colour=red", "colour"),
    ("search.xml?from=yesterday", "from"),
    ("search.xml?category=", "category"),
    ("category/Travel.xml?topic=Sea", "topic"),
    ("category/.xml", "category"),
    ("topic/-.atom", "topic"),
    ("latest.pdf", "format"),
    ("mood/hopeful.xml", "field"),
)


async def test_invalid_feed_parameters_are_422(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> None:
    async with client_for(embedded_index, redis, namespace) as client:
        for path, field in REFUSED:
            answer = await client.get(f"/feeds/{path}")
            assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
            (error,) = answer.json()["errors"]
            assert error["field"] == field
            assert error["fix"]


async def test_unchanged_feed_is_304(stocked: ArticleIndex, client: httpx.AsyncClient) -> None:
    tags = {f"/feeds/latest.{form}": await _not_sent_again(client, f"/feeds/latest.{form}") for form in FORMS}
    await put(stocked, publish("a1", "Ferries sail", "Two left.", version=2, updated_at="2026-03-05T00:00:00Z"))
    for path, tag in tags.items():
        corrected = await client.get(path, headers={"If-None-Match": tag})
        assert corrected.status_code == 200
        assert b"2026-03-05T00:00:00+00:00" in corrected.content
        assert await ids(client, path) == ["a2", "a3", "a1"]  # the time of its publication, and its id, stay
        tags[path] = corrected.headers["etag"]
    await put(stocked, retract("a1", 3))
    for path, tag in tags.items():
        retracted = await client.get(path, headers={"If-None-Match": tag})
        assert retracted.status_code == 200
        assert b"Ferries" not in retracted.content
        assert await ids(client, path) == ["a2", "a3"]


async def _not_sent_again(client: httpx.AsyncClient, path: str) -> str:
    first = await client.get(path)
    tag: str = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for sent in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await client.get(path, headers={"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b"")
        assert (again.headers["etag"], again.headers["cache-control"]) == (tag, "no-cache")
    head = await client.head(path)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
    return tag


async def handled(redis: Redis, namespace: str, at: float) -> None:
    """Set the checkpoint of search's consumer to a time."""
    await redis.set(Keyspace(namespace).checkpoint("search"), f"{int(at * 1000)}-0")


async def test_the_time_of_the_last_change(client: httpx.AsyncClient, redis: Redis, namespace: str) -> None:
    path = "/feeds/latest.xml"
    assert "last-modified" not in (await client.get(path)).headers
    await handled(redis, namespace, 1_773_000_000.9)
    first = await client.get(path)
    changed = parsedate_to_datetime(first.headers["last-modified"])
    assert changed.timestamp() == 1_773_000_000
    same = {"If-Modified-Since": first.headers["last-modified"]}
    assert (await client.get(path, headers=same)).status_code == 304
    assert (await client.get(path, headers=same | {"If-None-Match": '"other"'})).status_code == 200  # it wins
    assert (await client.get(path, headers=same | {"If-None-Match": first.headers["etag"]})).status_code == 304
    for nonsense in ("yesterday", "2026-03-01", ""):
        assert (await client.get(path, headers={"If-Modified-Since": nonsense})).status_code == 200
    # Any event is a change, a retraction too, which leaves no date in the feed.
    await handled(redis, namespace, 1_773_000_001.0)
    assert (await client.get(path, headers=same)).status_code == 200
    later = {"If-Modified-Since": format_datetime(changed.replace(year=2100), usegmt=True)}
    assert (await client.get(path, headers=later)).status_code == 304
    # While the index lacks a retraction, nothing is the same as before.
    await redis.zadd(Keyspace(namespace).unindexed_retractions, {"a9.1": 1_773_000_000_950})
    assert (await client.get(path, headers=later)).status_code == 200
    await redis.delete(Keyspace(namespace).unindexed_retractions)
    # Within the second of a change another may come, which a client with this second's date would not receive.
    now = time.time()
    await handled(redis, namespace, now)
    just_after = (await client.get(path)).headers
    assert "last-modified" not in just_after or time.time() - now > SETTLING_SECONDS


async def test_erased_article_is_hidden_before_it_is_unindexed(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    await put(embedded_index, publish("a1", "Ferry sinks"), publish("a2", "Ferry floats"))
    for name in ("a1", "a2"):
        await redis.hset(keys.article(name), "status", "published")
    await redis.hset(keys.version("a2", 1), "document", "{}")
    async with client_for(RetractionFilteredIndex(embedded_index, redis, keys), redis, namespace) as client:
        for form in FORMS:
            assert await ids(client, f"/feeds/latest.{form}") == ["a2"]
            assert "sinks" not in (await client.get(f"/feeds/search.{form}?q=ferry")).text
        for path in ("/sitemap-2026-03.xml", "/sitemap-news.xml"):
            assert "/a1/" not in (await client.get(path)).text


async def test_the_number_of_entries_is_a_setting(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> None:
    await put(embedded_index, *(publish(f"a{n}", published_at=f"2026-03-0{n}T00:00:00Z") for n in range(1, 6)))
    async with client_for(embedded_index, redis, namespace, feed_entries=3) as client:
        assert await ids(client, "/feeds/latest.xml") == ["a5", "a4", "a3"]


async def test_private_feeds_need_a_key_and_are_not_shared(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    reading = (await create_key(redis, keys, "Desk", {Scope.READ})).token
    publishing = (await create_key(redis, keys, "Desk", {Scope.PUBLISH})).token
    await put(embedded_index, publish("a1", "Ferry", published_at="2026-03-10T11:00:00Z"))
    await handled(redis, namespace, 1_773_000_000)
    paths = [
        *(f"/feeds/{name}.{form}" for name in ("latest", "search", "category/Sea") for form in FORMS),
        *("/sitemap.xml", "/sitemap-pages.xml", "/sitemap-news.xml", "/sitemap-2026-03.xml", "/opensearch.xml"),
    ]
    async with client_for(embedded_index, redis, namespace, public_read=False) as client:
        for path in paths:
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers={"Authorization": f"Bearer {publishing}"})).status_code == 403
            answer = await client.get(path, headers={"Authorization": f"Bearer {reading}"})
            assert answer.status_code == 200, path
            if path != "/opensearch.xml":
                assert answer.headers["cache-control"] == "private, no-cache"
                assert answer.headers["vary"] == "Authorization"
                assert "last-modified" not in answer.headers  # what a key may read can change without an event
    async with client_for(embedded_index, redis, namespace) as client:
        for path in paths[:-1]:
            answer = await client.get(path)
            assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-cache", "Authorization")
            own = await client.get(path, headers={"Authorization": f"Bearer {reading}"})
            assert own.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", ["/feeds/latest.xml", "/feeds/search.json?q=x", "/sitemap.xml", "/sitemap-news.xml"])
async def test_other_sites_may_read_feeds(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, path: str
) -> None:
    async with client_for(embedded_index, redis, namespace, cors_origins=["https://reader.example"]) as client:
        answer = await client.get(path, headers={"Origin": "https://reader.example"})
        assert answer.headers["access-control-allow-origin"] == "https://reader.example"
        assert "Origin" in answer.headers.get_list("vary", split_commas=True)
        assert (
            "access-control-allow-origin"
            not in (await client.get(path, headers={"Origin": "https://x.example"})).headers
        )


class Down:
    async def search(self, request: SearchRequest) -> SearchPage:
        raise DependencyUnavailableError("Elasticsearch at 10.0.0.7 is gone")

    days = get = search


async def test_feeds_are_503_while_the_index_is_down(redis: Redis, namespace: str) -> None:
    async with client_for(Down(), redis, namespace) as client:  # type: ignore[arg-type]
        for path in (
            "/feeds/latest.xml",
            "/feeds/topic/x.json",
            "/sitemap.xml",
            "/sitemap-2026-03.xml",
            "/sitemap-news.xml",
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert "10.0.0.7" not in answer.text


async def test_feeds_are_in_the_openapi_document(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    names = [each["name"] for each in paths["/feeds/search.{format}"]["get"]["parameters"]]
    assert sorted(names) == [
        "author",
        "category",
        "format",
        "from",
        "language",
        "month",
        "publisher",
        "q",
        "to",
        "topic",
    ]
    assert {
        "/feeds/latest.{format}",
        "/feeds/{field}/{value}.{format}",
        "/sitemap.xml",
        "/sitemap-{name}.xml",
    } <= paths.keys()


def test_entry_of_an_article_with_required_members_only() -> None:
    document = orjson.loads(publish("a1").article.model_dump_json(include={"id", "url", "title", "publisher"}))
    entry = feed_entry(
        {**document, "published_at": "2026-03-05T00:00:00Z", "updated_at": "2026-03-01T00:00:00Z"}, full=True
    )
    assert (entry.summary, entry.body, entry.language, entry.tags) == ("", None, None, [])
    assert entry.updated == entry.published


async def test_feeds_are_narrowed_by_the_entitlement(stocked: ArticleIndex, redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    token = (await create_key(redis, keys, "Desk", {Scope.READ})).token
    await entitle_account(redis, keys, "Desk", Filter(categories=["travel"], query="harbour"))
    async with client_for(stocked, redis, namespace) as client:
        everybody = await client.get("/feeds/latest.xml")
        client.headers["Authorization"] = f"Bearer {token}"
        for form in FORMS:
            assert await ids(client, f"/feeds/latest.{form}") == ["a1"]
            assert await ids(client, f"/feeds/search.{form}?q=ferry") == ["a1"]
            assert await ids(client, f"/feeds/category/A%2FB.json.{form}") == []
        own = await client.get("/feeds/latest.xml", headers={"If-None-Match": everybody.headers["etag"]})
        assert own.status_code == 200
        for path in ("/sitemap-2026-03.xml", "/sitemap-news.xml"):
            assert "/articles/a2/" not in (await client.get(path)).text
        assert (await client.get("/sitemap-2026-03.xml")).status_code == 200
        await entitle_account(redis, keys, "Desk", Filter(categories=["nothing"]))
        assert (await client.get("/sitemap-2026-03.xml")).status_code == 404
        assert (await client.get("/sitemap.xml")).text.count("<loc>") == 1


HUBS = {
    "xml": "string(/rss/channel/a:link[@rel='hub']/@href)",
    "atom": "string(/a:feed/a:link[@rel='hub']/@href)",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "path", ["latest.{}", "category/A%2FB.json.{}", "search.{}?q=%22night+ferry%22&topic=S%C3%A9a"]
)
async def test_public_feeds_name_the_hub_and_themselves(client: httpx.AsyncClient, form: str, path: str) -> None:
    path = f"/feeds/{path.format(form)}"
    answer = await client.get(path)
    sound(answer)
    hub = "https://news.example/hub"
    assert answer.headers["Link"] == f'<{hub}>; rel="hub", <https://news.example{path}>; rel="self"'
    if form == "json":
        assert answer.json()["hubs"] == [{"type": "WebSub", "url": hub}]
    else:
        found = etree.fromstring(answer.content).xpath(HUBS[form], namespaces={"a": "http://www.w3.org/2005/Atom"})
        assert found == hub


@pytest.mark.parametrize("setting", ["hub", "public_read"])
@pytest.mark.parametrize("form", FORMS)
async def test_feeds_name_no_hub_that_does_not_push_them(
    stocked: ArticleIndex, redis: Redis, namespace: str, setting: str, form: str
) -> None:
    key = await create_key(redis, Keyspace(namespace), "reader", {Scope.READ})
    with_key = {"Authorization": f"Bearer {key.token}"}
    async with client_for(stocked, redis, namespace) as client:
        answers = [await client.get(f"/feeds/latest.{form}", headers=with_key)]
    async with client_for(stocked, redis, namespace, **{setting: False}) as client:
        answers.append(await client.get(f"/feeds/latest.{form}", headers=with_key if setting == "public_read" else {}))
    for answer in answers:
        assert answer.status_code == 200
        assert "Link" not in answer.headers
        assert b"/hub" not in answer.content

"""After a retraction no response reveals a word, count or value of the article, whatever was fetched before."""

import asyncio
import base64
import logging
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from itertools import cycle, product
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire_search.app import GROUP
from newswire_search.feeds import api as feeds
from newswire_search.feeds.index_changes import index_state_source, last_modified_source
from newswire_search.index.port import ArticleIndex
from newswire_search.query import api
from newswire_search.query.kept_answers import KeptAnswers
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from newswire_search.settings import SearchSettings
from newswire_search.site import sitemaps
from newswire_search.site.assembly import reader_site
from tests.search.newsroom import Newsroom, newsroom

WORD = "vexlington"
OTHERS = 40
"""How many other articles contain the word that all searches contain."""
ARTICLE = {
    "body": f"<p>The {WORD} ferry and the {WORD} quay. Ferry, ferry, ferry.</p>",
    "summary": f"A {WORD} summary.",
    "authors": [f"Ada {WORD.title()}"],
    "category": f"{WORD.title()} desk",
    "topics": [f"{WORD} lamps"],
    "language": "en",
}
ASKED = [
    *(
        {"q": q}
        for q in ("ferry", f"ferry OR {WORD}", f"{WORD[:5]}* OR ferry", f"ferry OR title:{WORD}", f"ferry OR {WORD}s")
    ),
    *({"q": "ferry", name: value} for name, value in (("category", "-nothing"), ("language", "en"))),
    {"q": "ferry", "from": "2020-01-01"},
    {"q": f"ferry OR author:{WORD}"},
    {"q": f"ferry OR topic:{WORD}"},
    {},
]
SORTS = ("relevance", "newest", "oldest")
FEEDS = [f"/feeds/{name}.{form}" for name, form in product(("latest", "search"), ("xml", "atom", "json"))]
FEEDS += ["/sitemap.xml", "/sitemap-news.xml", "/sitemap-pages.xml"]
PAGES = ["/", "/live", "/about", "/sections", "/sections/Sea", "/search", "/search?q=ferry", "/nothing"]
OF_THE_ARTICLE = [
    f"/sections/{WORD.title()}%20desk",
    f"/topics/{WORD}%20lamps",
    f"/authors/Ada%20{WORD.title()}",
]
"""Pages that list nothing but the article."""
BROWSER = {"Accept": "text/html"}


@dataclass
class Readers:
    """Search processes on one index, and the cursors and validators that clients got before the retraction."""

    processes: list[httpx.AsyncClient]
    room: Newsroom
    key: str
    held: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    """Path, parameters with their cursor, headers."""
    validators: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    next_pages: list[str] = field(default_factory=list)
    """Later pages of the site that pages linked to."""


@pytest.fixture
def indexes(request: pytest.FixtureRequest, index: ArticleIndex, namespace: str) -> list[ArticleIndex]:
    """Return the index as each of the processes opens it; only one can open the embedded index."""
    if index.name == "embedded":
        return [index]
    return [index, request.getfixturevalue("open_elasticsearch_index")(namespace)]


@pytest.fixture
async def readers(indexes: list[ArticleIndex], redis: Redis, redis_url: str, namespace: str) -> AsyncIterator[Readers]:
    settings = SearchSettings(namespace=namespace, read_rate=0, read_rate_per_key=0)
    keys = Keyspace(namespace)
    key = (await create_key(redis, keys, "Reading Room", {Scope.READ})).token
    async with AsyncExitStack() as stack:
        room = await stack.enter_async_context(newsroom(redis, redis_url, namespace, indexes[0]))
        processes = []
        for each in indexes:
            readable = RetractionFilteredIndex(each, redis, keys)
            read_state = index_state_source(redis, keys, GROUP, timedelta(milliseconds=50), clock=lambda: 0.0)
            changed = last_modified_source(read_state)
            site = reader_site(readable, settings, read_state)
            routers = [
                api.router(readable, KeptAnswers(read_state, timedelta(milliseconds=50))),
                site.router,
                feeds.router(readable, settings, changed),
                sitemaps.router(readable, settings, changed),
            ]
            service = Service("search", routers=routers, state={"error_page": site.error_page})
            app = create_app([service], settings, redis=redis)
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")
            processes.append(await stack.enter_async_context(client))
        yield Readers(processes, room, key)


async def collect(readers: Readers) -> None:
    """Fetch first, second and third pages of all searches, and validators, from all processes."""
    own = {"Authorization": f"Bearer {readers.key}"}
    for process, asked, sort, headers in product(readers.processes, ASKED, SORTS, ({}, own)):
        if (sort == "relevance" and not asked) or (sort != "relevance" and headers):
            continue
        params: dict[str, Any] = {**asked, "sort": sort, "limit": 6}
        for _ in range(3 if sort == "relevance" else 2):
            answer = await process.get("/v1/search", params=params, headers=headers)
            assert answer.status_code == 200, answer.text
            params = params | {"cursor": answer.json()["next_cursor"]}
            readers.held.append(("/v1/search", params, headers))
    for process, path in product(readers.processes, [*PAGES, *OF_THE_ARTICLE]):
        answer = await process.get(path, headers=BROWSER)
        assert answer.status_code == (404 if path == "/nothing" else 200), path
        if path in OF_THE_ARTICLE or path in ("/", "/live", "/search", "/sections"):
            assert WORD in answer.text.lower(), path
        if path == "/nothing":
            continue
        readers.validators.append((path, BROWSER | {"If-None-Match": answer.headers["etag"]}))
        if "last-modified" in answer.headers:
            readers.validators.append((path, BROWSER | {"If-Modified-Since": answer.headers["last-modified"]}))
        readers.next_pages += re.findall(r'rel="next" href="([^"]+)"', answer.text)
    for process in readers.processes:
        for path in FEEDS:
            answer = await process.get(path)
            assert answer.status_code == 200
            held = {"If-None-Match": answer.headers["etag"]}
            if "last-modified" in answer.headers:
                held = {"If-Modified-Since": answer.headers["last-modified"]}
                readers.validators.append((path, {"If-None-Match": answer.headers["etag"]}))
            readers.validators.append((path, held))


def revealed(answer: httpx.Response) -> str | None:
    """Return what a search response reveals of the article."""
    found = answer.json()
    del found["interpreted"], found["suggestion"]
    if WORD in httpx.Response(200, json=found).text.lower():
        return "a word"
    if found["total"] != OTHERS:
        return f"a total of {found['total']}"
    for name in ("publisher", "category", "language", "month"):
        if (count := sum(value["count"] for value in found["facets"][name])) != OTHERS:
            return f"{count} articles by {name}"
    return None


async def ask_honestly(readers: Readers) -> int:
    """Repeat the requests with all cursors and validators; return how many there were."""
    asked = 0
    processes = cycle(readers.processes[::-1])  # mostly others than those that made the cursors
    for path, params, headers in readers.held:
        answer = await next(processes).get(path, params=params, headers=headers)
        asked += 1
        assert answer.status_code in (200, 410), answer.text
        if answer.status_code == 200:
            assert revealed(answer) is None, (params, answer.text)
            if answer.json()["next_cursor"] is not None:
                assert len(answer.json()["articles"]) == 6, "a gap tells of an article"
    for path, validators in readers.validators:
        answer = await next(processes).get(path, headers=validators)
        asked += 1
        assert answer.status_code == (404 if path in OF_THE_ARTICLE else 200), (path, validators)
        assert WORD not in answer.text.lower()
    for path in [*PAGES, *map(unescape, readers.next_pages)]:
        answer = await next(processes).get(path, headers=BROWSER)
        asked += 1
        assert answer.status_code == (404 if path == "/nothing" else 200), path
        assert WORD not in answer.text.lower(), path
    return asked


def forged(readers: Readers, chance: random.Random) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Yield requests with modified cursors, or cursors of other searches."""
    for path, params, headers in chance.sample(readers.held, min(30, len(readers.held))):
        cursor = params["cursor"]
        at = chance.randrange(len(cursor))
        flipped = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        for changed in (
            cursor[:at] + chance.choice([c for c in "Ab3-_" if c != cursor[at]]) + cursor[at + 1 :],
            cursor[:at],
            base64.urlsafe_b64encode(flipped).rstrip(b"=").decode(),
        ):
            yield path, params | {"cursor": changed}, headers
        yield path, params | {"q": f"{WORD} OR quay"}, headers
        yield path, params | {"category": f"{WORD} desk"}, headers
        yield "/search", {name: value for name, value in params.items() if name != "limit"}, headers
        other = {} if headers else {"Authorization": f"Bearer {readers.key}"}
        yield path, params, other


@pytest.mark.timeout(600)
async def test_no_response_reveals_a_retracted_article(readers: Readers, caplog: pytest.LogCaptureFixture) -> None:
    room = readers.room
    for process in readers.processes:
        await process.get("/v1/search")  # the index is made
    async with room.indexing():
        for n in range(OTHERS):
            await room.publish(f"Ferry {n}", body=f"<p>{'ferry ' * (n % 7 + 1)}</p>", category="Sea", language="en")
        secret = await room.publish(f"{WORD.title()} ferry", **ARTICLE)
    await until_total(readers, OTHERS + 1)
    await collect(readers)

    await room.retract(secret)  # the index does not know yet
    asked = await ask_honestly(readers)
    async with room.indexing():
        await room.caught_up()
    assert asked + await ask_honestly(readers) >= 200

    chance = random.Random(11)
    caplog.clear()
    refused = 0
    for process in readers.processes:
        for path, params, headers in forged(readers, chance):
            answer = await process.get(path, params=params, headers=headers)
            assert answer.status_code in (400, 410), (path, params, answer.text)
            if path.startswith("/v1"):
                assert answer.headers["content-type"] == "application/problem+json"
            refused += 1
    assert refused >= 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.timeout(600)
async def test_older_cursors_do_not_reveal_corrected_text(readers: Readers) -> None:
    room = readers.room
    for process in readers.processes:
        await process.get("/v1/search")
    async with room.indexing():
        for n in range(OTHERS):
            await room.publish(f"Ferry {n}", body=f"<p>{'ferry ' * (n % 7 + 1)}</p>", category="Sea", language="en")
        corrected = await room.publish(f"{WORD.title()} ferry", **ARTICLE)
    await until_total(readers, OTHERS + 1)
    await collect(readers)
    async with room.indexing():
        await room.change(corrected, "Nothing of it")
    await until_total(readers, OTHERS)
    for process in readers.processes:
        for path, params, headers in readers.held:
            if "q" not in params:
                continue
            answer = await process.get(path, params=params, headers=headers)
            assert answer.status_code in (200, 410)
            assert answer.status_code == 410 or revealed(answer) is None, (params, answer.text)


async def until_total(readers: Readers, total: int) -> None:
    """Wait until each process finds this many articles."""
    async with asyncio.timeout(60):
        for process in readers.processes:
            while (await process.get("/v1/search", params={"q": "ferry"})).json()["total"] != total:
                await asyncio.sleep(0.05)

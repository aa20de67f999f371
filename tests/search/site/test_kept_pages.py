"""Pages are made once for many readers, and no copy of a page outlives a retraction."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import zstandard
from redis.asyncio import Redis

from newswire.auth.accounts import entitle_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.filters import Filter
from newswire.http import compression
from newswire.keys import Keyspace
from newswire.newsletters import PublicNewsletter, write_public_newsletters
from newswire_search.app import GROUP
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.query.state_cache import MAX_SECONDS
from newswire_search.site.newsletter_box import REFRESH_SECONDS, NewsletterBoxes
from tests.search.newsroom import Newsroom, newsroom
from tests.search.reader_client import client_for
from tests.search.samples import publish, put

WORD = "vexlington"
ARTICLE = "/articles/a1/quay-1"
PATHS = ["/", "/live", "/about", "/sections", "/sections/Harbour", "/topics/Quays", "/authors/Ann%20Lee", ARTICLE]


class CountingIndex:
    """An index that counts what is asked of it."""

    def __init__(self, index: EmbeddedIndex) -> None:
        self.index = index
        self.asked = 0
        self.newsletter_time = 0.0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self.index, name)


@pytest.fixture
async def counting(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> CountingIndex:
    labels: dict[str, Any] = {"category": "Harbour", "topics": ["Quays"], "authors": ["Ann Lee"]}
    await put(embedded_index, *(publish(f"a{n}", f"Quay {n}", "The quay is closed. " * 30, **labels) for n in range(9)))
    await redis.set(Keyspace(namespace).checkpoint(GROUP), "1700000000000-0")
    return CountingIndex(embedded_index)


@pytest.fixture
async def client(counting: CountingIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of a site for which no time passes."""
    boxes = NewsletterBoxes(redis, Keyspace(namespace), lambda: counting.newsletter_time)
    index: Any = counting
    async with client_for(index, redis, namespace, clock=lambda: 0.0, newsletters=boxes) as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_made_once_while_the_index_stays_the_same(
    client: httpx.AsyncClient, counting: CountingIndex, path: str
) -> None:
    first = await client.get(path)
    assert first.status_code == 200
    asked = counting.asked
    again = await client.get(f"{path}?utm_source=letter")
    assert counting.asked == asked
    assert (again.text, again.headers["etag"]) == (first.text, first.headers["etag"])
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    unchanged = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert counting.asked == asked


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_made_again_after_an_event(
    client: httpx.AsyncClient, counting: CountingIndex, redis: Redis, namespace: str, path: str
) -> None:
    await client.get(path)
    asked = counting.asked
    await redis.set(Keyspace(namespace).checkpoint(GROUP), "1700000000001-0")
    await client.get(path)
    assert counting.asked > asked


async def test_a_kept_page_is_compressed_once(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_body: bytes) -> bytes:
        raise AssertionError("compressed again")

    plain = (await client.get(ARTICLE, headers={"Accept-Encoding": "identity"})).content
    for coding, decode in (("gzip", gzip.decompress), ("zstd", zstandard.decompress)):
        sent = []
        for _ in range(2):
            async with client.stream("GET", ARTICLE, headers={"Accept-Encoding": coding}) as answer:
                assert answer.headers["content-encoding"] == coding
                sent.append(b"".join([part async for part in answer.aiter_raw()]))
            monkeypatch.setitem(compression._CODERS, coding, refuse)
        assert decode(sent[0]) == decode(sent[1]) == plain
    # Whether it was kept or not, a client that takes no coding gets the page as it is.
    assert (await client.get(ARTICLE, headers={"Accept-Encoding": "identity"})).content == plain


async def test_later_pages_of_a_list_are_not_kept(client: httpx.AsyncClient, embedded_index: EmbeddedIndex) -> None:
    await put(embedded_index, *(publish(f"b{n}", f"Tug {n}", category="Tugs") for n in range(35)))
    first = (await client.get("/sections/Tugs")).text
    later = first.partition('rel="next" href="')[2].partition('"')[0]
    second = await client.get(later)
    assert second.status_code == 200
    assert second.text != first
    assert (await client.get("/sections/Tugs")).text == first


async def test_a_reader_with_a_key_gets_no_page_of_others(
    counting: CountingIndex, embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    await put(embedded_index, publish("b1", "Bread is baked", category="Bread"))
    keys = Keyspace(namespace)
    key = await create_key(redis, keys, "Bakers", {Scope.READ})
    await entitle_account(redis, keys, "Bakers", Filter(categories=["Bread"]))
    own = {"Authorization": f"Bearer {key.token}"}
    index: Any = counting
    async with client_for(index, redis, namespace, clock=lambda: 0.0) as client:
        everything = (await client.get("/")).text
        mine = await client.get("/", headers=own)
        assert "Quay 1" in everything
        assert "Quay 1" not in mine.text
        assert mine.headers["cache-control"] == "private, no-cache"
        assert (await client.get("/")).text == everything


async def test_an_article_shows_the_newsletters_as_they_are(
    client: httpx.AsyncClient, redis: Redis, namespace: str, counting: CountingIndex
) -> None:
    assert "Harbour letter" not in (await client.get(ARTICLE)).text
    pages = [*PATHS, "/search", "/none"]

    async def linking() -> list[str]:
        answers = {path: await client.get(path, headers={"Accept": "text/html"}) for path in pages}
        return [path for path, answer in answers.items() if 'href="/newsletters"' in answer.text]

    assert await linking() == []
    texts = dict.fromkeys(("email", "topics", "subscribe", "consent"), "…")
    letter = PublicNewsletter(slug="letter", name="Harbour letter", description="…", language="en", texts=texts)
    await write_public_newsletters(redis, Keyspace(namespace), [letter])
    counting.newsletter_time += REFRESH_SECONDS
    assert "Harbour letter" in (await client.get(ARTICLE)).text
    assert await linking() == pages


@pytest.fixture
async def room(embedded_index: EmbeddedIndex, redis: Redis, redis_url: str, namespace: str) -> AsyncIterator[Newsroom]:
    async with newsroom(redis, redis_url, namespace, embedded_index) as made:
        yield made


async def test_no_kept_page_outlives_a_retraction(
    room: Newsroom, embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    async with room.indexing():
        for n in range(5):
            await room.publish(f"Quay {n}", category="Harbour", topics=["Quays"], authors=["Ann Lee"])
        labels = {"category": f"{WORD} desk", "topics": ["Quays", WORD], "authors": [f"Ada {WORD}"]}
        secret = await room.publish(f"{WORD} quay", summary=WORD, **labels)
    paths = ["/", "/live", "/sections", "/sections/Harbour", "/about", "/topics/Quays", f"/topics/{WORD}"]
    paths += [f"/sections/{WORD}%20desk", f"/authors/Ada%20{WORD}", f"/articles/{secret}/{WORD}-quay"]
    async with client_for(embedded_index, redis, namespace, clock=lambda: 0.0) as client:
        before = {path: await client.get(path) for path in paths}
        assert all(answer.status_code == 200 and WORD in answer.text.lower() for answer in before.values())
        await room.retract(secret)

        async def check() -> None:
            for path, answer in before.items():
                for headers in ({}, {"If-None-Match": answer.headers["etag"]}):
                    now = await client.get(path, headers=headers)
                    assert now.status_code in (200, 404, 410), path
                    assert WORD not in now.text.lower(), path

        await check()  # the index does not know yet
        async with room.indexing():
            await check()
            await room.caught_up()
            await check()
        await check()


async def test_a_correction_replaces_the_kept_page(
    room: Newsroom, embedded_index: EmbeddedIndex, redis: Redis, namespace: str
) -> None:
    now = 0.0
    async with room.indexing():
        article = await room.publish(f"{WORD} quay")
        await room.caught_up()
        async with client_for(embedded_index, redis, namespace, clock=lambda: now) as client:
            for _ in range(2):  # at the second time, the state is known for long
                assert WORD in (await client.get("/")).text
                now += MAX_SECONDS
            await room.change(article, "Nothing of it")
            await room.caught_up()
            assert WORD not in (await client.get("/")).text
            assert "Nothing of it" in (await client.get("/")).text

"""An answer to a search is made once for many readers; none lacks what was indexed, or shows what was retracted."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire_search.app import GROUP
from newswire_search.feeds.index_changes import SETTLING_SECONDS
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.query.state_cache import MAX_SECONDS
from tests.search.newsroom import Newsroom, newsroom
from tests.search.reader_client import client_for
from tests.search.samples import publish, put

SEARCH = "/v1/search?q=quay&limit=2"


@dataclass
class Site:
    """A site whose index counts what is asked of it, and a client of that site."""

    index: EmbeddedIndex
    client: httpx.AsyncClient = field(init=False)
    asked: int = 0
    time: float = 0.0

    def __getattr__(self, name: str) -> Any:
        """Pass on what is asked of the index."""
        self.asked += 1
        return getattr(self.index, name)

    async def makes(self, path: str = SEARCH, **headers: str) -> httpx.Response | None:
        """Return the response to a search that the index was asked for, None if it was kept."""
        asked = self.asked
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer if self.asked > asked else None

    async def settled(self) -> None:
        """Let the state of the index be known for long."""
        await self.client.get(SEARCH)
        self.time += SETTLING_SECONDS


@pytest.fixture
async def site(embedded_index: EmbeddedIndex, redis: Redis, namespace: str) -> AsyncIterator[Site]:
    opened = Site(embedded_index)
    index: Any = opened
    async with client_for(index, redis, namespace, clock=lambda: opened.time) as opened.client:
        yield opened


@pytest.fixture
async def quays(embedded_index: EmbeddedIndex, redis: Redis, namespace: str, site: Site) -> Site:
    await put(embedded_index, *(publish(f"a{n}", f"Quay {n}", "The quay is closed. " * 30) for n in range(5)))
    await redis.set(Keyspace(namespace).checkpoint(GROUP), "1700000000000-0")
    await site.settled()
    return site


async def test_a_search_is_run_once_while_the_index_stays_the_same(quays: Site) -> None:
    first = await quays.makes()
    assert first is not None
    for encoding in ("identity", "gzip", "gzip"):
        again = await quays.client.get(SEARCH, headers={"Accept-Encoding": encoding})
        assert (again.json(), again.headers["link"]) == (first.json(), first.headers["link"])
    assert (await quays.client.head(SEARCH)).headers["link"] == first.headers["link"]
    assert await quays.makes() is None
    assert await quays.makes("/v1/search?limit=2&q=quay") is not None
    second = first.json()["next_cursor"]
    for _ in range(2):
        assert await quays.makes(f"{SEARCH}&cursor={second}") is not None
        assert await quays.makes("/v1/search?ids=a1") is not None
        assert await quays.makes(f"{SEARCH}&fields=body") is not None
    quays.time += MAX_SECONDS
    assert await quays.makes() is not None


async def test_a_search_is_run_again_after_an_event_and_until_searches_see_it(
    quays: Site, redis: Redis, namespace: str
) -> None:
    assert await quays.makes() is not None
    await redis.set(Keyspace(namespace).checkpoint(GROUP), "1700000000001-0")
    for _ in range(2):
        assert await quays.makes() is not None
    quays.time += SETTLING_SECONDS
    assert await quays.makes() is not None
    assert await quays.makes() is None


async def test_nothing_kept_is_used_while_an_event_is_being_indexed(quays: Site, redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    await redis.xgroup_create(keys.stream, GROUP, mkstream=True)
    assert await quays.makes() is not None
    assert await quays.makes() is None
    entry = await redis.xadd(keys.stream, {"event": "…"})
    await redis.xreadgroup(GROUP, "one", {keys.stream: ">"})
    assert await quays.makes() is not None
    await redis.xack(keys.stream, GROUP, entry)
    assert await quays.makes() is None


async def test_a_reader_with_a_key_is_answered_by_the_index(quays: Site, redis: Redis, namespace: str) -> None:
    key = await create_key(redis, Keyspace(namespace), "Reading Room", {Scope.READ})
    assert await quays.makes() is not None
    for _ in range(2):
        answer = await quays.makes(Authorization=f"Bearer {key.token}")
        assert answer is not None
        assert answer.headers["cache-control"] == "private, no-cache"
    assert await quays.makes() is None


async def test_a_key_does_not_discard_the_pages_of_others(quays: Site, redis: Redis, namespace: str) -> None:
    key = await create_key(redis, Keyspace(namespace), "Reading Room", {Scope.READ})
    assert await quays.makes("/live") is not None
    assert await quays.makes("/live", Authorization=f"Bearer {key.token}") is not None
    assert await quays.makes("/live") is None


@pytest.fixture
async def room(embedded_index: EmbeddedIndex, redis: Redis, redis_url: str, namespace: str) -> AsyncIterator[Newsroom]:
    async with newsroom(redis, redis_url, namespace, embedded_index) as made:
        yield made


async def test_no_kept_answer_outlives_a_retraction(site: Site, room: Newsroom, redis: Redis, namespace: str) -> None:
    async with room.indexing():
        await room.publish("Quay one")
        secret = await room.publish("Quay two")
        await room.caught_up()
    await site.settled()
    first = await site.makes()
    assert first is not None
    assert first.json()["total"] == 2
    assert await site.makes() is None
    await room.retract(secret)

    async def check() -> None:
        for _ in range(2):
            found = (await site.client.get(SEARCH)).json()
            assert (found["total"], [article["title"] for article in found["articles"]]) == (1, ["Quay one"])

    await check()  # the index does not know yet
    async with room.indexing():
        await check()
        await room.caught_up()
        await check()
    await redis.delete(
        Keyspace(namespace).unindexed_retractions
    )  # as the publisher of outcomes does: searches lack it now
    await site.settled()
    await check()
    assert await site.makes() is None

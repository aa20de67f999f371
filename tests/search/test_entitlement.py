"""Entitlements narrow every response, on both indexes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire.auth.accounts import entitle_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire_search.index.port import ArticleIndex
from tests.search.samples import found, ids, publish, put, request, search, values
from tests.search.test_api import client_for

FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"a1", "a2", "a3"}),
    ({"categories": ["Travel"]}, {"a1", "a2"}),
    ({"categories": ["-travel"]}, {"a3"}),
    ({"topics": ["SEA"], "authors": ["-zoe aero"]}, {"a2"}),
    ({"publishers": ["coast weekly"]}, {"a3"}),
    ({"languages": ["de"]}, {"a2"}),
    ({"metadata": {"Desk": "night"}}, {"a1"}),
    ({"metadata": {"desk": "NIGHT", "tier": "1"}}, {"a1"}),
    ({"metadata": {"desk": "nig"}}, set()),
    ({"query": "fähre OR chess"}, {"a2", "a3"}),
    ({"query": "ferries", "categories": ["Travel"]}, {"a1"}),
    ({"query": "-ferry"}, {"a2", "a3"}),
    ({"query": "author:lind"}, {"a3"}),
]


async def fill(index: ArticleIndex) -> None:
    await put(
        index,
        publish(
            "a1",
            "Ferry sails",
            category="travel",
            topics=["Sea"],
            authors=["Zoë Ærø"],
            language="en",
            metadata={"desk": "Night", "Tier": "1"},
        ),
        publish("a2", "Fähren fahren", "Die Fähre fährt.", category="Travel", topics=["sea"], language="de"),
        publish("a3", "Chess club", category="Sport", authors=["Jo Lind"], language="en", publisher="Coast Weekly"),
    )


async def test_entitlement_narrows_search_and_counts(index: ArticleIndex) -> None:
    await fill(index)
    for members, expected in FILTERS:
        page = await search(index, entitlement=Filter(**members))
        assert (set(ids(page)), page.total) == (expected, len(expected)), members
        assert sum(count for _, count in values(page, "publisher")) == len(expected), members
    assert await found(index, "chess", entitlement=Filter(categories=["Travel"])) == []


async def test_later_page_hides_articles_outside_the_entitlement(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n}", "Ferry", "ferry " * (9 - n), category="Travel") for n in range(4)))
    asked = request("ferry", limit=2, entitlement=Filter(categories=["Travel"]))
    first = await index.search(asked)
    await put(index, publish("a2", "Ferry", category="Secret", version=2))
    assert ids(await index.search(replace(asked, after=first.next))) == ["a3"]


@pytest.fixture
async def entitled(index: ArticleIndex, redis: Redis, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key of an account that may read the category Travel."""
    await fill(index)
    keys = Keyspace(namespace)
    key = await create_key(redis, keys, "Reader", {Scope.READ})
    await entitle_account(redis, keys, "Reader", Filter(categories=["Travel"]))
    async with client_for(index, redis, namespace) as client:
        client.headers["Authorization"] = f"Bearer {key.token}"
        yield client


async def test_entitlement_narrows_every_route(entitled: httpx.AsyncClient) -> None:
    answer = (await entitled.get("/v1/search")).json()
    assert {article["id"] for article in answer["articles"]} == {"a1", "a2"}
    assert answer["facets"]["author"] == [{"value": "Zoë Ærø", "count": 1}]
    assert (await entitled.get("/v1/search?q=chess")).json()["total"] == 0
    assert (await entitled.get("/v1/search?q=chesss")).json()["suggestion"] is None
    assert (await entitled.get("/v1/search/suggest?q=chess")).json() == {"suggestions": []}
    named = (await entitled.get("/v1/search?ids=a3,a2")).json()
    assert ([article["id"] for article in named["articles"]], named["total"]) == (["a2"], 1)
    for path in ("/v1/search/articles/a3", "/v1/search/related/a3", "/articles/a3/chess-club"):
        assert (await entitled.get(path)).status_code == 404
    assert (await entitled.get("/v1/search/articles/a1")).status_code == 200
    for path in ("/", "/search", "/search?q=chess&category=sport"):
        assert "Chess club" not in (await entitled.get(path)).text


async def test_cursor_is_valid_for_its_account_only(entitled: httpx.AsyncClient) -> None:
    first = (await entitled.get("/v1/search?limit=1")).json()
    del entitled.headers["Authorization"]
    answer = await entitled.get(f"/v1/search?limit=1&cursor={first['next_cursor']}")
    assert answer.status_code == 400

"""Who may see a retraction: those who could read the article, decided before its text is erased."""

from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.article import Tombstone
from newswire.auth.accounts import create_account, entitle_account
from newswire.auth.tombstone_readers import digest_of, matching_entitlements, may_see_tombstone
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire.storage.article_records import pack
from tests.notify.conftest import published

TOMBSTONE = ArticleFeatures.of(
    Tombstone(id="a1", version=2, publisher="harbour-post", topics=["Ferries"], retracted_at="2026-02-03T04:05:06Z")
)


async def store(redis: Redis, keys: Keyspace, version: int, **changes: Any) -> None:
    document = published("a1", version, **changes).model_dump_json().encode()
    await redis.hset(keys.version("a1", version), "document", pack(document))


async def test_entitlements_that_match_any_version_are_recorded(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    await store(redis, keys, 1, title="The ferry leaves", metadata={"desk": "night"})
    await store(redis, keys, 2, title="The tram leaves", text="It rings.", body="<p>It rings.</p>")
    entitlements = {
        "first": Filter(query="ferry"),
        "second": Filter(query="tram"),
        "metadata": Filter(metadata={"desk": "night"}),
        "neither": Filter(query="museum"),
        "both-needed": Filter(query="tram", metadata={"desk": "night"}),
        "excluded": Filter(query="leaves -ferry -tram"),
    }
    for name, entitlement in entitlements.items():
        await create_account(redis, keys, name)
        await entitle_account(redis, keys, name, entitlement)
    await create_account(redis, keys, "reads everything")
    noted = set((await matching_entitlements(redis, keys, "a1", 2)).split())
    assert noted == {digest_of(entitlements[name]) for name in ("first", "second", "metadata")}


@pytest.mark.parametrize(
    ("entitlement", "noted", "expected"),
    [
        (None, False, True),
        (Filter(topics=["ferries"]), False, True),
        (Filter(topics=["Bridges"]), False, False),
        (Filter(topics=["Bridges"]), True, True),  # an earlier version matched
        (Filter(query="ferry"), True, True),
        (Filter(query="ferry"), False, False),
        (Filter(metadata={"desk": "night"}), True, True),
        (Filter(metadata={"desk": "night"}), False, False),
        (Filter(topics=["Ferries"], query="ferry"), False, False),
        (Filter(topics=["-Ferries"], query="ferry"), False, False),
    ],
)
def test_an_undecidable_tombstone_is_hidden(entitlement: Filter | None, noted: bool, expected: bool) -> None:
    readers = frozenset({digest_of(entitlement)}) if entitlement and noted else frozenset[str]()
    assert may_see_tombstone(entitlement, TOMBSTONE, readers) is expected

"""Search answers 410 to those who could read a retracted article, and 404 to all others."""

from typing import Any, cast

import pytest
from redis.asyncio import Redis

from newswire.article import Tombstone
from newswire.auth.tombstone_readers import digest_of, readers_field
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire_search.index.models import Retracted
from newswire_search.index.port import IndexReader
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from newswire_search.query.service import look_up

FERRY, NIGHT = Filter(query="ferry"), Filter(metadata={"desk": "night"})
TOMBSTONE = Tombstone(id="a1", version=1, publisher="harbour", topics=["Ferries"], retracted_at="2026-02-03T04:05:06Z")


class OnlyRetracted:
    """An index in which every article is retracted."""

    async def get(self, article_id: str) -> Retracted:
        return Retracted(article_id, 1)


@pytest.mark.parametrize(
    ("entitlement", "told"),
    [
        (None, True),
        (FERRY, True),
        (NIGHT, False),
        (Filter(query="tram"), False),
        (Filter(topics=["Ferries"]), True),
        (Filter(topics=["Bridges"]), False),
    ],
)
async def test_retraction_is_visible_to_readers_of_the_article(
    redis: Redis, namespace: str, entitlement: Filter | None, told: bool
) -> None:
    keys = Keyspace(namespace)
    head: dict[str, Any] = {"id": "a1", "status": "retracted", "version": 1, "revision": 1, "publisher": "harbour"}
    noted = {"tombstone": TOMBSTONE.model_dump_json(), readers_field(1): digest_of(FERRY)}
    await redis.hset(keys.article("a1"), mapping=head | noted)
    readable = RetractionFilteredIndex(cast("IndexReader", OnlyRetracted()), redis, keys)
    assert (await look_up(readable, "a1", entitlement) is not None) is told
    if entitlement is not None:
        assert await look_up(readable, "a2", entitlement) is None  # there is no record of it

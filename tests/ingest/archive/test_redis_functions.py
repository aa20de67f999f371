"""Each Redis function of the archive, with a real server."""

from hashlib import sha1
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FunctionLibrary
from newswire_ingest.archive.repository import LUA


@pytest.fixture
async def keys(redis: Redis, namespace: str) -> Keyspace:
    found = Keyspace(namespace)
    await redis.hset(found.article("a1"), mapping={"id": "a1", "status": "published", "version": 1})
    await redis.hset(
        found.version("a1", 1), mapping={"document": "the text", "entry": "5-1", "write_token": "w", "about": "{}"}
    )
    return found


async def call(redis: Redis, keys: Keyspace, function: str, names: list[str], **arguments: Any) -> Any:
    return await FunctionLibrary.packaged(redis, keys.namespace, LUA).call(function, names, arguments)


async def begin(redis: Redis, keys: Keyspace, now: int) -> bytes:
    names = [keys.article("a1"), keys.archive_erasures, keys.key("archive", "writing")]
    verdict: bytes = await call(redis, keys, "begin", names, id="a1", now=now, expires=now + 10)
    return verdict


async def swap(redis: Redis, keys: Keyspace, text: str = "the text") -> int:
    names = [keys.article("a1"), keys.key("archive", "writing"), keys.archive_totals, keys.version("a1", 1)]
    digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
    version = {"digest": digest, "pointer": "archived:8:8:abc", "bytes": 8, "about": '{"kind":"published"}'}
    count: int = await call(redis, keys, "swap", names, id="a1", archived="1", versions=[version])
    return count


async def test_begin_leases_a_published_article_to_one_process(redis: Redis, keys: Keyspace) -> None:
    assert [await begin(redis, keys, now) for now in (100, 105, 111)] == [b"OK", b"BUSY", b"OK"]
    await redis.zadd(keys.archive_erasures, {"a1": 1})
    assert await begin(redis, keys, 200) == b"GONE"
    await redis.delete(keys.archive_erasures)
    await redis.hset(keys.article("a1"), "status", "retracted")
    assert await begin(redis, keys, 200) == b"GONE"


async def test_swap_keeps_everything_but_the_text(redis: Redis, keys: Keyspace) -> None:
    await begin(redis, keys, 100)
    assert await swap(redis, keys) == 1
    assert await redis.hgetall(keys.version("a1", 1)) == {
        b"document": b"archived:8:8:abc",
        b"entry": b"5-1",
        b"about": b'{"kind":"published"}',
    }
    assert await redis.hget(keys.article("a1"), "archived") == b"1"
    assert await redis.hgetall(keys.archive_totals) == {b"documents": b"1", b"bytes": b"8"}
    assert await redis.zcard(keys.key("archive", "writing")) == 0
    assert await swap(redis, keys) == 0


async def test_swap_leaves_a_version_that_is_another_one_or_retracted(redis: Redis, keys: Keyspace) -> None:
    assert await swap(redis, keys, "another text") == 0
    await redis.hset(keys.article("a1"), "status", "retracted")
    assert await swap(redis, keys) == 0
    assert await redis.hget(keys.version("a1", 1), "document") == b"the text"


async def test_claim_erasures_returns_what_is_due_until_it_is_erased(redis: Redis, keys: Keyspace) -> None:
    await redis.zadd(keys.archive_erasures, {"a1": 100, "a2": 300})
    names = [keys.archive_erasures]
    assert await call(redis, keys, "claim_erasures", names, now=200, expires=260, limit=9) == [b"a1"]
    assert await call(redis, keys, "claim_erasures", names, now=200, expires=260, limit=9) == []
    assert await call(redis, keys, "claim_erasures", names, now=261, expires=500, limit=1) == [b"a1"]


async def test_erased_repeats_an_erasure_while_a_process_may_be_writing(redis: Redis, keys: Keyspace) -> None:
    names = [keys.archive_erasures, keys.key("archive", "writing")]
    await redis.zadd(keys.archive_erasures, {"a1": 100})
    await redis.zadd(names[1], {"a1": 150})
    assert await call(redis, keys, "erased", names, id="a1", now=120) == 0
    assert await redis.zscore(keys.archive_erasures, "a1") == 150
    assert await call(redis, keys, "erased", names, id="a1", now=160) == 1
    assert await redis.exists(*names) == 0

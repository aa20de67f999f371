"""Each Redis function of drafts by itself: what it returns and changes, called with its named arguments."""

from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FunctionLibrary
from newswire_ingest.drafts.repository import LUA

NOW = 1_800_000_000_000


class Store:
    """The functions on one namespace, with a valid key ``k1`` and a user ``u1`` of the account ``Post``."""

    def __init__(self, redis: Redis, keys: Keyspace) -> None:
        self.redis = redis
        self.key = keys.key
        self._functions = FunctionLibrary.packaged(redis, keys.namespace, LUA)

    @property
    def _names(self) -> list[str]:
        key = self.key
        drafts = [key("drafts", "of", "Post"), key("drafts", "discarded"), key("drafts", "articles", "Post")]
        return [key("draft", "d1"), *drafts, key("drafts", "bytes", "Post"), key("audit")]

    async def write(self, expected: str = "", stamp: str = "1", **changes: Any) -> Any:
        texts = [changes.pop("text_bytes", b""), changes.pop("entry", b"")]
        caller = changes.pop("caller", self.key("key", "k1"))
        named = {
            "id": "d1",
            "expected": expected,
            "fields": {"stamp": stamp, "revision": "1"},
            "removed": [],
            "updated_ms": NOW,
            "discarded_ms": "",
            "article": "",
            "grows": 0,
            "max_drafts": 2,
            "max_bytes": 100,
            "now_ms": NOW,
            "text": "",
            "media": [],
            "media_names": self.key("media", ""),
            "owner": "Post",
        }
        names = [*self._names, self.key("account", "Post"), caller]
        return await self._functions.call("write_draft", names, named | changes, texts)

    async def read(self, number: str = "") -> Any:
        return await self._functions.call(
            "read_draft", [self.key("draft", "d1")], {"fields": ["stamp", "title"], "number": number}
        )

    async def erase(self, expected: str, article: str = "", size: int = 0) -> Any:
        named = {"id": "d1", "expected": expected, "article": article, "size": size}
        named |= {"media_names": self.key("media", ""), "owner": "Post"}
        return await self._functions.call("erase_draft", [*self._names, self.key("last-erasure")], named, [b"{}"])


@pytest.fixture
async def store(redis: Redis, namespace: str) -> Store:
    store = Store(redis, Keyspace(namespace))
    await redis.hset(store.key("key", "k1"), "hash", "h")
    await redis.hset(store.key("account", "Post"), "name", "Post")
    await redis.hset(store.key("user", "u1"), "name", "Ida")
    return store


async def test_write_draft_writes_only_after_the_stamp_that_was_read(store: Store) -> None:
    assert await store.write(text="text:1", text_bytes=b"\x00packed", grows=7, entry=b"{}") == b"OK"
    assert await store.write() == b"STALE"
    assert await store.write("2") == b"STALE"
    assert await store.write("1", "2", removed=["text:1"], grows=-7) == b"OK"
    assert await store.redis.hgetall(store.key("draft", "d1")) == {b"stamp": b"2", b"revision": b"1"}
    assert await store.redis.get(store.key("drafts", "bytes", "Post")) == b"0"
    assert await store.redis.xlen(store.key("audit")) == 1


async def test_write_draft_refuses_callers_that_are_no_longer_valid(store: Store) -> None:
    key, user = store.key("key", "k1"), store.key("user", "u1")
    assert await store.write(caller=store.key("key", "unknown")) == b"BARRED"
    await store.redis.hset(key, "expires", NOW)
    assert await store.write() == b"BARRED"
    assert await store.write(caller=store.key("user", "unknown")) == b"BARRED"
    assert await store.write(caller=user) == b"OK"
    await store.redis.hset(user, "disabled_at", "now")
    assert await store.write("1", caller=user) == b"BARRED"
    await store.redis.hdel(user, "disabled_at")
    await store.redis.hset(store.key("account", "Post"), "disabled_at", "now")
    assert await store.write("1", caller=user) == b"BARRED"
    assert await store.write("1", "2", caller="") == b"OK", "what was admitted before is completed"


async def test_write_draft_keeps_the_limits_of_the_account(store: Store) -> None:
    assert await store.write(grows=101) == b"TOO_LARGE"
    assert await store.write(grows=100) == b"OK"
    assert await store.write("1", "2", grows=1) == b"TOO_LARGE"
    assert await store.write("1", "2", grows=0) == b"OK"
    await store.redis.delete(store.key("draft", "d1"))
    await store.redis.zadd(store.key("drafts", "of", "Post"), {"d2": 1, "d3": 1})
    assert await store.write() == b"TOO_MANY"


async def test_write_draft_files_a_draft_under_its_article_while_it_is_not_discarded(store: Store) -> None:
    articles, discarded = store.key("drafts", "articles", "Post"), store.key("drafts", "discarded")
    await store.write(article="a1")
    assert await store.redis.hgetall(articles) == {b"a1": b"d1"}
    await store.write("1", "2", article="a1", discarded_ms=5)
    assert await store.redis.hgetall(articles) == {}
    assert await store.redis.zscore(discarded, "d1") == 5
    await store.redis.hset(articles, "a1", "d2")
    await store.write("2", "3", article="a1", discarded_ms=6)
    assert await store.redis.hgetall(articles) == {b"a1": b"d2"}, "another draft has the article now"
    await store.write("3", "4", article="a1")
    assert await store.redis.zcard(discarded) == 0


async def test_read_draft_returns_fields_and_the_text_of_one_revision(store: Store) -> None:
    assert await store.read() == [None, None, None]
    await store.write(text="text:1", text_bytes=b"\x00one")
    assert await store.read() == [b"1", None, b"\x00one"]
    await store.write("1", "2", fields={"stamp": "2", "revision": "2"}, text="text:2", text_bytes=b"two")
    assert await store.read() == [b"2", None, b"two"]
    assert await store.read("1") == [b"2", None, b"\x00one"]
    assert await store.read("3") == [b"2", None, None]


async def test_erase_draft_leaves_nothing_and_notes_the_erasure(store: Store) -> None:
    await store.write(article="a1", grows=9, discarded_ms=5)
    await store.redis.hset(store.key("drafts", "articles", "Post"), "a1", "d1")
    assert await store.erase("0") == b"STALE"
    assert await store.erase("1", "a1", 9) == b"OK"
    for kept in (["draft", "d1"], ["drafts", "of", "Post"], ["drafts", "discarded"], ["drafts", "articles", "Post"]):
        assert not await store.redis.exists(store.key(*kept)), kept
    assert await store.redis.get(store.key("drafts", "bytes", "Post")) == b"0"
    assert await store.redis.exists(store.key("last-erasure"))
    assert await store.redis.xlen(store.key("audit")) == 1

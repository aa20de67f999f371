"""Each Redis function of images by itself."""

from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FunctionLibrary
from newswire_ingest.media.repository import LUA

FILE, OTHER = "a" * 64, "b" * 64


class Functions:
    """The functions on one namespace; every call at second 100 unless a test says otherwise."""

    def __init__(self, redis: Redis, keys: Keyspace) -> None:
        self.redis = redis
        self.names = keys.key("media", "")
        self._library = FunctionLibrary.packaged(redis, keys.namespace, LUA, route=(f"{self.names}file",))

    async def call(self, function: str, **arguments: Any) -> Any:
        shared = {"names": self.names, "account": "p", "file": FILE, "now": 100_000}
        return await self._library.call(function, [], shared | arguments)

    async def add(self, file: str = FILE, account: str = "p", folder: str = "f1", **arguments: Any) -> Any:
        if arguments.get("written", True):
            await self.redis.zadd(f"{self.names}removals", {f"{file}.{folder}": 999_000})
        named = {"written": True, "file_fields": ["format", "jpg", "size", "40"], "item_fields": ["alt", "A"]}
        named |= {"variants": True, "size": 40, "max_bytes": 0}
        return await self.call("add", file=file, account=account, folder=folder, **named | arguments)

    async def scores(self, name: str) -> dict[str, float]:
        found = await self.redis.zrange(f"{self.names}{name}", 0, -1, withscores=True)
        return {member.decode(): score for member, score in found}

    async def exists(self, name: str) -> bool:
        return bool(await self.redis.exists(f"{self.names}{name}"))


@pytest.fixture
def functions(redis: Redis, namespace: str) -> Functions:
    return Functions(redis, Keyspace(namespace))


async def test_add_stores_a_file_once_for_several_accounts(functions: Functions) -> None:
    assert await functions.add() == b"ADDED"
    assert await functions.scores("variants") == {FILE: 100_000}
    assert await functions.scores("removals") == {}
    assert await functions.add(folder="f2") == b"KNOWN"
    assert await functions.add(account="q", folder="f3") == b"ADDED"
    assert await functions.redis.hget(f"{functions.names}file:{FILE}", "folder") == b"f1"
    assert await functions.scores("removals") == {f"{FILE}.f2": 100_000, f"{FILE}.f3": 100_000}


async def test_add_refuses_what_was_removed_meanwhile(functions: Functions) -> None:
    assert await functions.add(written=False, folder="f9") == b"LATE"
    assert (
        await functions.call(
            "add", folder="f9", written=True, file_fields=[], item_fields=[], variants=False, size=1, max_bytes=0
        )
        == b"LATE"
    )
    assert not await functions.exists(f"file:{FILE}")


async def test_add_counts_the_bytes_of_an_account(functions: Functions) -> None:
    async def used() -> dict[bytes, bytes]:
        return dict(await functions.redis.hgetall(f"{functions.names}bytes"))

    assert await functions.add(max_bytes=60) == b"ADDED"
    assert await functions.add(max_bytes=60, folder="f2") == b"KNOWN"
    assert await functions.add(file=OTHER, folder="f3", max_bytes=60) == b"FULL"
    assert not await functions.exists(f"file:{OTHER}")
    assert (await functions.scores("removals"))[f"{OTHER}.f3"] == 100_000
    assert await functions.add(account="q", folder="f4", max_bytes=60) == b"ADDED"
    assert await used() == {b"p": b"40", b"q": b"40"}
    await functions.call("delete")
    await functions.call("delete")
    assert await used() == {b"q": b"40"}


async def test_describe_changes_the_texts_of_an_owner(functions: Functions) -> None:
    assert await functions.call("describe", fields=["alt", "B"]) == 0
    await functions.add()
    assert await functions.call("describe", fields=["alt", "B"]) == 1
    assert await functions.call("describe", fields=[]) == 1
    assert await functions.redis.hget(f"{functions.names}item:{FILE}:p", "alt") == b"B"


async def test_delete_refuses_what_is_used(functions: Functions) -> None:
    assert await functions.call("delete") == -1
    await functions.add()
    await functions.redis.sadd(f"{functions.names}uses:{FILE}:p", "draft.d1")
    assert await functions.call("delete") == 1
    await functions.redis.srem(f"{functions.names}uses:{FILE}:p", "draft.d1")
    assert await functions.call("delete") == 0
    assert not await functions.exists(f"file:{FILE}")
    assert await functions.scores("removals") == {f"{FILE}.f1": 100_000}
    assert await functions.scores("variants") == {}
    assert await functions.scores("unused") == {}


async def test_expire_removes_what_was_unused_for_long(functions: Functions) -> None:
    await functions.add()
    await functions.add(file=OTHER, now=200_000)
    assert await functions.call("expire", before=100_000, limit=10) == []
    assert await functions.call("expire", before=100_001, limit=10) == [f"{FILE} p".encode()]
    assert await functions.scores("of:p") == {OTHER: 200_000}


async def test_claim_takes_work_for_a_time(functions: Functions) -> None:
    await functions.add()
    arguments = {"queue": "variants", "lease": 5_000, "limit": 10}
    assert await functions.call("claim", **arguments) == [FILE.encode()]
    assert await functions.call("claim", **arguments) == []
    assert await functions.call("claim", **arguments | {"now": 105_000}) == [FILE.encode()]


async def test_made_says_whether_the_file_is_still_there(functions: Functions) -> None:
    await functions.add()
    assert await functions.call("made", folder="f1", complete=False) == 1
    assert await functions.scores("variants") == {FILE: 100_000}
    assert await functions.call("made", folder="f1", complete=True) == 1
    assert await functions.scores("variants") == {}
    assert await functions.call("made", folder="f0", complete=True) == 0
    assert await functions.scores("removals") == {f"{FILE}.f0": 100_000}

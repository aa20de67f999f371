"""The Redis functions of imports."""

from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.storage.redis_functions import FunctionLibrary
from newswire_ingest.imports.repository import LUA


@dataclass
class Functions:
    """The functions, on keys of a namespace."""

    redis: Redis
    namespace: str
    library: FunctionLibrary

    def name(self, part: str) -> str:
        return f"{self.namespace}:import:{part}"

    async def call(self, function: str, parts: list[str], arguments: dict[str, Any]) -> Any:
        return await self.library.call(function, [self.name(part) for part in parts], arguments)

    async def add(self, id_: str) -> Any:
        arguments = {"id": id_, "now": 1000, "limit": 2, "fields": {"state": "reading"}}
        return await self.call("add_import", [id_, "of", "all", "due"], arguments)

    async def claim(self, now: int, token: str) -> Any:
        arguments = {"now": now, "ends": now + 100, "token": token, "prefix": self.name("")}
        return await self.call("claim_import", ["due"], arguments)

    async def save(self, token: str, due: int) -> Any:
        arguments = {"id": "i1", "token": token, "fields": {"done": "5"}, "due": due}
        return await self.call("save_import", ["i1", "due"], arguments)

    async def move(self, from_: list[str], state: str, due: int) -> Any:
        arguments = {"id": "i1", "from": from_, "fields": {"state": state}, "due": due}
        return await self.call("move_import", ["i1", "due"], arguments)


@pytest.fixture
def functions(redis: Redis, namespace: str) -> Functions:
    return Functions(redis, namespace, FunctionLibrary.packaged(redis, namespace, LUA))


async def test_add_import_stops_at_the_limit(functions: Functions) -> None:
    assert [await functions.add(id_) for id_ in ("i1", "i2", "i3")] == [1, 1, 0]
    assert await functions.redis.exists(functions.name("i3")) == 0


async def test_claim_import_gives_one_to_one_process_until_its_claim_ends(functions: Functions) -> None:
    await functions.redis.zadd(functions.name("due"), {"gone": 0})
    await functions.add("i1")
    assert await functions.claim(1000, "a") == b""  # one without a record leaves the list
    assert await functions.claim(1000, "a") == b"i1"
    assert await functions.claim(1050, "b") == b""
    assert await functions.claim(1200, "b") == b"i1"


async def test_save_import_stores_nothing_after_the_claim_was_lost(functions: Functions) -> None:
    await functions.add("i1")
    assert [await functions.claim(1000, "a"), await functions.claim(1200, "b")] == [b"i1", b"i1"]
    saved = [await functions.save(token, due) for token, due in (("a", 0), ("b", 1300), ("b", 0), ("b", 0))]
    assert saved == [0, 1, 1, 0]
    assert await functions.redis.zcard(functions.name("due")) == 0


async def test_move_import_applies_to_some_states(functions: Functions) -> None:
    await functions.add("i1")
    assert await functions.move(["ready"], "running", 5) == 0
    assert await functions.move(["reading"], "cancelled", 0) == 1
    assert await functions.redis.zscore(functions.name("due"), "i1") is None


async def test_remove_import_leaves_nothing(functions: Functions) -> None:
    await functions.add("i1")
    parts = ["i1", "of", "all", "due"]
    assert [await functions.call("remove_import", parts, {"id": "i1"}) for _ in range(2)] == [1, 0]
    assert await functions.redis.exists(*map(functions.name, parts)) == 0

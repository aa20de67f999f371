"""Function calls of concurrent requests share round trips."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import Call, FunctionLibrary
from newswire_ingest.articles.command_batcher import CommandBatcher
from newswire_ingest.articles.repository import LUA


class CountingLibrary(FunctionLibrary):
    """The functions of publishing, with the number of calls of each round trip."""

    sizes: list[int]

    async def call_all(self, calls: Sequence[Call]) -> list[Any]:
        self.sizes.append(len(calls))
        return await super().call_all(calls)


@pytest.mark.parametrize(("meanwhile", "sizes"), [(1, [1, 1, 1]), (3, [1, 3, 1])])
async def test_calls_that_come_during_a_round_trip_share_the_next_one(
    redis: Redis, namespace: str, meanwhile: int, sizes: list[int]
) -> None:
    keys = Keyspace(namespace)
    functions = CountingLibrary.packaged(redis, namespace, LUA)
    assert isinstance(functions, CountingLibrary)
    functions.sizes = []
    await functions.load()
    batcher = CommandBatcher(functions.call_all)

    def started(article: str) -> "asyncio.Task[Any]":
        return asyncio.create_task(batcher.call("release", [keys.article(article)], {}))

    first = started("first")
    while not functions.sizes:
        await asyncio.sleep(0)
    others = [started(f"meanwhile{number}") for number in range(meanwhile)]
    await first
    assert await asyncio.gather(*others, started("after")) == [0] * (meanwhile + 1)
    assert functions.sizes == sizes

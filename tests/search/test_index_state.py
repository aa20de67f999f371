"""What a process reads about the index before each answer."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.keys import Keyspace
from newswire_search.app import GROUP
from newswire_search.feeds.index_changes import IndexState, index_state_functions, index_state_source

PROCESSED = "1700000000000-0"


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


async def test_index_state_is_one_reply_that_names_each_change(redis: Redis, keys: Keyspace) -> None:
    names = [keys.checkpoint(GROUP), keys.unindexed_retractions, keys.last_erasure, keys.stream]
    functions = index_state_functions(redis, keys)

    async def found() -> list[object]:
        reply: list[object] = await functions.call("index_state", names, {"group": GROUP})
        return reply

    assert await found() == [None, 0, None, 0]  # neither stream nor group
    await redis.set(keys.checkpoint(GROUP), PROCESSED)
    await redis.set(keys.last_erasure, "erasure")
    await redis.zadd(keys.unindexed_retractions, {"a1.1": 1, "a2.1": 2})
    await redis.xgroup_create(keys.stream, "another", mkstream=True)
    assert await found() == [PROCESSED.encode(), 2, b"erasure", 0]
    await redis.xgroup_create(keys.stream, GROUP, id="0")
    entry = await redis.xadd(keys.stream, {"event": "…"})
    assert (await found())[3] == 0
    await redis.xreadgroup(GROUP, "one", {keys.stream: ">"})
    assert (await found())[3] == 1
    await redis.xack(keys.stream, GROUP, entry)
    assert (await found())[3] == 0


async def test_index_state_reports_an_error_of_another_kind(redis: Redis, keys: Keyspace) -> None:
    await redis.set(keys.stream, "no stream")
    names = [keys.checkpoint(GROUP), keys.unindexed_retractions, keys.last_erasure, keys.stream]
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await index_state_functions(redis, keys).call("index_state", names, {"group": GROUP})


async def test_the_state_has_no_name_while_anything_is_unknown_or_erased(redis: Redis, keys: Keyspace) -> None:
    read = index_state_source(redis, keys, GROUP, timedelta(), clock=lambda: 7.0)
    assert await read() == IndexState()
    await redis.set(keys.checkpoint(GROUP), PROCESSED)
    state = await read()
    assert (state.name, state.is_changing, state.read_at) == (f"{PROCESSED} ", False, 7.0)
    assert state.last_modified is not None
    await redis.zadd(keys.unindexed_retractions, {"a1.1": 1})
    assert await read() == IndexState()
    await redis.delete(keys.unindexed_retractions)
    await redis.set(keys.last_erasure, "erasure")
    assert (await read()).name == f"{PROCESSED} erasure"
    await redis.delete(keys.stream)
    await redis.set(keys.stream, "no stream")
    assert await read() == IndexState()  # it cannot be read: nothing may be kept

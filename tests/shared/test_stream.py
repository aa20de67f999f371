"""The position of a stream is read without reading its entries."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.keys import Keyspace
from newswire.messaging.stream_position import newest_entry

LARGE = b"x" * 1_000_000


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


async def sent(redis: Redis) -> int:
    """Return how many bytes the server has sent."""
    return int((await redis.info("stats"))["total_net_output_bytes"])


async def test_the_newest_entry_counts_even_if_it_was_deleted(redis: Redis, keys: Keyspace) -> None:
    assert await newest_entry(redis, keys.stream) == "0-0"
    for at in ("1-0", "2-0"):
        await redis.xadd(keys.stream, {"n": "x"}, id=at)
    assert await newest_entry(redis, keys.stream) == "2-0"
    await redis.xdel(keys.stream, "2-0")
    assert await newest_entry(redis, keys.stream) == "2-0"


async def test_reading_the_newest_id_does_not_transfer_the_entry(redis: Redis, keys: Keyspace) -> None:
    for _ in range(2):
        await redis.xadd(keys.stream, {"n": LARGE})
    before = await sent(redis)
    await newest_entry(redis, keys.stream)
    assert await sent(redis) - before < len(LARGE) / 2


async def test_a_key_of_another_type_is_an_error(redis: Redis, keys: Keyspace) -> None:
    await redis.set(keys.stream, "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await newest_entry(redis, keys.stream)

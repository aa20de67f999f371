"""A Redis whose name cannot be resolved: callers get an error soon, and no unhandled error is left."""

import asyncio
import gc
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from newswire.storage.redis_client import open_redis


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_lookup_that_outlives_its_caller_logs_no_error(scheme: str, new_loop: Any) -> None:
    complaints: list[str] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what["message"]))
        async with open_redis(f"{scheme}://redis.invalid:6379") as client:
            pool = client.connection_pool
            with pytest.raises(RedisConnectionError):
                await client.ping()
            pool.connection_kwargs["socket_connect_timeout"] = 0.00001
            await pool.disconnect()
            pool.reset()
            with pytest.raises(RedisTimeoutError):
                await client.ping()
            gone = asyncio.get_running_loop().getaddrinfo("redis.invalid", 6379)
            with pytest.raises(OSError):
                await gone  # requested after the cancelled one, and so answered after it
            await asyncio.sleep(0.1)
            gc.collect()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scene())
    assert complaints == []


async def test_redis_is_reached_by_host_name(redis_url: str) -> None:
    address, _, rest = redis_url.partition("127.0.0.1")
    assert rest
    async with open_redis(f"{address}localhost{rest}") as client:
        assert isinstance(client, Redis)
        assert await client.ping()

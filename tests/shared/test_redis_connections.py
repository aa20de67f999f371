"""A Redis whose name cannot be resolved: callers get an error soon, and no unhandled error is left."""

import asyncio
import gc
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from newswire.storage import redis_primary
from newswire.storage.cluster_nodes import ClusterNodes
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


@pytest.mark.parametrize(
    "address", ["redis+sentinel://redis.invalid:26379/articles", "redis+cluster://redis.invalid:6379"]
)
def test_a_lookup_of_a_sentinel_or_node_that_is_cancelled_logs_no_error(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[str] = []
    monkeypatch.setattr(redis_primary, "ANSWER_SECONDS", 0.00001)

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what["message"]))
        async with open_redis(address, "{newswire}") as client:
            with pytest.raises(RedisConnectionError, match=r"no (Sentinel|node of the cluster) names"):
                await client.ping()
            with pytest.raises(OSError):
                await asyncio.get_running_loop().getaddrinfo("redis.invalid", 6379)
            await asyncio.sleep(0.1)
            gc.collect()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
    assert complaints == []


async def test_a_sentinel_that_fails_after_the_others_answered_logs_no_error() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what["message"]))

    class Sentinels:
        name = nobody_knows = "articles"

        def members(self, primary: object) -> list[Any]:
            return ["in time", "late"]

        async def ask(self, member: str) -> tuple[int, tuple[str, int]]:
            if member == "late":
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:  # redis-py reports its own timeout, if both happen at once
                    raise RedisTimeoutError from None
            return 1, ("127.0.0.1", 6379)

        def listeners(self, announced: object) -> list[Any]:
            return []

        async def aclose(self) -> None: ...

    primary = redis_primary.Primary(Sentinels())
    assert await primary.locate() == ("127.0.0.1", 6379)
    await primary.remove_pool(primary)
    gc.collect()
    assert complaints == []


async def test_redis_is_reached_by_host_name(redis_url: str) -> None:
    address, _, rest = redis_url.partition("127.0.0.1")
    assert rest
    async with open_redis(f"{address}localhost{rest}") as client:
        assert isinstance(client, Redis)
        assert await client.ping()


async def test_callers_that_wait_for_a_connection_get_the_next_free_one(redis_url: str) -> None:
    async with open_redis(redis_url) as client:
        pool = client.connection_pool
        pool.max_connections = 2
        held = [await pool.get_connection() for _ in range(2)]
        order: list[int] = []

        async def wait(number: int) -> None:
            connection = await pool.get_connection()
            order.append(number)
            await asyncio.sleep(0)
            await pool.release(connection)

        waiting = [asyncio.create_task(wait(number)) for number in range(6)]
        await asyncio.sleep(0)
        assert order == []
        for connection in held:
            await pool.release(connection)
        late = asyncio.create_task(wait(6))  # there is a free connection, but others came first
        await asyncio.gather(*waiting, late)
        assert order == list(range(7))
        assert (len(pool._available_connections), len(pool._in_use_connections)) == (2, 0)


async def test_an_idle_connection_that_the_server_closed_is_opened_again(redis_url: str) -> None:
    async with open_redis(redis_url) as client, open_redis(redis_url) as other:
        number = await client.client_id()
        await other.client_kill_filter(_id=number)
        assert await client.client_id() > number
        assert await client.ping()  # the pool has one connection, which is used again
        assert len(client.connection_pool._available_connections) == 1


async def test_a_cancelled_call_gives_its_connection_back(redis_url: str) -> None:
    async with open_redis(redis_url) as client:
        await client.ping()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.blpop("test-of-connections-never-pushed", 5), 0.05)
        assert await client.ping()
        assert not client.connection_pool._in_use_connections


async def test_connections_to_nodes_that_left_a_cluster_are_closed(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    nodes = ClusterNodes([("127.0.0.1", 1)], "tag", {})
    nodes._others = {("127.0.0.1", port)}
    left = next(one for one in nodes.members(None) if one.connection_pool.connection_kwargs["port"] == port)
    await left.ping()
    [connection] = left.connection_pool._available_connections
    assert connection.is_connected
    nodes._others = {("127.0.0.1", 2)}  # it got another address
    assert left not in nodes.members(None)
    await nodes.aclose()
    assert not connection.is_connected

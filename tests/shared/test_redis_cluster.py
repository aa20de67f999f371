"""A Redis Cluster: clients follow the primary of the one slot that all keys are in, and nothing happens halfway while it moves."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from newswire.keys import Keyspace
from newswire.storage.cluster_nodes import ClusterNodes
from newswire.storage.redis_client import open_redis
from newswire.storage.redis_errors import unavailability
from newswire.storage.redis_functions import Call, FunctionLibrary
from newswire.storage.redis_url import RedisUrlError, parse_redis_url
from newswire.storage.replication import ReplicationBarrier, SwitchedError
from tests.servers.cluster import Cluster, cluster

pytestmark = pytest.mark.slow
KEYS = Keyspace("{t}")
SLOT = key_slot(b"t")
SOURCE = """
register('put', function(keys, args)
  redis.call('SET', keys[1], args.value)
  return redis.call('SET', keys[1] .. ':known-to-the-function-only', args.value)
end)
"""


@pytest.fixture
async def nodes() -> AsyncIterator[Cluster]:
    async with cluster(replicas=1) as started:
        yield started


def functions(redis: Redis) -> FunctionLibrary:
    return FunctionLibrary(redis, KEYS.namespace, "cluster", SOURCE)


async def repeated(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call until it succeeds."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except (RedisError, OSError) as error:
                if unavailability(error) is None:
                    raise
                await asyncio.sleep(0.02)


async def test_clients_follow_the_slot(nodes: Cluster) -> None:
    async with open_redis(nodes.url, "t") as redis, open_redis(nodes.url, "{t}") as reader:
        put = functions(redis)
        await put.call("put", [KEYS.key("a")], {"value": "0"})
        first = await nodes.owner("t")
        [second] = await nodes.replicas_of(first)
        async with reader.pubsub(ignore_subscribe_messages=True) as announcements:
            await announcements.subscribe(KEYS.key("channel"))
            reading = asyncio.create_task(reader.xread({KEYS.key("nothing"): "$"}, block=2000))

            await nodes.ask(second, "CLUSTER", "FAILOVER")
            await nodes.until_owner("t", {second})
            calls = [Call("put", [KEYS.key(name)], {"value": "1"}) for name in "ab"]
            assert await repeated(lambda: put.call_all(calls)) == [b"OK", b"OK"]
            assert await nodes.ask(second, "GET", KEYS.key("b")) == b"1"
            await asyncio.wait_for(asyncio.wait({reading}), 60)
            async with asyncio.timeout(60):
                while (await announcements.get_message(timeout=0.1) or {}).get("data") != b"moved":
                    await redis.publish(KEYS.key("channel"), "moved")

        third = await nodes.other_primary("t")
        await nodes.move_slot("t", third)
        async with redis.pipeline(transaction=True) as pipe:
            assert (await pipe.get(KEYS.key("a")).set(KEYS.key("c"), "2").execute())[0] == b"1"
        assert await put.call("put", [KEYS.key("a")], {"value": "2"}) == b"OK"  # the node had no functions
        assert [key async for key in redis.scan_iter(KEYS.key("c*"))] == [KEYS.key("c").encode()]

        [fourth] = await nodes.replicas_of(third)
        nodes.send(third, signal.SIGKILL)
        await nodes.until_owner("t", {fourth})
        assert await repeated(lambda: put.call("put", [KEYS.key("a")], {"value": "3"})) == b"OK"
        assert await nodes.ask(fourth, "GET", KEYS.key("a")) == b"3"


async def test_nodes_have_the_name_that_they_announce_where_certificates_are_verified(nodes: Cluster) -> None:
    port = await nodes.owner("t")
    await nodes.ask(port, "CONFIG", "SET", "cluster-announce-hostname", "node.example")
    encrypted = parse_redis_url(f"rediss+cluster://127.0.0.1:{port}").options
    async with Redis(port=port, protocol=2) as member:
        assert (await ClusterNodes([], "t", {}).ask(member))[1] == ("127.0.0.1", port)
        assert (await ClusterNodes([], "t", encrypted).ask(member))[1] == ("node.example", port)
        unverified = {**encrypted, "ssl_check_hostname": False}
        assert (await ClusterNodes([], "t", unverified).ask(member))[1] == ("127.0.0.1", port)


async def test_nothing_happens_halfway_while_keys_are_moved_one_by_one(nodes: Cluster) -> None:
    async with open_redis(nodes.url, "t") as redis:
        put = functions(redis)
        source = await nodes.owner("t")
        target = await nodes.other_primary("t")
        await redis.set(KEYS.key("moved"), "0")
        await redis.set(KEYS.key("stays"), "0")
        await nodes.ask(target, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", await nodes.identity(source))
        await nodes.ask(source, "CLUSTER", "SETSLOT", SLOT, "MIGRATING", await nodes.identity(target))
        await nodes.ask(source, "MIGRATE", "127.0.0.1", target, KEYS.key("moved"), 0, 5000)
        with pytest.raises(TryAgainError) as split:
            await put.call("put", [KEYS.key("stays")], {"value": "1"})
        with pytest.raises(AskError) as gone:
            await put.call("put", [KEYS.key("moved")], {"value": "1"})
        for error in (split.value, gone.value):
            cause = unavailability(error)
            assert cause is not None
            assert cause.retry_after == 1
        assert await redis.get(KEYS.key("stays")) == b"0"
        assert await nodes.ask(source, "CLUSTER", "GETKEYSINSLOT", SLOT, 10) == [KEYS.key("stays").encode()]

        await nodes.move_keys("t", target)
        assert await repeated(lambda: put.call("put", [KEYS.key("moved")], {"value": "2"})) == b"OK"
        assert await redis.mget(KEYS.key("stays"), KEYS.key("moved")) == [b"0", b"2"]

        await nodes.ask(target, "CLUSTER", "DELSLOTS", SLOT)
        with pytest.raises(ClusterDownError) as down:
            await redis.get(KEYS.key("moved"))
        assert "does not serve all slots" in str(unavailability(down.value))


async def test_writes_are_confirmed_by_the_replicas_of_the_slot(nodes: Cluster) -> None:
    async with open_redis(nodes.url, "t") as redis, open_redis(nodes.url, "t") as other:
        barrier = ReplicationBarrier(redis, KEYS, 1)
        history = await barrier.history()
        await barrier.confirm(history)
        primary = await nodes.owner("t")
        [replica] = await nodes.replicas_of(primary)
        nodes.send(replica, signal.SIGSTOP)
        await other.set(KEYS.key("a"), "1")
        unconfirmed = await ReplicationBarrier(other, KEYS, 1).check()
        nodes.send(replica, signal.SIGCONT)
        assert "0 of 1 connected replicas of Redis confirmed" in str(unconfirmed)
        await nodes.until_replicas(primary, 1)
        await nodes.ask(replica, "CLUSTER", "FAILOVER")
        await nodes.until_owner("t", {replica})
        with pytest.raises((SwitchedError, RedisConnectionError)):
            await barrier.confirm(history)
        await nodes.until_replicas(replica, 1)
        assert await repeated(barrier.check) is None


async def test_a_cluster_that_cannot_be_used() -> None:
    with pytest.raises(RedisUrlError, match="needs the namespace"):
        open_redis("redis+cluster://127.0.0.1:1")
    async with open_redis("redis+cluster://127.0.0.1:1", "t") as redis:
        with pytest.raises(
            RedisConnectionError, match=f"no node of the cluster names the primary of slot {SLOT}: Error"
        ):
            await redis.get(KEYS.key("a"))

"""All delivery keys are in one slot of a Redis Cluster, where every function finds them."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_notify.deliveries import dead_letters
from newswire_notify.deliveries.progress_publisher import DeliveryProgressPublisher
from newswire_notify.subscriptions.owner_notifier import OwnerNotifier
from tests.notify.conftest import SITE, Clock, Receiver, opened_desk, until
from tests.servers.valkey import embedded_valkey, free_port

pytestmark = pytest.mark.slow


@pytest.fixture
async def cluster() -> AsyncIterator[Redis]:
    """A cluster of one node, which refuses a call that touches two slots as any other does."""
    with embedded_valkey(config={"cluster-enabled": "yes", "cluster-port": free_port()}) as server:
        async with open_redis(f"redis://127.0.0.1:{server.port}/0") as client:
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

            async def up() -> bool:
                return b"cluster_state:ok" in await client.execute_command("CLUSTER", "INFO")

            await until(up)
            yield client


async def test_every_operation_on_deliveries_uses_one_slot(
    cluster: Redis, redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    with pytest.raises(ResponseError, match="slot"):
        await cluster.mset({"a": 1, "b": 2})
    async with opened_desk(redis, keys, clock, deliveries=cluster, chunk=2) as desk:
        kept = [await desk.subscribe(f"{receiver.url}/{n}", {"query": "ferry"}) for n in range(5)]
        failing = await desk.subscribe(f"{receiver.url}/failing", {"topics": ["Bridges"]})
        gone = await desk.subscribe(f"{receiver.url}/gone")
        await desk.subscribe(f"{receiver.url}/notices", {"topics": ["Nothing"]}, notices=True)
        receiver.answer("/failing", 500)
        receiver.answer("/gone", 410)
        await desk.publish("a1")
        await desk.publish("a1", 2)
        await desk.retract("a1", 2)
        await desk.publish("b1", topics=["Bridges"])
        await desk.deliver()
        assert await OwnerNotifier(desk.queue, desk.broker, keys, SITE).notify() == 1
        assert await DeliveryProgressPublisher(desk.queue, desk.broker, keys, SITE).announce() > 0
        for _ in range(9):
            clock.now += 36_000
            await desk.deliver()
        assert {letter.subscription for letter in await dead_letters.list_dead(cluster, keys)} == {failing.id, gone.id}
        assert await desk.endpoints.rotate_secret("reader", kept[0].id, 60)
        await desk.endpoints.test(kept[0])
        await desk.subscriptions.enable(gone)
        await desk.subscriptions.pause(kept[1])
        await desk.subscriptions.remove("reader", kept[2].id)
        slots = {await cluster.execute_command("CLUSTER", "KEYSLOT", name) async for name in cluster.scan_iter("*")}
        assert len(slots) == 1
    assert "/notices" in {got.path for got in receiver.got}

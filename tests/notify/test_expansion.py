"""An event with many recipients is expanded in chunks, and the next event does not wait for it."""

import asyncio
import os
import time

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import Call
from newswire_notify.deliveries.models import ExpansionTurn
from newswire_notify.fanout.expansion import Expansion
from newswire_notify.subscriptions.account_limits import NO_LIMITS
from tests.notify.conftest import Clock, Desk, Receiver, opened_desk, until

MATCHES = int(os.environ.get("NEWSWIRE_LARGE_AUDIENCE", "20000"))


async def crowd(desk: Desk, url: str, size: int) -> None:
    """Create subscriptions with one URL and one filter."""
    first = await desk.subscribe(url, {"topics": ["Everybody"]})
    digest = first.criteria().digest()
    record = await desk.redis.hgetall(desk.keys.deliveries.key("subscription", first.id))
    own = ("url", "filter", "events", "content", "status", "secret", "created", "schema")
    fields = {name: record[name.encode()].decode() for name in own}
    arguments = {
        "prefix": desk.queue.prefix,
        "account": "crowd",
        "digest": digest,
        "newest_entry": "0-0",
        "limits": NO_LIMITS,
        "created": 1,
        "fields": fields,
    }
    for at in range(1, size, 1000):
        await desk.queue.functions.call_all(
            [
                Call("subscribe", (), arguments | {"id": f"{first.id}{number}"})
                for number in range(at, min(at + 1000, size))
            ]
        )


class WallClock(Clock):
    """A real clock: endpoints that were just served go behind others only as time passes."""

    def __call__(self) -> float:
        return time.time()


async def test_an_event_with_few_recipients_does_not_wait_for_one_with_many(
    redis: Redis, keys: Keyspace, receiver: Receiver
) -> None:
    async with opened_desk(redis, keys, WallClock()) as desk:
        await crowd(desk, f"{receiver.url}/crowd", MATCHES)
        await desk.subscribe(f"{receiver.url}/one", {"topics": ["Single"]})
        stopping = asyncio.Event()
        loops = [asyncio.create_task(loop(stopping)) for loop in (desk.worker.run, desk.expansion.run)]
        try:
            await desk.publish("large", topics=["Everybody"])
            await until(lambda: len(receiver.got) > 100)
            await desk.publish("small", topics=["Single"])
            await until(lambda: any(got.path == "/one" for got in receiver.got))
            assert len(receiver.got) < MATCHES / 2
            assert await redis.zcard(keys.deliveries.key("expanding")) == 1
            # Nor does a large one fill the queue beyond what is soon delivered.
            assert await redis.zcard(keys.deliveries.key("endpoints")) < 2500
        finally:
            stopping.set()
            await asyncio.gather(*loops)


async def test_events_with_many_recipients_take_turns(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver
) -> None:
    async with opened_desk(redis, keys, clock, chunk=10) as desk:
        await crowd(desk, f"{receiver.url}/crowd", 100)
        for article in ("a1", "b1", "c1"):
            await desk.publish(article, topics=["Everybody"])
        for _ in range(6):
            assert await desk.expansion.step() is ExpansionTurn.EXPANDED
        enqueued = [
            int(await desk.redis.hget(keys.deliveries.key("event_plan", f"{a}.1"), "matched") or 0)
            for a in ("a1", "b1", "c1")
        ]
        assert enqueued == [30, 30, 30]
        full = Expansion(desk.queue, desk.broker, keys, clock=clock, chunk=10, max_due_endpoints=30)
        assert await full.step() is ExpansionTurn.QUEUE_FULL
        await desk.expand()
        assert await desk.expansion.step() is ExpansionTurn.NOTHING_LEFT
        said = [fields[b"__data__"] for _, fields in await redis.xrange(keys.outcomes)]
        assert len(said) == 3
        assert all(b'"matched":100' in each for each in said)
        await desk.deliver()
        assert len(receiver.got) == 300

"""Readers get no event that replicas of Redis do not have."""

import asyncio

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage import replication
from newswire.storage.replication import ReplicationBarrier, UnconfirmedError
from newswire_notify.streaming.broadcaster import StreamBroadcaster
from newswire_notify.streaming.pull import Pull
from newswire_notify.streaming.stream_events import StreamFilter
from tests.shared.test_consume import put, until


async def test_readers_get_no_events_that_replicas_lack(
    redis: Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "WAIT_MS", 50)
    keys, every = Keyspace(namespace), StreamFilter()
    barrier = ReplicationBarrier(redis, keys, 1)
    pull = Pull(redis, keys, "http://t", barrier)
    assert (await pull.page(every, (0, 1), 10)).events == []
    await put(redis, keys, 1)
    with pytest.raises(UnconfirmedError):
        await pull.page(every, (0, 1), 10)

    sent: list[str] = []
    broadcaster = StreamBroadcaster(redis, keys, barrier=barrier, on_broadcast=lambda event, _: sent.append(event))
    stopping = asyncio.Event()
    running = asyncio.create_task(broadcaster.run(stopping))
    try:
        with broadcaster.connect(every, limit=10) as client:
            await put(redis, keys, 2)
            await asyncio.sleep(0.3)
            assert (sent, list(client.waiting), broadcaster.running) == ([], [], False)
            barrier.replicas = 0  # as if a replica came
            await until(lambda: broadcaster.running)
            await put(redis, keys, 3)
            await until(lambda: sent == ["a3.1"])
    finally:
        stopping.set()
        await asyncio.wait_for(running, 60)

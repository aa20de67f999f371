"""A Redis behind Sentinels: clients follow the primary, and a former primary gets no more writes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from newswire.storage.redis_client import open_redis
from newswire.storage.redis_functions import FunctionLibrary
from newswire.storage.redis_primary import Primary, directory_of
from newswire.storage.redis_url import parse_redis_url
from tests.servers.sentinel import SERVICE, Watched, lone_sentinel, watched_servers
from tests.servers.valkey import DEADLINE_SECONDS, free_port

pytestmark = pytest.mark.slow
SOURCE = "register('put', function(keys, args) return redis.call('SET', keys[1], args.value) end)"


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    async with watched_servers() as servers:
        yield servers


async def test_clients_follow_a_planned_a_killed_and_a_hanging_primary(watched: Watched) -> None:
    async with open_redis(watched.url) as redis, open_redis(watched.url) as reader:
        functions = FunctionLibrary(redis, "t", "sentinel", SOURCE)
        await functions.call("put", ["a"], {"value": "0"})
        reading = asyncio.create_task(reader.xread({"nothing": "$"}, block=4000))
        second = await watched.fail_over()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await value(second) != b"1":  # what the former primary accepts until then is lost
                await written(functions, "1")
        assert await asyncio.wait_for(asyncio.wait({reading}), 60)
        await watched.until_replicas(2)

        watched.send(second, signal.SIGKILL)
        third = await watched.until_switched(second)
        await written(functions, "2")
        assert await value(third) == b"2"

        await asyncio.gather(*(redis.ping() for _ in range(20)))  # open connections
        watched.send(third, signal.SIGSTOP)
        hanging = [asyncio.create_task(functions.call("put", ["a"], {"value": "3"})) for _ in range(20)]
        fourth = await watched.until_switched(third)
        async with asyncio.timeout(DEADLINE_SECONDS):  # the server itself would never answer
            results = await asyncio.gather(*hanging, return_exceptions=True)
        assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, RedisError)]
        await written(functions, "4")
        watched.send(third, signal.SIGCONT)
        await asyncio.sleep(0)
        assert await functions.call("put", ["a"], {"value": "5"}) in ("OK", b"OK")
        assert await value(fourth) == b"5"


async def written(functions: FunctionLibrary, content: str) -> None:
    """Write until it succeeds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                await functions.call("put", ["a"], {"value": content})
                return
            except (RedisError, OSError):
                await asyncio.sleep(0.05)


async def value(port: int) -> bytes | None:
    async with Redis(port=port) as redis:
        found: bytes | None = await redis.get("a")
        return found


async def test_a_sentinel_that_is_away_or_knows_nothing_is_no_obstacle(watched: Watched) -> None:
    hosts = watched.url.removeprefix("redis+sentinel://")
    async with open_redis(f"redis+sentinel://127.0.0.1:{free_port()},{hosts}") as redis:
        assert await redis.ping()
    async with open_redis(watched.url.replace(SERVICE, "others")) as redis:
        with pytest.raises(RedisConnectionError, match="no Sentinel names a primary for 'others'"):
            await redis.ping()


async def test_a_sentinel_that_missed_a_failover_does_not_send_clients_back(tmp_path: Path) -> None:
    former, present, informed, outdated = (free_port() for _ in range(4))
    primary = Primary(
        directory_of(parse_redis_url(f"redis+sentinel://127.0.0.1:{informed},127.0.0.1:{outdated}/{SERVICE}"))
    )

    async def located(port: int) -> None:
        async with asyncio.timeout(60):
            while (await primary.locate())[1] != port:  # one of them may be slow
                await asyncio.sleep(0.05)

    (tmp_path / "again").mkdir()
    try:
        with lone_sentinel(tmp_path, former, 0, outdated):
            with lone_sentinel(tmp_path, present, 3, informed) as process:
                await until_named(informed, present)
                await until_named(outdated, former)
                await located(present)
                process.send_signal(signal.SIGSTOP)
                assert (await primary.locate())[1] == present
            assert (await primary.locate())[1] == present
            with lone_sentinel(tmp_path / "again", former, 0, informed):  # reconfigured: now all name the other server
                await until_named(informed, former)
                await located(former)
    finally:
        await primary.remove_pool(primary)  # it has none; the questions end


async def until_named(sentinel: int, port: int) -> None:
    """Wait until a Sentinel names this server."""
    async with asyncio.timeout(60), Redis(port=sentinel, protocol=2) as redis:
        while True:
            with suppress(RedisError, OSError):
                if (await redis.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE))[1] == b"%d" % port:
                    return
            await asyncio.sleep(0.05)

"""Commands that are written without redis-py's task and timer: the same bytes, errors and limits."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from newswire.storage.direct_connection import MAX_JOINED_BYTES, MAX_UNSENT_BYTES
from newswire.storage.redis_client import open_redis


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("Zürich", "Zürich".encode()),
        (b"\x00\xff", b"\x00\xff"),
        (7, b"7"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (bytearray(b"a b"), b"a b"),
        (memoryview(b"c\r\nd"), b"c\r\nd"),
    ],
)
async def test_values_of_each_type_are_stored_as_redis_py_stores_them(
    redis_url: str, value: Any, stored: bytes
) -> None:
    async with open_redis(redis_url) as redis:
        await redis.set("direct-value", value)
        assert await redis.get("direct-value") == stored


@pytest.mark.parametrize("value", [None, True, ["a"]])
async def test_a_value_that_cannot_be_stored_is_refused_by_name(redis_url: str, value: Any) -> None:
    async with open_redis(redis_url) as redis:
        with pytest.raises(DataError, match=type(value).__name__):
            await redis.set("direct-value", value)
        assert await redis.ping()


async def test_a_name_of_two_words_is_two_arguments(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        assert await redis.execute_command("CONFIG GET", "maxmemory")
        assert await redis.execute_command(b"CONFIG GET", "maxmemory")


@pytest.mark.parametrize("size", [MAX_JOINED_BYTES // 2, MAX_UNSENT_BYTES, 20_000_000])
async def test_pipelines_of_any_size_are_answered_in_order(redis_url: str, size: int) -> None:
    async with open_redis(redis_url) as redis, redis.pipeline(transaction=False) as pipe:
        pipe.set("direct-large", b"x" * size).incr("direct-large").strlen("direct-large").get("direct-large")
        was_set, refused, length, found = await pipe.execute(raise_on_error=False)
        assert (was_set, length, len(found)) == (True, size, size)
        assert isinstance(refused, ResponseError)
        assert await redis.ping()


async def test_a_push_between_replies_is_no_reply_and_a_server_that_starts_ends_the_connection() -> None:
    """All of it arrives at once, so only the first reply is waited for."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"+a\r\n>2\r\n+invalidate\r\n+b\r\n+c\r\n-LOADING Redis is loading the dataset in memory\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_redis(f"redis://127.0.0.1:{port}/0") as redis:
            connection = redis.connection_pool.make_connection()
            connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
            connection._parser.on_connect(connection)
            await connection.send_command("ECHO", "a", check_health=False)
            assert [await connection.read_response() for _ in range(2)] == [b"a", b"c"]
            with pytest.raises(RedisConnectionError, match="loading"):
                await connection.read_response()
            assert not connection.is_connected


async def test_a_server_that_reads_nothing_is_not_waited_for_longer_than_the_timeout() -> None:
    async def ignore(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await release.wait()
        writer.transport.abort()

    release = asyncio.Event()
    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_redis(f"redis://127.0.0.1:{port}/0?socket_timeout=0.2&protocol=2") as redis:
            connection = redis.connection_pool.make_connection()
            connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises(RedisTimeoutError, match="writing"):
                await connection.send_command("SET", "direct-value", b"x" * 50_000_000, check_health=False)
            assert not connection.is_connected
        release.set()

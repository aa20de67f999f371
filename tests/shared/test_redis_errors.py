"""Error replies of Redis: clients get 503 with the cause, operators read it in the readiness check."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import APIRouter
from redis._parsers.base import BaseParser
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from newswire.http.application import Service, create_app
from newswire.settings import Settings
from newswire.storage.durability import durability_problem
from newswire.storage.memory_guard import MemoryGuard
from newswire.storage.redis_client import open_redis
from newswire.storage.redis_errors import unavailability
from newswire.storage.redis_functions import Call, FunctionLibrary
from tests.faults.stand import valkey_command
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.valkey import embedded_valkey, free_port

REPLIES = {
    "READONLY You can't write against a read only replica.": "switched to another server",
    "LOADING Valkey is loading the dataset in memory": "is starting",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "lost its primary",
    "NOREPLICAS Not enough good replicas to write.": "too few replicas",
    "CLUSTERDOWN The cluster is down": "cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot": "moving keys",
    "MOVED 3999 127.0.0.1:6381": "another node",
    "CROSSSLOT Keys in request don't hash to the same slot": "several slots",
    "BUSY Valkey is busy running a script.": "busy with a function",
    "NOPERM User u has no permissions to run the 'set' command": "lacks a permission",
    "ERR ACL failure in script: User u has no permissions to run the 'set' command": "lacks a permission",
    "WRONGPASS invalid username-password pair or user is disabled.": "user or the password",
    "OOM command not allowed when used memory > 'maxmemory'.": "is full",
    "MISCONF Errors writing to the AOF file: No space left on device": "write to its disk",
    "DENIED Redis is running in protected mode because protected mode is enabled": "own machine only",
    "ERR max number of clients reached": "as many connections",
    "ERR max number of clients + cluster connections reached": "as many connections",
    "ERR Error running script: Script killed by user with FUNCTION KILL. script: note": "an operator ended",
    "ERR unknown command 'FCALL', with args beginning with: 'note' '1'": "older than version 7",
    "ERR unknown command `FCALL`, with args beginning with: `note`, `1`, ": "older than version 7",
    "ERR unknown command `FUNCTION`, with args beginning with: `LOAD`, ": "older than version 7",
    "ERR Command is not available: 'FUNCTION'": "older than version 7",
    "unsupported command 'FCALL'": "older than version 7",
    "ERR Client sent AUTH, but no password is set": "user or the password",
}
LIBRARY = """
register('put', function(keys) return redis.call('SET', keys[1], '1') end)
register('put_elsewhere', function(keys) return redis.call('SET', keys[1] .. '/else', '1') end)
"""


@pytest.mark.parametrize("reply", REPLIES)
def test_the_cause_of_an_error_reply(reply: str) -> None:
    error = BaseParser.parse_error(reply)
    for _ in ("as it comes", "from a pipeline"):
        found = unavailability(error)
        assert found is not None
        assert REPLIES[reply] in found.cause
        error.args = (f"Command # 1 (SET a 1) of pipeline caused error: {error.args}",)


@pytest.mark.parametrize("reply", ["ERR syntax error", "WRONGTYPE Operation against a key", "NOGROUP No such key"])
def test_other_errors_are_no_outage(reply: str) -> None:
    assert unavailability(BaseParser.parse_error(reply)) is None


@pytest.fixture
async def server() -> AsyncIterator[Redis]:
    with embedded_valkey() as started:
        async with Redis(port=started.port) as redis:
            yield redis


async def write(redis: Redis, name: str) -> httpx.Response:
    """Write the key `t:a` by a request: with a command, a pipeline, a function, or functions in a pipeline."""
    functions = FunctionLibrary(redis, "t", "errors", LIBRARY)
    router = APIRouter()

    @router.post("/command")
    async def command() -> None:
        await redis.set("t:a", 1)

    @router.post("/pipeline")
    async def pipeline() -> None:
        async with redis.pipeline(transaction=False) as pipe:
            await pipe.set("t:a", 1).execute()

    @router.post("/function")
    async def function() -> None:
        await functions.call("put", ["t:a"], {})

    @router.post("/functions")
    async def batch() -> None:
        (reply,) = await functions.call_all([Call("put", ["t:a"], {})])
        if isinstance(reply, Exception):
            raise reply

    @router.post("/elsewhere")
    async def elsewhere() -> None:
        await functions.call("put_elsewhere", ["t:a"], {})

    app = create_app([Service("t", [router])], Settings(namespace="t"), redis=redis)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        return await http.post(f"/{name}")


async def test_refused_writes_are_answered_with_503_and_the_cause(server: Redis) -> None:
    paths = ("command", "pipeline", "function", "functions")
    assert [(await write(server, path)).status_code for path in paths] == [200] * 4
    await server.config_set("min-replicas-to-write", 1)
    for path in paths:
        answer = await write(server, path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1"), path
        assert "too few replicas" in answer.json()["detail"]
    await server.config_set("min-replicas-to-write", 0)
    await server.config_set("maxmemory", 1)
    answer = await write(server, "function")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    await server.config_set("maxmemory", 0)
    await server.replicaof("127.0.0.1", 1)
    for path in paths:
        assert "switched to another server" in (await write(server, path)).json()["detail"]
    assert "is a replica" in str(await durability_problem(server))


async def fill(redis: Redis) -> None:
    while True:
        await redis.set("t:a", "x" * 1000)


async def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    port = free_port()
    program = ["env", "--ignore-signal=XFSZ", *valkey_command(tmp_path, port), "--appendfsync", "everysec"]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL) as process:
        try:
            async with open_redis(f"redis://127.0.0.1:{port}/0") as redis:
                await asyncio.to_thread(until, lambda: (tmp_path / "appendonlydir").exists())
                async with asyncio.timeout(DEADLINE_SECONDS):
                    while await durability_problem(redis) is not None:
                        await asyncio.sleep(0.02)
                    psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (500, -1))
                    with pytest.raises(ResponseError, match="MISCONF"):
                        await fill(redis)
                    assert "its disk full" in str(await durability_problem(redis))
        finally:
            process.kill()


async def test_a_user_without_permissions_is_named_as_the_cause(server: Redis) -> None:
    await server.acl_setuser(
        "few", enabled=True, nopass=True, keys=["t:a"], commands=["+fcall", "+function|load", "+set", "+info", "+ping"]
    )
    port = server.connection_pool.connection_kwargs["port"]
    async with open_redis(f"redis://few:x@127.0.0.1:{port}/0") as few:
        assert (await write(few, "function")).status_code == 200
        for path in ("elsewhere",):
            answer = await write(few, path)
            assert (answer.status_code, "lacks a permission" in answer.json()["detail"]) == (503, True)
        assert await durability_problem(few) is None  # CONFIG is forbidden, INFO says enough
        await server.acl_setuser("few", enabled=True, commands=["-info"])
        for reported in (await durability_problem(few), await readiness(few)):
            assert "lacks a permission" in str(reported)
            assert "info" in str(reported)


async def readiness(redis: Redis) -> str:
    app = create_app([Service("t", checks={"memory": MemoryGuard(redis, 0.8).check})], Settings(), redis=redis)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
        return str((await http.get("/status")).json()["detail"])

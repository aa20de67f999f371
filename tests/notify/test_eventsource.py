"""The live stream, read by the EventSource of browsers, over a restart of the server."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from tests.notify.conftest import Desk, until
from tests.notify.notify_server import process_of_notify
from tests.npm import node_with
from tests.servers.valkey import free_port

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "eventsource"


@pytest.fixture(scope="session")
def browser() -> list[str]:
    """Return the command that reads an address by EventSource, installed beside it when it is not there yet."""
    return [node_with("eventsource", HERE), str(HERE / "listen.mjs")]


async def test_a_browser_with_a_token_receives_every_event_once(
    redis_url: str, redis: Redis, keys: Keyspace, desk: Desk, browser: list[str], tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    environment = {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": keys.namespace,
        "NEWSWIRE_ALLOW_VOLATILE": "true",
        "NEWSWIRE_PUBLIC_READ": "false",
    }
    key = await create_key(redis, keys, "Reading Room", {Scope.READ})
    lines: list[str] = []

    async def read(process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            lines.append(line.decode().strip())  # noqa: PERF401 (others look at it meanwhile)

    async with process_of_notify(port, environment, log) as http:
        headers = {"Authorization": f"Bearer {key.token}"}
        sent = {"filter": {"publishers": ["harbour-post"]}}
        token = (await http.post("/v1/stream/tokens", json=sent, headers=headers)).json()["token"]
        process = await asyncio.create_subprocess_exec(
            *browser,
            f"http://127.0.0.1:{port}/v1/stream?token={token}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        reading = asyncio.create_task(read(process))
        try:
            await until(lambda: lines == ["open"], 30)
            await desk.put("a1")
            await desk.put("b1", publisher="valley-times")
            await until(lambda: len(lines) == 2)
        except BaseException:
            process.kill()
            raise
    try:
        await desk.put("a2")  # while no server runs
        await desk.put_retraction("a1", 1)
        async with process_of_notify(port, environment, log):
            await until(lambda: len(lines) == 5, 30)
            await desk.put("a3")
            await until(lambda: len(lines) == 6)
    finally:
        process.kill()
        await process.wait()
        await reading

    def line(type_: str, event: str) -> str:
        return f"article.{type_}.v1 {event} {desk.entries[event].entry_id}"

    assert lines == [
        "open",
        line("published", "a1.1"),
        "open",
        line("published", "a2.1"),
        line("retracted", "a1.1.retracted"),
        line("published", "a3.1"),
    ]

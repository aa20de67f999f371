"""Notify as a process of its own: real sockets, real signals."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from tests.notify.conftest import Desk, Receiver, until
from tests.notify.notify_server import process_of_notify
from tests.servers.valkey import free_port

pytestmark = pytest.mark.slow


async def test_it_delivers_streams_and_stops_on_sigterm(
    redis_url: str, redis: Redis, keys: Keyspace, desk: Desk, receiver: Receiver, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    environment = {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": keys.namespace,
        "NEWSWIRE_ALLOW_VOLATILE": "true",
        "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
    }
    key = await create_key(redis, keys, "Reading Room", {Scope.SUBSCRIBE})
    reader = await create_key(redis, keys, "Reading Room", {Scope.READ})
    async with process_of_notify(free_port(), environment, log) as http:
        draft = {"channel": {"type": "webhook", "url": f"{receiver.url}/a"}}
        made = await http.post("/v1/subscriptions", json=draft, headers={"Authorization": f"Bearer {key.token}"})
        assert made.status_code == 201
        minted = await http.post("/v1/stream/tokens", headers={"Authorization": f"Bearer {reader.token}"})
        token = minted.json()["token"]
        assert (await http.get("/v1/stream", params={"token": f"{token}x"})).status_code == 401
        # Still open when the service stops.
        stream = await http.send(http.build_request("GET", "/v1/stream", params={"token": token}), stream=True)
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        entry = await desk.put("a1")
        assert await anext(lines) == f"id: {entry.entry_id}"
        await until(lambda: receiver.events("/a") == ["a1.1"])
    output = log.read_text()
    assert token[8:40] not in output
    assert key.token.split("_")[2] not in output

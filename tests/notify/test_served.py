"""Notify as a process of its own: real sockets, real signals."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
from redis.asyncio import Redis

from newswire.accounts import Scope, create_key
from newswire.keyspace import Keyspace
from tests.notify.conftest import Desk, Receiver, until


async def test_it_delivers_streams_and_ends_on_sigterm(
    redis_url: str, redis: Redis, keys: Keyspace, desk: Desk, receiver: Receiver, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": keys.namespace,
        "NEWSWIRE_ALLOW_VOLATILE": "true",
        "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "newswire_notify", "--port", str(port), env=environment, stderr=output, stdout=output
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:

            async def ready() -> bool:
                assert process.returncode is None
                try:
                    return (await http.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready, 30)
            key = await create_key(redis, keys, "Reading Room", {Scope.SUBSCRIBE})
            draft = {"channel": {"type": "webhook", "url": f"{receiver.url}/a"}}
            made = await http.post("/v1/subscriptions", json=draft, headers={"Authorization": f"Bearer {key.token}"})
            assert made.status_code == 201
            reader = {"Authorization": f"Bearer {(await create_key(redis, keys, 'Reading Room', {Scope.READ})).token}"}
            token = (await http.post("/v1/stream/tokens", headers=reader)).json()["token"]
            assert (await http.get("/v1/stream", params={"token": f"{token}x"})).status_code == 401
            async with http.stream("GET", "/v1/stream", params={"token": token}) as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "retry: 2000"
                entry = await desk.put("a1")
                assert await anext(lines) == f"id: {entry.entry_id}"
                await until(lambda: receiver.events("/a") == ["a1.1"])
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), 30) == 0
            told = log.read_text()
            assert token[8:40] not in told
            assert key.token.split("_")[2] not in told
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

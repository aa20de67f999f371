"""The real ingest app with a real server."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.storage.article_records import unpack
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings
from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import free_port

ARTICLE = {"title": "Harbour bridge reopens", "body": "<p>The bridge is open again.</p><p>Trams run from noon.</p>"}


@dataclass(frozen=True)
class Ingest:
    """What a test needs of a running ingest."""

    http: httpx.AsyncClient
    redis: Redis
    keys: Keyspace
    app: FastAPI
    settings: IngestSettings

    def with_settings(self, **other: Any) -> "Ingest":
        """Return the same with an app of other settings."""
        settings = self.settings.model_copy(update=other)
        app = create_app([assemble(self.redis, settings)], settings, redis=self.redis)
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")
        return Ingest(http, self.redis, self.keys, app, settings)

    async def events(self) -> list[dict[str, Any]]:
        """Return the events on the stream, oldest first."""
        return [orjson.loads(fields[b"__data__"]) for _, fields in await self.redis.xrange(self.keys.stream)]

    async def key(self, account: str, *scopes: Scope) -> dict[str, str]:
        """Create a key; return the header that contains it."""
        created = await create_key(self.redis, self.keys, account, set(scopes))
        return {"Authorization": f"Bearer {created.token}"}

    async def everything(self) -> bytes:
        """Return everything stored in the namespace, as one bytes object."""
        return "\n".join((await self.everything_of("")).values()).encode()

    async def everything_of(self, *beginnings: str) -> dict[str, str]:
        """Return everything stored under keys with these prefixes, by key name."""
        found: dict[str, str] = {}
        async for name in self.redis.scan_iter(f"{self.keys.namespace}:*"):
            own = name.decode().removeprefix(f"{self.keys.namespace}:")
            if own.startswith(beginnings):
                found[own] = repr(await self._value(name))
        return found

    async def _value(self, name: bytes) -> Any:
        match kind := await self.redis.type(name):
            case b"hash":
                fields = await self.redis.hgetall(name)
                return sorted((field, unpack(value)) for field, value in fields.items())
            case b"stream":
                return await self.redis.xrange(name)
            case b"set":
                return sorted(await self.redis.smembers(name))
            case b"zset":
                return await self.redis.zrange(name, 0, -1)
            case b"string":
                return await self.redis.get(name)
            case _:
                raise AssertionError(kind)


@pytest.fixture
def settings(redis_url: str, namespace: str) -> IngestSettings:
    return IngestSettings(
        redis_url=redis_url,
        namespace=namespace,
        public_url="https://news.example",
        allow_volatile=True,
    )


@pytest.fixture
async def ingest(redis: Redis, settings: IngestSettings) -> AsyncIterator[Ingest]:
    app = create_app([assemble(redis, settings)], settings, redis=redis)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example") as http:
        yield Ingest(http, redis, Keyspace(settings.namespace), app, settings)


@pytest.fixture
async def publisher(ingest: Ingest) -> dict[str, str]:
    return await ingest.key("Harbour Gazette", Scope.PUBLISH)


@pytest.fixture
async def served(redis_url: str, namespace: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port = free_port()
    environment = {
        **os.environ,
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": namespace,
        "NEWSWIRE_ALLOW_VOLATILE": "true",
        "PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "newswire_ingest", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url) as http, asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                if (await http.get("/status")).status_code == 200:
                    break
            except httpx.TransportError:
                assert process.returncode is None
            await asyncio.sleep(0.05)
    yield process, url
    if process.returncode is None:
        process.kill()
        await process.wait()

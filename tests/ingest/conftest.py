"""The real ingest app over a real server."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from newswire.accounts import Scope, create_key
from newswire.app import create_app
from newswire.keyspace import Keyspace
from newswire.records import unpack
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings

ARTICLE = {"title": "Harbour bridge reopens", "body": "<p>The bridge is open again.</p><p>Trams run from noon.</p>"}


@dataclass(frozen=True)
class Ingest:
    """What a test needs of a running ingest."""

    http: httpx.AsyncClient
    redis: Redis
    keys: Keyspace
    app: FastAPI

    async def events(self) -> list[dict[str, Any]]:
        """Return the events on the stream, oldest first."""
        return [orjson.loads(fields[b"__data__"]) for _, fields in await self.redis.xrange(self.keys.stream)]

    async def key(self, account: str, *scopes: Scope) -> dict[str, str]:
        """Make a key; return the header that carries it."""
        created = await create_key(self.redis, self.keys, account, set(scopes))
        return {"Authorization": f"Bearer {created.token}"}

    async def everything(self) -> bytes:
        """Return all that is stored under the namespace, as one run of bytes."""
        found = []
        async for name in self.redis.scan_iter(f"{self.keys.namespace}:*"):
            kind = await self.redis.type(name)
            match kind:
                case b"hash":
                    found.append(repr({k: unpack(v) for k, v in (await self.redis.hgetall(name)).items()}))
                case b"stream":
                    found.append(repr(await self.redis.xrange(name)))
                case b"set":
                    found.append(repr(await self.redis.smembers(name)))
                case b"zset":
                    found.append(repr(await self.redis.zrange(name, 0, -1)))
                case b"string":
                    found.append(repr(await self.redis.get(name)))
                case other:
                    raise AssertionError(other)
        return "\n".join(found).encode()


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
        yield Ingest(http, redis, Keyspace(settings.namespace), app)


@pytest.fixture
async def publisher(ingest: Ingest) -> dict[str, str]:
    return await ingest.key("Harbour Gazette", Scope.PUBLISH)

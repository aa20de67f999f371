"""After a failover of Redis that lost the latest writes, ingest repeats those that it acknowledged."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from newswire.auth.credentials import Scope
from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire.storage.redis_functions import Call
from newswire_ingest.app import assemble
from newswire_ingest.articles import recent_writes, repeating_writer
from newswire_ingest.articles.recent_writes import RecentWrites
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import ARTICLE, Ingest
from tests.servers.valkey import embedded_valkey


class Switching:
    """A server that turns into its replica: what the replica did not get is lost, and the replication id is another one."""

    def __init__(self, redis: Redis, replica: Redis, port: int) -> None:
        self.redis = redis
        self._replica = replica
        self._port = port

    async def follow(self) -> None:
        """Let the replica get everything so far."""
        await self._replica.replicaof("127.0.0.1", self._port)
        await self._until_linked(self._replica)
        await self.redis.execute_command("WAIT", 1, 5000)

    async def stop_following(self) -> None:
        """From now on, what is written is lost."""
        await self._replica.replicaof("NO", "ONE")

    async def switch(self) -> None:
        """Go on with what the replica has."""
        await self.redis.replicaof("127.0.0.1", self._replica.connection_pool.connection_kwargs["port"])
        await self._until_linked(self.redis)
        await self.redis.replicaof("NO", "ONE")

    async def _until_linked(self, redis: Redis) -> None:
        async with asyncio.timeout(60):
            while (await redis.info("replication")).get("master_link_status") != "up":
                await asyncio.sleep(0.02)


@pytest.fixture
async def switching(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Switching]:
    monkeypatch.setattr(repeating_writer, "GRACE_SECONDS", 0.2)
    fast = {"repl-diskless-sync-delay": 0}
    with embedded_valkey(config=fast) as first, embedded_valkey(config=fast) as second:
        async with Redis(port=first.port) as redis, Redis(port=second.port) as replica:
            yield Switching(redis, replica, first.port)


@dataclass(frozen=True)
class Process(Ingest):
    """An ingest of its own on the server."""

    service: Service


def process(switching: Switching) -> Process:
    settings = IngestSettings(namespace="n", public_url="https://news.example", allow_volatile=True)
    service = assemble(switching.redis, settings)
    app = create_app([service], settings, redis=switching.redis)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")
    return Process(http, switching.redis, Keyspace("n"), app, settings, service)


async def sent(ingest: Ingest, key: dict[str, str], method: str, path: str, **article: Any) -> dict[str, Any]:
    body = None if method == "DELETE" else ARTICLE | article
    answer = await ingest.http.request(method, f"/v1/articles{path}", headers=key, json=body)
    assert answer.status_code < 300, answer.text
    return dict(answer.json())


async def test_acknowledged_writes_are_repeated_before_new_ones(switching: Switching) -> None:
    ingest = process(switching)
    key = await ingest.key("Harbour Gazette", Scope.PUBLISH)
    kept, changed, withdrawn = [(await sent(ingest, key, "POST", "", title=title))["id"] for title in "abc"]
    await switching.follow()
    await switching.stop_following()
    once = key | {"Idempotency-Key": "k1"}
    new = await sent(ingest, once, "POST", "", title="d", external_id="d")
    await sent(ingest, key, "PUT", f"/{changed}", title="b2")
    await sent(ingest, key, "PUT", f"/{withdrawn}", title="c2")
    await sent(ingest, key, "DELETE", f"/{withdrawn}")
    short_lived = (await sent(ingest, key, "POST", "", title="e"))["id"]
    await sent(ingest, key, "DELETE", f"/{short_lived}")
    before = {event["id"] for event in await ingest.events()}
    await switching.switch()
    assert (await sent(ingest, key, "PUT", f"/{changed}", title="b3"))["version"] == 3
    assert (await sent(ingest, once, "POST", "", title="d", external_id="d"))["id"] == new["id"]
    assert {event["id"] for event in await ingest.events()} == before | {f"{changed}.3"}
    statuses = {}
    for article in (kept, changed, withdrawn, new["id"], short_lived):
        found = (await ingest.http.get(f"/v1/articles/{article}", headers=key)).json()
        statuses[article] = (found["status"], found["version"])
    assert statuses == {
        kept: ("published", 1),
        changed: ("published", 3),
        withdrawn: ("retracted", 2),
        new["id"]: ("published", 1),
        short_lived: ("retracted", 1),
    }


async def test_a_process_without_requests_repeats_its_writes_as_well(switching: Switching) -> None:
    ingest = process(switching)
    key = await ingest.key("Harbour Gazette", Scope.PUBLISH)
    await switching.follow()
    await switching.stop_following()
    lost = (await sent(ingest, key, "POST", ""))["id"]
    stopping = asyncio.Event()
    watching = asyncio.ensure_future(ingest.service.loops["failovers of Redis"](stopping))
    await switching.switch()
    async with asyncio.timeout(60):
        while not await switching.redis.exists(ingest.keys.article(lost)):
            await asyncio.sleep(0.05)
    stopping.set()
    await watching


async def test_writes_of_several_processes_that_follow_each_other_are_repeated(switching: Switching) -> None:
    one, other = process(switching), process(switching)
    key = await one.key("Harbour Gazette", Scope.PUBLISH)
    article = (await sent(one, key, "POST", "", title="a1"))["id"]
    await sent(other, key, "POST", "", title="so that the process knows the server")
    await switching.follow()
    await switching.stop_following()
    await sent(one, key, "PUT", f"/{article}", title="a2")
    await sent(other, key, "PUT", f"/{article}", title="a3")
    await switching.switch()
    first, second = await asyncio.gather(
        sent(other, key, "POST", "", title="b"), sent(one, key, "PUT", f"/{article}", title="a4")
    )
    assert (first["version"], second["version"]) == (1, 4)


def call(article: str, function: str = "write", text: bytes = b"", record: str = "", action: str = "publish") -> Call:
    return Call(function, ["state", "version", record], {"id": article, "action": action}, [text])


def test_writes_are_kept_for_a_while_up_to_a_size_and_until_the_article_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    recent = RecentWrites(lambda: now)

    def kept() -> list[tuple[str, str]]:
        return [(write.article_id, write.call.function) for write in recent.all()]

    for article in "ab":
        recent.note(call(article), [b"OK", b"1-1"])
    recent.note(call("c"), [b"STALE"])
    recent.note(call("d"), RedisConnectionError("the reply is lost"))
    recent.note(call("e", record="k"), RedisConnectionError("the reply is lost"))
    recent.note(call("", record="k", action="nothing"), RedisConnectionError("the reply is lost"))
    recent.note(call("a", "retract"), [b"OK", b"1-2"])
    assert kept() == [("b", "write"), ("e", "write"), ("a", "retract")]
    now = 40.0
    recent.note(call("f", text=b"x" * 10_000), [b"OK", b"1-3"])
    now = 70.0
    assert kept() == [("f", "write")]
    monkeypatch.setattr(recent_writes, "MAX_BYTES", 15_000)
    recent.note(call("g", text=b"x" * 10_000), [b"OK", b"1-4"])
    assert kept() == [("g", "write")]

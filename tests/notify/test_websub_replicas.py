"""The hub in two processes of notify on one Redis: each update comes once, and a killed process loses none."""

import asyncio
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.websub.models import HubSubscription
from newswire_notify.websub.repository import HubSubscriptions
from tests.notify.conftest import SITE, until
from tests.notify.notify_server import running_process
from tests.notify.websub_parts import LATEST, FeedServer, Subscribers, http_server, report_indexed
from tests.servers.valkey import free_port

pytestmark = pytest.mark.slow

READERS = 24


class Replicas:
    """Processes of notify that share feeds and subscribers."""

    def __init__(self, redis: Redis, keys: Keyspace, environment: dict[str, str], log: Path) -> None:
        self.redis = redis
        self.keys = keys
        self.feeds = FeedServer()
        self.subscribers = Subscribers()
        self.store = HubSubscriptions(redis, keys)
        self._environment = environment
        self._log = log

    @asynccontextmanager
    async def process(self, **settings: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
        environment = self._environment | {"NEWSWIRE_FEEDS_URL": self.feeds.url} | settings
        async with running_process(free_port(), environment, self._log) as started:
            yield started

    async def subscribe(self, http: httpx.AsyncClient, path: str, **more: str) -> None:
        parameters = {"hub.mode": "subscribe", "hub.callback": self.subscribers.url + path, "hub.topic": LATEST} | more
        answer = await http.post("/hub", data=parameters)
        assert answer.status_code == 202, answer.text

    async def hold(self, count: int) -> None:
        async def reached() -> bool:
            return (await self.store.counts(""))[0] == count

        await until(reached)

    async def publish(self, body: str) -> None:
        self.feeds.put("/feeds/latest.atom", body)
        await report_indexed(self.redis, self.keys)

    async def all_got(self, paths: list[str], body: str) -> None:
        await until(lambda: all(body.encode() in self.subscribers.bodies(path) for path in paths))

    def received(self) -> Counter[tuple[str, bytes]]:
        return Counter((push.path, push.body) for push in self.subscribers.pushes)


@pytest.fixture
async def replicas(redis: Redis, redis_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Replicas]:
    environment = {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": namespace,
        "NEWSWIRE_ALLOW_VOLATILE": "true",
        "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
        "NEWSWIRE_PUBLIC_URL": SITE,
        "NEWSWIRE_HUB_RATE": "0",
    }
    opened = Replicas(redis, Keyspace(namespace), environment, tmp_path / "log")
    async with (
        http_server(opened.feeds.handle) as opened.feeds.url,
        http_server(opened.subscribers.handle) as opened.subscribers.url,
    ):
        yield opened


async def test_two_processes_verify_once_push_once_and_let_leases_end(replicas: Replicas) -> None:
    paths = [f"/{number}" for number in range(READERS)]
    async with replicas.process() as (_, first), replicas.process() as (_, second):
        for number, path in enumerate(paths):
            await replicas.subscribe(first if number % 2 else second, path)
        await replicas.hold(READERS)
        # It ends by itself, a little after the first update.
        ends = time.time() + 4
        await replicas.store.put(HubSubscription(LATEST, replicas.subscribers.url + "/lapsing", ends), None)
        for update in ("<feed>1</feed>", "<feed>2</feed>", "<feed>3</feed>", "<feed>4</feed>"):
            await replicas.publish(update)
            await replicas.all_got(paths, update)
        await until(lambda: time.time() > ends)
        await replicas.subscribe(first, paths[0])  # a renewal changes nothing else
        await replicas.subscribe(second, paths[1])
        await replicas.publish("<feed>5</feed>")
        await replicas.all_got(paths, "<feed>5</feed>")
        await until(lambda: len(replicas.subscribers.asked) == READERS + 2)
    received = replicas.received()
    assert {count for (path, _), count in received.items() if path != "/lapsing"} == {1}
    assert len([path for path, _ in received if path != "/lapsing"]) == READERS * 5
    assert ("/lapsing", b"<feed>5</feed>") not in received
    assert max(received.values()) == 1
    verified = Counter(path for path, _ in replicas.subscribers.asked)
    assert verified == {path: 2 if path in paths[:2] else 1 for path in paths}


async def test_what_a_killed_process_was_pushing_is_pushed_by_the_other(replicas: Replicas) -> None:
    paths = [f"/{number}" for number in range(READERS)]
    go_on = asyncio.Event()

    async def stuck(_: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response()

    async with AsyncExitStack() as stack:
        process, http = await stack.enter_async_context(replicas.process())
        for path in [*paths, "/stuck"]:
            await replicas.subscribe(http, path)
        await replicas.hold(READERS + 1)
        replicas.subscribers.on_push["/stuck"] = stuck
        await replicas.publish("<feed>1</feed>")
        await replicas.all_got([*paths, "/stuck"], "<feed>1</feed>")
        await stack.enter_async_context(replicas.process())
        process.kill()
        await process.wait()
        replicas.feeds.put("/feeds/latest.atom", "<feed>2</feed>")
        # As after the time of its claim.
        await replicas.redis.zadd(replicas.keys.deliveries.key("hub", "claimed"), {LATEST: 1})
        await replicas.all_got([*paths, "/stuck"], "<feed>2</feed>")
        go_on.set()
        await replicas.publish("<feed>3</feed>")
        await replicas.all_got([*paths, "/stuck"], "<feed>3</feed>")
    received = replicas.received()
    assert set(received.values()) == {1}


async def test_two_processes_deny_once_when_reading_is_no_longer_public(replicas: Replicas) -> None:
    for number in range(READERS):
        subscription = HubSubscription(LATEST, f"{replicas.subscribers.url}/{number}", time.time() + 3600)
        await replicas.store.put(subscription, None)
    closed: dict[str, Any] = {"NEWSWIRE_PUBLIC_READ": "false"}
    async with replicas.process(**closed), replicas.process(**closed):
        await replicas.hold(0)
        await until(lambda: len(replicas.subscribers.asked) >= READERS)
    denied = Counter((path, parameters["hub.mode"]) for path, parameters in replicas.subscribers.asked)
    assert denied == {(f"/{number}", "denied"): 1 for number in range(READERS)}

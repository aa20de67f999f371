"""The hub on a real Redis server, with a server of feeds and subscribers over real HTTP."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web
from redis.asyncio import Redis

from newswire.events import FIELD, INDEXED, ArticleIndexed, event
from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire_notify.settings import NotifySettings
from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.websub.composition import hub_parts
from newswire_notify.websub.repository import HubSubscriptions
from tests.notify.conftest import SITE, Clock, until
from tests.polling import DEADLINE_SECONDS

LATEST = f"{SITE}/feeds/latest.atom"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def http_server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class FeedServer:
    """Serves feeds with ETags, as search does."""

    def __init__(self) -> None:
        self.feeds: dict[str, tuple[str, bytes]] = {}
        """Path and query → content type and body."""
        self.failing: dict[str, web.Response] = {}
        self.links: dict[str, str] = {}
        """Path and query → the header ``Link``."""
        self.requested: list[tuple[str, str | None]] = []
        """Path and query, and the ETag that was sent."""
        self.url = ""

    def put(self, path: str, body: str | bytes, content_type: str = "application/atom+xml") -> None:
        self.feeds[path] = content_type, body.encode() if isinstance(body, str) else body

    def refuse(self, path: str, status: int, problem: str) -> None:
        body = {"type": f"urn:newswire:problem:{problem}", "title": "x", "status": status, "detail": f"no: {problem}"}
        self.failing[path] = web.json_response(body, status=status, content_type="application/problem+json")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        self.requested.append((path, request.headers.get("If-None-Match")))
        if path in self.failing:
            failing = self.failing[path]
            return web.Response(status=failing.status, body=failing.body, headers=failing.headers)
        content_type, body = self.feeds.get(path, ("application/atom+xml", b"<feed/>"))
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        link = {"Link": self.links[path]} if path in self.links else {}
        return web.Response(body=body, headers={"Content-Type": content_type, "ETag": tag, **link})


@dataclass
class Push:
    """A push as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Subscribers:
    """Callbacks: they confirm every request and accept every push, unless a test says otherwise for a path."""

    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and parameters of GET requests."""
    pushes: list[Push] = field(default_factory=list)
    on_ask: dict[str, Handler] = field(default_factory=dict)
    on_push: dict[str, Handler] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            self.asked.append((request.path, dict(request.query)))
            answer = self.on_ask.get(request.path)
            return await answer(request) if answer else web.Response(text=request.query.get("hub.challenge", ""))
        body = await request.read()
        self.pushes.append(Push(request.path, dict(request.headers), body))
        answer = self.on_push.get(request.path)
        return await answer(request) if answer else web.Response(status=204)

    def modes(self, path: str) -> list[str]:
        return [parameters["hub.mode"] for asked, parameters in self.asked if asked == path]

    def bodies(self, path: str) -> list[bytes]:
        return [push.body for push in self.pushes if push.path == path]


@dataclass
class RunningHub:
    """A hub with what surrounds it."""

    http: httpx.AsyncClient
    redis: Redis
    keys: Keyspace
    feeds: FeedServer
    subscribers: Subscribers
    clock: Clock
    subscriptions: HubSubscriptions
    stop: Callable[[], Awaitable[None]]

    async def request(self, mode: str, path: str, topic: str = LATEST, **more: str) -> httpx.Response:
        parameters = {"hub.mode": mode, "hub.callback": self.subscribers.url + path, "hub.topic": topic}
        return await self.http.post("/hub", data=parameters | {f"hub.{name}": value for name, value in more.items()})

    async def subscribe(self, path: str, topic: str = LATEST, **more: str) -> None:
        """Subscribe, and wait until the subscription holds."""
        response = await self.request("subscribe", path, topic, **more)
        assert response.status_code == 202, response.text
        await self.holds(path, topic)

    async def holds(self, path: str, topic: str = LATEST, *, present: bool = True) -> None:
        async def holds() -> bool:
            found = await self.subscriptions.get(topic, self.subscribers.url + path)
            return (found is not None) is present

        await until(holds)

    async def verified(self, path: str, times: int) -> None:
        """Wait until a callback was asked so often, and nothing is left to verify."""
        await until(lambda: len(self.subscribers.modes(path)) >= times)

    async def indexed(self, article: str = "a1", version: int = 1) -> None:
        """Report what search reports when a version became searchable, or a retracted one disappeared."""
        await report_indexed(self.redis, self.keys, article, version)

    async def published(self, body: str, path: str = "/feeds/latest.atom", **more: Any) -> None:
        """Change a feed, and report it."""
        self.feeds.put(path, body, **more)
        await self.indexed()

    async def quiet(self) -> None:
        """Wait until no topic is queued or claimed, and everything was read."""

        async def quiet() -> bool:
            # In the order in which work moves on: what is read later cannot have come from what was read before.
            last = (await self.redis.xinfo_stream(self.keys.outcomes))["last-generated-id"]
            groups = {each["name"]: each for each in await self.redis.xinfo_groups(self.keys.outcomes)}
            group = groups[b"websub"]
            if group["pending"] != 0 or group["last-delivered-id"] != last:
                return False
            left = [await self.redis.zcard(self.keys.deliveries.key("hub", name)) for name in ("changed", "claimed")]
            return left == [0, 0]

        await until(quiet)


async def report_indexed(redis: Redis, keys: Keyspace, article: str = "a1", version: int = 1) -> None:
    """Report what search reports when a version became searchable."""
    data = ArticleIndexed(id=article, version=version, index="embedded", latency_ms=1.0)
    said = event(INDEXED, data, id_=f"{article}.{version}.indexed", source=f"{SITE}/search", subject=article)
    await redis.xadd(keys.outcomes, {FIELD: said.to_json()})


def hub_settings(namespace: str, feeds_url: str, **more: Any) -> NotifySettings:
    return NotifySettings.model_validate(
        {
            "namespace": namespace,
            "public_url": SITE,
            "feeds_url": feeds_url,
            "allow_volatile": True,
            "webhook_allow_private": True,
            "webhook_timeout": 60,
            "hub_rate": 0,
        }
        | more
    )


@asynccontextmanager
async def running_hub(
    redis: Redis,
    namespace: str,
    feeds: FeedServer,
    subscribers: Subscribers,
    *,
    clock: Clock | None = None,
    retry_delays: tuple[float, ...] = (0.0, 0.0),
    min_interval: float = 0.02,
    **settings: Any,
) -> AsyncIterator[RunningHub]:
    """Run the hub's part of notify, with its loops; at the end it is stopped as by a signal.

    Feeds are fetched again sooner than in production, and its consumer ends sooner.
    """
    own = hub_settings(namespace, feeds.url, **settings)
    keys, moment = Keyspace(namespace), clock or Clock()
    policy = AddressPolicy(own.webhook_allow_private, own.webhook_ports, own.webhook_refused_networks)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(WebhookHttpClient(policy, connect=60))
        parts = await stack.enter_async_context(
            hub_parts(
                redis,
                redis,
                keys,
                client,
                policy,
                own,
                clock=moment,
                retry_delays=retry_delays,
                min_interval=min_interval,
                block_ms=20,
            )
        )
        service = Service("notify", parts.routers, parts.loops, parts.checks, brokers=[parts.broker])
        app = create_app([service], own, redis=redis)
        stopping: asyncio.Event = app.state.stopping
        loops = [asyncio.ensure_future(loop(stopping)) for loop in parts.loops.values()]

        async def stop() -> None:
            stopping.set()
            await asyncio.wait_for(asyncio.gather(*loops), 60)

        transport = httpx.ASGITransport(app)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=SITE, timeout=DEADLINE_SECONDS)
        )
        try:

            async def consuming() -> bool:
                return await parts.broker.check() is None

            await until(consuming)
            store = HubSubscriptions(redis, keys, moment)
            yield RunningHub(http, redis, keys, feeds, subscribers, moment, store, stop)
        finally:
            await stop()

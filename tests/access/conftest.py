"""One app of ingest and notify, two accounts, and one object of each kind that belongs to the first of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from redis.asyncio import Redis

from newswire.auth.accounts import create_account
from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire.observability.audit import COMMAND_LINE
from newswire.timestamps import utc_now
from newswire.users.models import User
from newswire.users.roles import Role
from newswire.users.service import UserService
from newswire_ingest.app import assemble
from newswire_ingest.imports.models import COUNTED, Import, ImportState
from newswire_ingest.imports.repository import ImportRepository
from newswire_ingest.settings import IngestSettings
from newswire_notify.app import service as notify_service
from newswire_notify.settings import NotifySettings
from tests.polling import DEADLINE_SECONDS

OWN, OTHER = "Harbour Post", "Tide Times"
SITE = "https://news.example"
MARK = "zanzibarite"
"""A word that every object of the first account contains: no other account may ever read it."""
PASSWORD = "velvet ferry onion quay"


@dataclass(frozen=True)
class Route:
    """A route of the services."""

    method: str
    path: str
    is_api: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(services: list[Service]) -> list[Route]:
    """Return all routes of services: those of the OpenAPI document, and pages."""
    return [
        Route(method, route.path, route.include_in_schema)
        for service in services
        for router in service.routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


@dataclass
class Installation:
    """What the tests of access need."""

    app: FastAPI
    http: httpx.AsyncClient
    redis: Redis
    keys: Keyspace
    users: UserService
    routes: list[Route]
    ids: dict[str, str]
    """What stands for each parameter of a path: an object of the first account."""

    async def key(self, account: str, *scopes: Scope) -> dict[str, str]:
        """Return the header of a new key."""
        return {"Authorization": f"Bearer {(await create_key(self.redis, self.keys, account, set(scopes))).token}"}

    async def user(self, email: str, account: str, *roles: Role) -> User:
        """Create a user without a password."""
        memberships = {account: frozenset(roles)}
        return await self.users.create(email, email.partition("@")[0].title(), memberships, by=COMMAND_LINE)

    def path(self, route: Route) -> str:
        """Return the path of a route with real ids."""
        filled = route.path.replace(":path}", "}")
        for name, value in self.ids.items():
            filled = filled.replace(f"{{{name}}}", value)
        assert "{" not in filled, f"{route}: the parameter of this path needs an object in `Installation.ids`"
        return filled

    async def opened(self, path: str, headers: dict[str, str]) -> httpx.Response:
        """Open a page that may be a live stream, which does not end by itself: of one that is admitted, return the head."""
        url, head, body, known = httpx.URL(SITE).join(path), list[Any](), bytearray(), asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                head.append(message)
                complete = False
            else:
                body.extend(message.get("body", b""))
                complete = not message.get("more_body", False)
            if complete or head[0]["status"] == 200:
                known.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "headers": [
                (name.lower().encode(), value.encode()) for name, value in ({"host": url.host} | headers).items()
            ],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "server": (url.host, 443),
            "client": ("127.0.0.1", 123),
            "root_path": "",
        }
        reading = asyncio.create_task(self.app(scope, asyncio.Event().wait, send))  # type: ignore[arg-type]
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.wait({reading, asyncio.create_task(known.wait())}, return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        await asyncio.wait({reading})
        return httpx.Response(head[0]["status"], headers=head[0]["headers"], content=bytes(body))

    async def records(self) -> dict[bytes, str]:
        """Return everything that is stored about articles, drafts, media, subscriptions and newsletters of the first account."""
        kinds = (
            "article:",
            "draft",
            "media",
            "external:",
            "{",
            "subscription",
            "newsletter",
            "labels:",
            "account:",
            "user:",
        )
        found = {}
        async for name in self.redis.scan_iter(f"*{self.keys.namespace}*", count=1000):
            own = name.decode().partition(f"{self.keys.namespace}")[2].removeprefix("}").removeprefix(":")
            if own.startswith(kinds):
                found[name] = repr(await self.redis.dump(name))
        return found


async def _import(redis: Redis, keys: Keyspace) -> str:
    """Store an import of the first account that waits to be started."""
    counts = dict.fromkeys(COUNTED, 0)
    new = Import("imp1", OWN, f"{MARK}.xml", 9, True, False, "", "Ida", utc_now(), ImportState.READY, counts)
    await ImportRepository(redis, keys).add(new, 9)
    return new.id


async def _created(http: httpx.AsyncClient, path: str, body: Any, headers: dict[str, str]) -> str:
    response = await http.post(path, json=body, headers=headers)
    assert response.status_code in (200, 201), response.text
    return str(response.json()["id"])


@pytest.fixture
async def installation(redis: Redis, redis_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Installation]:
    own: dict[str, Any] = {
        "redis_url": redis_url,
        "namespace": namespace,
        "data_dir": tmp_path,
        "public_url": SITE,
        "allow_volatile": True,
        "authentication_failures": 0,
        "read_rate": 0,
        "read_rate_per_key": 0,
        "read_concurrency": 0,
    }
    async with AsyncExitStack() as stack:
        settings = IngestSettings(**own)
        notify = await stack.enter_async_context(notify_service(NotifySettings(**own, hub_rate=0, live_heartbeat=0.01)))
        services = [assemble(redis, settings), notify]
        app = create_app(services, settings, redis=redis)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE, timeout=DEADLINE_SECONDS)
        )
        keys = Keyspace(namespace)
        for account in (OWN, OTHER):
            await create_account(redis, keys, account)
        made = Installation(app, http, redis, keys, UserService(redis, keys), routes_of(services), {})
        publisher, subscriber = await made.key(OWN, Scope.PUBLISH), await made.key(OWN, Scope.SUBSCRIBE)
        article = {"title": f"Bridge {MARK}", "body": f"<p>{MARK}</p>", "external_id": "bridge-1"}
        newsletter = {
            "slug": "ferries",
            "name": f"Ferries {MARK}",
            "description": "What moves.",
            "sender": {"name": "Harbour Post", "address": "news@harbour.example"},
        }
        webhook = {"channel": {"type": "webhook", "url": f"https://93.184.216.34/{MARK}"}}
        user = await made.user("ida@harbour.example", OWN, Role.WRITER)
        made.ids |= {
            "article_id": await _created(http, "/v1/articles", article, publisher),
            "import_id": await _import(redis, keys),
            "draft_id": await _created(http, "/v1/drafts", {"content": {"title": f"Draft {MARK}"}}, publisher),
            "subscription_id": await _created(http, "/v1/subscriptions", webhook, subscriber),
            "newsletter_id": await _created(http, "/v1/newsletters", newsletter, subscriber),
            "external_id": "bridge-1",
            "user_id": user.id,
            "key_id": (await create_key(redis, keys, OWN, {Scope.PUBLISH})).id,
            "media_id": "med_none",
            "delivery_id": "none",
            "name": "Harbour%20Post",
            "slug": "ferries",
            "token": "none",
            "provider": "none",
            "number": "1",
            "file": "none",
            "act": "publish",
        }
        yield made


async def asked(
    http: httpx.AsyncClient, route: Route, path: str, headers: dict[str, str], body: bytes | None = None
) -> httpx.Response:
    """Send a request with an empty object, unless there is a body."""
    sent = {"Content-Type": "application/json"} | headers if route.method in ("POST", "PUT", "PATCH") else headers
    content = body if body is not None else b"{}"
    async with asyncio.timeout(60):
        return await http.request(
            route.method, path, headers=sent, content=content if route.method in ("POST", "PUT", "PATCH") else None
        )

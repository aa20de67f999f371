"""The installation of `alert_drill`: one that has everything of which an alert can tell."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.object_storage.folder import FolderStorage
from newswire.storage.redis_client import open_redis
from newswire_ingest.archive.archiver import Archiver
from newswire_ingest.archive.repository import ArchiveRepository
from newswire_notify.newsletters.models import Choices, NewsletterDraft, Sender, SubscriberState
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.newsletters.subscribers import Subscribers
from tests.cli.running import BARE, NEWSWIRE
from tests.faults.stand import Process, Stand, valkey_command
from tests.servers.smtp_sink import SmtpSink, listen
from tests.servers.valkey import free_port

SETTINGS = {
    "NEWSWIRE_REDIS_MIN_REPLICAS": "1",
    "NEWSWIRE_WEBHOOK_CONCURRENCY": "2",  # slow ones may be eight times as many
    "NEWSWIRE_SUBSCRIPTION_WRITE_RATE": "0",
    "NEWSWIRE_DEAD_LETTER_LIMIT": "20",
    "NEWSWIRE_AOF_REWRITE_AFTER": "PT1S",
    "NEWSWIRE_MAIL_JITTER": "PT0S",
    "NEWSWIRE_MAIL_RATES": "*=0/s",
}
SLOW_SECONDS = 8.0
ENDPOINTS = 5
"""Subscriptions to every article, whose endpoints the faults make slow or let fail."""
READERS = 3
"""Open live streams."""
SEARCHES_A_SECOND = 1


@dataclass
class Scene:
    """The installation, and what can be broken of it."""

    folder: Path
    mail_url: str
    endpoint_url: str = ""
    built: Stand = field(init=False)
    operations: Process = field(init=False)
    primary: Process = field(init=False)
    replica: Process = field(init=False)
    publisher_key: str = field(init=False, repr=False)
    subscriber_key: str = field(init=False, repr=False)
    mood: Literal["well", "slow", "failing"] = "well"
    mail: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def archive(self) -> Path:
        """The folder of the archive."""
        return self.folder / "archive"

    @property
    def settings(self) -> dict[str, str]:
        """The settings of all services."""
        return SETTINGS | {"NEWSWIRE_SMTP_URL": self.mail_url, "NEWSWIRE_ARCHIVE_URL": self.archive.as_uri()}

    async def furnish(self, built: Stand) -> None:
        """Create subscriptions of the endpoint, and a newsletter with a reader."""
        self.built = built
        built.valkey = self.primary
        self.publisher_key = (await create_key(built.redis, built.keys, "harbour-post", {Scope.PUBLISH})).token
        self.subscriber_key = (await create_key(built.redis, built.keys, "alert-room", {Scope.SUBSCRIBE})).token
        await self.subscribe("every", "moorings", ENDPOINTS)
        newsletters = Newsletters(built.redis, built.keys)
        draft = NewsletterDraft(
            slug="moorings",
            name="Moorings",
            description="Where ships lie.",
            sender=Sender(name="Harbour Post", address="news@harbour.example"),
        )
        newsletter = await newsletters.add("harbour-post", draft)
        choices = Choices(Cadence.INSTANT, "UTC")
        await Subscribers(newsletters).add(
            newsletter, "reader@harbour.example", choices, {}, state=SubscriberState.ACTIVE
        )

    async def start_redis(self) -> str:
        """Start a primary, which outlives a full disk, and its replica; return the address of the primary."""
        port, other = free_port(), free_port()
        for name in ("primary", "replica"):
            (self.folder / name).mkdir()
        command = ["env", "--ignore-signal=XFSZ", *valkey_command(self.folder / "primary", port)]
        self.primary = Process("primary", command, dict(os.environ), port, self.folder / "primary.log")
        command = [*valkey_command(self.folder / "replica", other), "--replicaof", f"127.0.0.1 {port}"]
        self.replica = Process("replica", command, dict(os.environ), other, self.folder / "replica.log")
        self.primary.start()
        self.replica.start()
        url = f"redis://127.0.0.1:{port}/0"
        async with open_redis(url) as redis, asyncio.timeout(60):
            while not await _has_replica(redis):
                await asyncio.sleep(0.1)
        return url

    def start_operations(self) -> None:
        """Start the process that Prometheus asks."""
        addresses = {f"NEWSWIRE_{name.upper()}_URLS": ",".join(self.built.sites(name)) for name in self.built.services}
        port = free_port()
        command = [*NEWSWIRE, "serve", "operations", "--port", str(port)]
        self.operations = Process("operations", command, BARE | addresses, port, self.folder / "operations.log")
        self.operations.start()

    def archiver(self) -> Archiver:
        """Return what archives each text at once."""
        records = ArchiveRepository(self.built.redis, self.built.keys)
        return Archiver(records, FolderStorage(self.archive), 0)

    async def subscribe(self, path: str, word: str, count: int) -> None:
        """Subscribe the endpoint to articles with a word."""
        for number in range(count):
            url = f"{self.endpoint_url}/{path}/{number % 50}"
            wanted = {"channel": {"type": "webhook", "url": url}, "filter": {"query": word}}
            site = self.built.sites("notify")[0]
            status, answer = await self.ask("POST", f"{site}/v1/subscriptions", self.subscriber_key, wanted)
            assert status == 201, answer

    async def publish(self, title: str) -> str:
        """Publish one article; return its id."""
        status, answer = await self.ask(
            "POST", self.articles, self.publisher_key, {"title": title, "body": "<p>As above.</p>"}
        )
        assert status == 201, answer
        return str(answer["id"])

    @property
    def articles(self) -> str:
        """The address of the articles."""
        return f"{self.built.sites('ingest')[0]}/v1/articles"

    async def ask(self, method: str, url: str, key: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Send a request; return the status and the response."""
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body) as answer,
        ):
            return answer.status, await answer.json()

    async def search(self) -> None:
        """Search until cancelled, each time for another word."""
        number = 0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                number += 1
                url = f"{self.built.sites('search')[0]}/v1/search"
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url, params={"q": f"keel{number}"}) as answer:
                        await answer.read()
                await asyncio.sleep(1 / SEARCHES_A_SECOND)

    async def read_live(self) -> None:
        """Read the live stream until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{self.built.sites('notify')[0]}/v1/stream") as answer:
                        async for _ in answer.content.iter_any():
                            pass
                await asyncio.sleep(0.3)

    async def receive(self, request: web.Request) -> web.Response:
        """Handle a webhook."""
        await request.read()
        if request.path.startswith("/gone/"):
            return web.Response(status=410)
        if self.mood == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        return web.Response(status=500 if self.mood == "failing" else 204)


async def _has_replica(redis: "Redis") -> bool:
    try:
        return bool((await redis.info("replication"))["connected_slaves"])
    except RedisError:
        return False


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Run the endpoint and the mail server."""
    sink, port = SmtpSink(keep=False), free_port()
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    on = Scene(folder, f"smtp://127.0.0.1:{port}?starttls=never")
    app.router.add_post("/{path:.*}", on.receive)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    on.endpoint_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with on.mail:
            await on.mail.enter_async_context(listen(sink, port))
            yield on
    finally:
        await runner.cleanup()

"""The load during faults: a publisher that repeats requests until they are acknowledged, subscribers' endpoints, and listeners."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from tests.faults.journal import Heard, Journal, Reading, Receipt, Subscriber, Write

CATEGORIES = [f"Desk {number}" for number in range(25)]
TOPICS = [f"Topic {number}" for number in range(25)]
WORDS = [f"keel{number}" for number in range(25)]
SUBSCRIPTIONS, ENDPOINTS = 100, 50
KINDS = (("category", "categories", CATEGORIES), ("topic", "topics", TOPICS), ("word", "query", WORDS))
"""The conditions of subscriptions: name in the journal, member of the filter, possible values."""
MOST_UNDER_WAY = 400
RETRACTED_SHARE, CHANGED_SHARE = 0.1, 0.1
BODY = "".join(
    f"<p>Item {number}: the harbour board met again and agreed that {number} moorings need new chains.</p>"
    for number in range(12)
)


class LostArticleError(Exception):
    """An article that was acknowledged is not there."""


class Publisher:
    """Publishes, changes and retracts at a rate. A request is repeated, with its key, until it is acknowledged."""

    def __init__(self, journal: Journal, sites: Sequence[str], key: str, *, rate: float, seed: int) -> None:
        self.rate = rate
        self.tolerates_loss = False
        """Whether a fault may lose acknowledged articles: those are not changed any more."""
        self.slowest = 0.0
        """Seconds until the slowest request was acknowledged, including all its repeats."""
        self._journal = journal
        self._sites = list(sites)
        self._key = key
        self._random = random.Random(seed)
        self._published: list[Write] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._number = 0

    def send_to(self, sites: Sequence[str]) -> None:
        """Send all further requests to these addresses."""
        self._sites = list(sites)

    def begin_anew(self, key: str) -> None:
        """Go on with another key and without what was published before: the store was flushed."""
        self._key = key
        self._published.clear()

    async def rest(self) -> None:
        """Start no new requests, and wait for those in progress, until `rate` is set again."""
        self.rate = 0.0
        while self._under_way:
            await asyncio.sleep(0.05)

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until stopping is set, then wait for requests in progress."""
        timeout = aiohttp.ClientTimeout(total=20, connect=3)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            due = time.monotonic()
            while not stopping.is_set():
                if not self.rate:
                    await asyncio.sleep(0.05)
                    due = time.monotonic()
                    continue
                due += 1 / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self.rate and len(self._under_way) < MOST_UNDER_WAY:
                    task = asyncio.create_task(self._write(session))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
            await asyncio.gather(*self._under_way)

    async def _write(self, session: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        drawn = self._random.random() if len(self._published) > 50 else 1.0
        try:
            if drawn < RETRACTED_SHARE:
                await self._retract(session, self._one_of_them())
            elif drawn < RETRACTED_SHARE + CHANGED_SHARE:
                await self._change(session, self._one_of_them())
            else:
                await self._publish(session)
        except LostArticleError:
            if not self.tolerates_loss:
                raise
        self.slowest = max(self.slowest, time.monotonic() - began)

    def _one_of_them(self) -> Write:
        """Reserve an article, so that no other change is made to it meanwhile; not one of the newest."""
        return self._published.pop(self._random.randrange(len(self._published) - 20))

    async def _publish(self, session: aiohttp.ClientSession) -> None:
        self._number += 1
        title = f"Moorings {uuid4().hex} number {self._number} {self._random.choice(WORDS)}"
        self._journal.unanswered.add(title)
        await self._put(session, "POST", "/v1/articles", title, self._random.choice(TOPICS))
        self._journal.unanswered.discard(title)

    async def _change(self, session: aiohttp.ClientSession, write: Write) -> None:
        """Change the title and the category of an article, so that other subscriptions match."""
        kept, _, dropped = write.title.rpartition(" ")
        title = f"{kept} again {self._random.choice([word for word in WORDS if word != dropped])}"
        await self._put(session, "PUT", f"/v1/articles/{write.article}", title, write.topics[0])

    async def _put(self, session: aiohttp.ClientSession, method: str, path: str, title: str, topic: str) -> None:
        category = self._random.choice(CATEGORIES)
        article = {"title": title, "body": BODY, "category": category, "topics": [topic]}
        answer = await self._until_answered(session, method, path, {"Idempotency-Key": uuid4().hex}, article)
        write = Write(answer["id"], answer["version"], "published", title, category, (topic,))
        self._journal.writes.append(write)
        self._published.append(write)

    async def _retract(self, session: aiohttp.ClientSession, write: Write) -> None:
        answer = await self._until_answered(session, "DELETE", f"/v1/articles/{write.article}", {}, None)
        self._journal.writes.append(
            Write(write.article, answer["version"], "retracted", write.title, write.category, write.topics)
        )

    async def _until_answered(
        self, session: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], body: object
    ) -> dict[str, Any]:
        pause = 0.1
        while True:
            site = self._random.choice(self._sites)
            try:
                own = {"Authorization": f"Bearer {self._key}"}
                async with session.request(method, site + path, headers=own | headers, json=body) as answer:
                    if answer.status < 300:
                        said: dict[str, Any] = await answer.json()
                        return said
                    if answer.status == 404:
                        raise LostArticleError(path)
                    if answer.status < 500:
                        raise AssertionError(f"{method} {path}: {answer.status} {await answer.text()}")
                    self._journal.failed_requests.append(f"{method} {path}: {answer.status}")
            except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
                # It may or may not have been done.
                self._journal.failed_requests.append(f"{method} {path}: {error!r}")
            await asyncio.sleep(self._random.uniform(pause / 2, pause))
            pause = min(pause * 2, 2.0)


@asynccontextmanager
async def endpoints(journal: Journal) -> AsyncIterator[list[str]]:
    """Run the subscribers' endpoints: webhooks are verified, recorded and answered with 204. Yields their addresses."""

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        owner = next((one for one in journal.subscribers if one.path == request.path), None)
        said = json.loads(body)
        rank = said["data"]["version"] * 2 + said["type"].endswith(".retracted.v1")
        journal.receipts.append(
            Receipt(
                request.path,
                request.headers.get("webhook-id", ""),
                said["id"],
                said["subject"],
                rank,
                owner is not None and signed(owner, body, request.headers),
                time.time(),
            )
        )
        return web.Response(status=204)

    async with AsyncExitStack() as stack:
        addresses = []
        for _ in range(ENDPOINTS):
            app = web.Application()
            app.router.add_post("/{path:.*}", take)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        yield addresses


def signed(owner: Subscriber, body: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether a webhook has its subscription's signature."""
    try:
        Webhook(owner.secret).verify(body, {name.lower(): value for name, value in headers.items()})
    except WebhookVerificationError:
        return False
    return True


async def subscribe(journal: Journal, site: str, key: str, addresses: Sequence[str]) -> None:
    """Create the subscriptions: a third each by category, topic and a word in the title, distributed over the endpoints."""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(SUBSCRIPTIONS):
            by, name, values = KINDS[number % len(KINDS)]
            value = values[number // len(KINDS) % len(values)]
            path = f"/hook/{number}"
            wanted = {
                "channel": {"type": "webhook", "url": addresses[number % len(addresses)] + path},
                "filter": {name: value if name == "query" else [value]},
            }
            async with session.post(f"{site}/v1/subscriptions", json=wanted) as answer:
                assert answer.status == 201, await answer.text()
                made = await answer.json()
            journal.subscribers.append(Subscriber(made["id"], made["secret"], path, **{by: value}))


async def pull(reading: Reading, sites: Sequence[str], failed: list[str]) -> None:
    """Follow the events page by page until cancelled, from now on; start again after a flush."""
    asked = {"category": reading.category} if reading.category else {}
    after: dict[str, str] = {}
    asking = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30, connect=3)) as session:
        while True:
            site = sites[asking % len(sites)]
            asking += 1
            try:
                async with session.get(f"{site}/v1/events", params=asked | after | {"wait": "2"}) as answer:
                    if answer.status != 200:
                        raise aiohttp.ClientError(answer.status)
                    page = await answer.json()
            except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
                failed.append(f"{reading.place}: {error!r}")
                await asyncio.sleep(0.3)
                continue
            after = {"after": page["next"]}
            if page["restarted"]:
                after = {}
                reading.heard.clear()
            else:
                reading.heard.extend(Heard("", event["id"]) for event in page["events"])


async def listen(reading: Reading, sites: Sequence[str], failed: list[str]) -> None:
    """Follow the live stream until cancelled, and resume after every interruption."""
    asked = {"category": reading.category} if reading.category else {}
    last = ""
    asking = 0
    timeout = aiohttp.ClientTimeout(total=None, connect=3, sock_read=30)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session:
        while True:
            site = sites[asking % len(sites)]
            asking += 1
            headers = {"Last-Event-ID": last} if last else {}
            try:
                async with session.get(f"{site}/v1/stream", params=asked, headers=headers) as answer:
                    if answer.status != 200:
                        raise aiohttp.ClientError(answer.status)
                    entry = ""
                    async for raw in answer.content:
                        line = raw.decode().rstrip("\n")
                        if line.startswith("id: "):
                            entry = line[4:]
                        elif line.startswith("data: "):
                            event = json.loads(line[6:])
                            last = entry
                            if "id" in event:  # the others are about the stream itself
                                reading.heard.append(Heard(entry, event["id"]))
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failed.append(f"{reading.place}: {error!r}")
                await asyncio.sleep(0.3)

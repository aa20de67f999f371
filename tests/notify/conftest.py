"""Fixtures: a fan-out on a real Redis server, with an injected clock, and a real HTTP receiver."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis

from newswire.events import FIELD, PUBLISHED, RETRACTED, ArticlePublished, ArticleRetracted, decode, event
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import NOTIFY
from newswire.messaging.messages import Message
from newswire_notify.deliveries.models import ClaimedDelivery, Endpoint, ExpansionTurn
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.retention import Retention
from newswire_notify.deliveries.service import Deliveries
from newswire_notify.deliveries.worker import Worker
from newswire_notify.fanout.expansion import Expansion
from newswire_notify.fanout.handlers import FanOut
from newswire_notify.fanout.matcher import Matcher
from newswire_notify.subscriptions.models import EventKind, Subscription, SubscriptionDraft
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.rendering import Content
from newswire_notify.webhooks.sending import Sender, SendResult, Unsent
from newswire_notify.webhooks.service import Endpoints
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.webhooks.webhook_endpoint import Webhook

SITE = "https://news.example"
DAY = 86_400.0
TIMEOUT_SECONDS = 60.0
"""For connections and responses: long, so that no attempt fails on a busy machine."""
RETENTION = Retention(ended=7 * DAY, dead=30 * DAY, stream=7 * DAY, history_bytes=1_000_000, dead_count=1000)


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(0.02)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a folder for Unix sockets: their paths are limited to about a hundred bytes, and ``tmp_path`` names the test."""
    with tempfile.TemporaryDirectory(prefix="newswire-") as folder:
        yield Path(folder)


@dataclass
class ReceivedWebhook:
    """A webhook as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


Answer = Callable[[], Awaitable[web.StreamResponse]]


class Receiver:
    """Receives webhooks; responds with 204, or as the test configured for a path."""

    def __init__(self) -> None:
        self.got: list[ReceivedWebhook] = []
        self.answers: dict[str, Answer] = {}
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.got.append(ReceivedWebhook(request.path, dict(request.headers), await request.read()))
        answer = self.answers.get(request.path)
        return await answer() if answer else web.Response(status=204)

    def events(self, path: str) -> list[str]:
        """The ids of the events that a path received, in order."""
        return [got.event["id"] for got in self.got if got.path == path]

    def answer(self, path: str, *statuses: int, **headers: str) -> None:
        """Respond with these statuses in turn; the last one repeats."""
        left = list(statuses)

        async def next_answer() -> web.StreamResponse:
            status = left.pop(0) if len(left) > 1 else left[0]
            return web.Response(status=status, text=f"this is {status}", headers=headers)

        self.answers[path] = next_answer


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    taking = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{broadcaster:.*}", taking.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    taking.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield taking
    await runner.cleanup()


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Desk:
    """A complete fan-out, operated step by step: publish, fan out, deliver."""

    redis: Redis
    broker: EventBroker
    keys: Keyspace
    queue: Queue
    subscriptions: Subscriptions
    deliveries: Deliveries
    matcher: Matcher
    fan_out: FanOut
    expansion: Expansion
    worker: Worker
    endpoints: Endpoints
    clock: Clock
    entries: dict[str, Message] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    """Endpoints that never respond: their attempts time out at once. Others may take as long as a busy machine needs."""
    by_clock: bool = False
    """Whether stream entries and articles carry the time of the injected clock, not of the server."""

    async def subscribe(
        self,
        url: str,
        filter_: dict[str, Any] | None = None,
        *,
        account: str = "reader",
        events: Sequence[str] = ("published", "updated", "corrected", "retracted"),
        content: str = "full",
        **channel: Any,
    ) -> Subscription:
        draft = SubscriptionDraft(
            channel=Webhook.model_validate({"type": "webhook", "url": url} | channel),
            filter=Filter.model_validate(filter_ or {}),
            events=[EventKind(name) for name in events],
            content=Content(content),
        )
        return await self.subscriptions.add(account, draft)

    async def put(self, article_id: str, version: int = 1, **changes: Any) -> Message:
        """Publish a version as ingest does, without fanning it out."""
        article = published(article_id, version, **changes)
        said = event(
            PUBLISHED,
            article,
            id_=f"{article_id}.{version}",
            source=f"{SITE}/publishers/{article.publisher}",
            subject=article_id,
            time=self._now,
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        document = json.dumps(said.data)
        head = {"status": "published", "version": version, "updated_at": _written(self._now)}
        # Ingest writes all of it in one step: a reader of the event finds its document.
        await self.redis.hset(self.keys.version(article_id, version), "document", document)
        await self.redis.hset(self.keys.article(article_id), mapping=head)
        await self.redis.hdel(self.keys.article(article_id), "tombstone")
        await self.redis.zadd(self.keys.articles, {article_id: int(self.clock.now * 1000)}, nx=True)
        received = await self._append(said.to_json(), said.id)
        await self.redis.hset(self.keys.version(article_id, version), "entry", received.entry_id)
        return received

    async def put_retraction(self, article_id: str, version: int) -> Message:
        retracted_at = _written(self._now)
        for number in range(1, version + 1):
            await self.redis.delete(self.keys.version(article_id, number))
        tombstone = ArticleRetracted(
            id=article_id,
            version=version,
            publisher="harbour-post",
            reason="planted by a prankster",
            retracted_at=retracted_at,
        )
        head = {"status": "retracted", "updated_at": retracted_at, "tombstone": tombstone.model_dump_json()}
        await self.redis.hset(self.keys.article(article_id), mapping=head)
        said = event(
            RETRACTED,
            tombstone,
            id_=f"{article_id}.{version}.retracted",
            source=f"{SITE}/publishers/harbour-post",
            subject=article_id,
        )
        return await self._append(said.to_json(), said.id)

    async def _append(self, data: bytes, event_id: str) -> Message:
        wanted = f"{int(self.clock.now * 1000)}-*" if self.by_clock else "*"
        entry_id = (await self.redis.xadd(self.keys.stream, {FIELD: data}, wanted)).decode()
        envelope, payload = decode({FIELD.encode(): data})
        self.entries[event_id] = Message(entry_id, envelope, payload)
        return self.entries[event_id]

    @property
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now, UTC) if self.by_clock else datetime.now(UTC)

    async def publish(self, article_id: str, version: int = 1, **changes: Any) -> None:
        """Publish a version and fan it out."""
        await self.fan_out([await self.put(article_id, version, **changes)])

    async def retract(self, article_id: str, version: int = 1) -> None:
        await self.fan_out([await self.put_retraction(article_id, version)])

    async def expand(self) -> None:
        """Expand the unfinished plans."""
        while await self.expansion.step() is ExpansionTurn.EXPANDED:
            pass

    async def deliver(self) -> None:
        """Deliver everything that is due."""
        await self.expand()
        await self.worker.until_idle()

    async def states(self, subscription: Subscription) -> dict[str, str]:
        """Event → state of the delivery."""
        return {row["event"]: row["state"] for row in (await self.deliveries.of(subscription.id, 100)).rows}


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def published(article_id: str, version: int = 1, **changes: Any) -> ArticlePublished:
    fields = {
        "id": article_id,
        "version": version,
        "publisher": "harbour-post",
        "url": f"{SITE}/articles/{article_id}",
        "title": "The ferry leaves on time",
        "body": "<p>It crossed the sound before dawn.</p>",
        "text": "It crossed the sound before dawn.",
        "category": "Transport",
        "published_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
        "kind": "published" if version == 1 else "updated",
    }
    return ArticlePublished.model_validate(fields | changes)


@dataclass
class ImpatientSender:
    """Sends with a short timeout to the endpoints that never respond."""

    patient: Sender
    impatient: Sender
    hanging: set[str]

    async def send(self, delivery: ClaimedDelivery, body: bytes, traceparent: str | None) -> SendResult:
        return await self._sender(delivery).send(delivery, body, traceparent)

    def begin(
        self,
        delivery: ClaimedDelivery,
        body: bytes,
        traceparent: str | None,
        ended: Callable[[SendResult | Unsent], None],
    ) -> "asyncio.Future[Any] | None":
        return self._sender(delivery).begin(delivery, body, traceparent, ended)

    def _sender(self, delivery: ClaimedDelivery) -> Sender:
        return self.impatient if delivery.endpoint.url in self.hanging else self.patient


@asynccontextmanager
async def opened_desk(
    redis: Redis,
    keys: Keyspace,
    clock: Clock,
    *,
    deliveries: Redis | None = None,
    chunk: int = 500,
    retention: Retention = RETENTION,
) -> AsyncIterator[Desk]:
    queue = Queue(deliveries or redis, keys, retention=retention, clock=clock, beside_records=deliveries is None)
    matcher = Matcher(queue.redis, keys)
    broker = EventBroker(GroupMember(redis, keys, NOTIFY))
    async with WebhookHttpClient(
        AddressPolicy(allow_private=True, answers_shown=True), connect=TIMEOUT_SECONDS
    ) as http_client:
        sender = Sender(http_client, clock, timeout=TIMEOUT_SECONDS)
        short_timeout = Sender(http_client, clock, timeout=0.2)
        hanging: set[str] = set()

        post = ImpatientSender(sender, short_timeout, hanging)
        worker = Worker(queue, redis, keys, post, SITE, clock=clock, uniform=lambda low, high: (low + high) / 2)
        fan_out = FanOut(matcher, queue, redis, broker, keys, clock=clock, workers=[worker], chunk=chunk)
        yield Desk(
            redis,
            broker,
            keys,
            queue,
            Subscriptions(queue, redis, keys),
            Deliveries(queue, redis, keys),
            matcher,
            fan_out,
            Expansion(queue, broker, keys, clock=clock, chunk=chunk),
            worker,
            Endpoints(queue, sender, SITE),
            clock,
            hanging=hanging,
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(redis: Redis, keys: Keyspace, clock: Clock) -> AsyncIterator[Desk]:
    async with opened_desk(redis, keys, clock) as opened:
        yield opened


def claimed_delivery(url: str) -> ClaimedDelivery:
    """A claimed delivery to an address."""
    to = Endpoint("s1", url, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    return ClaimedDelivery("msg_1", 1, 0, "a1.1", PUBLISHED, "a1", 1, "matched", to, b"{}")

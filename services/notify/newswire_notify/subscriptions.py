"""Subscriptions: who wants to be told of what, and how."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator
from redis.asyncio import Redis
from ulid import ULID

from newswire.filters import Filter
from newswire.functions import Argument
from newswire.keyspace import Keyspace
from newswire.stream import newest_entry
from newswire_notify.channel import Webhook
from newswire_notify.health import HEALTHY, Health, health
from newswire_notify.queue import Queue, former_secrets
from newswire_notify.rendering import Content
from newswire_notify.signing import new_secret

SCHEMA = 1


class Wanted(StrEnum):
    """What may happen to an article that a subscriber is told of."""

    PUBLISHED = "published"
    UPDATED = "updated"
    CORRECTED = "corrected"
    RETRACTED = "retracted"


class SubscriptionDraft(BaseModel):
    """What a subscriber sends to subscribe."""

    model_config = ConfigDict(extra="forbid")

    channel: Webhook
    filter: Filter = Field(default_factory=Filter)
    events: list[Wanted] = list(Wanted)
    content: Content = Content.FULL

    @field_validator("events")
    @classmethod
    def _retractions_cannot_be_left_out(cls, events: list[Wanted]) -> list[Wanted]:
        if Wanted.RETRACTED not in events:
            raise ValueError("must include 'retracted': whoever was sent an article must learn that it was withdrawn")
        return [wanted for wanted in Wanted if wanted in events]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it is stored."""

    id: str
    account: str
    channel: Webhook
    filter: dict[str, Any]
    events: list[str]
    content: str
    status: str
    created_at: datetime
    secret: str = field(repr=False)
    former_secrets: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """Those that still sign, each until its time (seconds since the epoch)."""
    status_reason: str | None = None
    health: Health = HEALTHY

    def shown(self) -> dict[str, Any]:
        """Return what its owner may see of it at any time: all but the secrets."""
        return {
            "id": self.id,
            "channel": self.channel.shown(),
            "filter": self.filter,
            "events": self.events,
            "content": self.content,
            "status": self.status,
            "status_reason": self.status_reason,
            "endpoint": self.health.shown(),
            "created_at": self.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }


class TooMany(Exception):
    """The account has as many subscriptions as it may have."""


def definition(filter_: Filter, events: Sequence[str]) -> tuple[str, bytes]:
    """Return the digest under which equal filters share their matching, and what it stands for."""
    canonical = f"{filter_.canonical()}\n{','.join(sorted(events))}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:32]
    return digest, orjson.dumps(
        {"filter": filter_.model_dump(mode="json", exclude_defaults=True), "events": list(events)}
    )


class Subscriptions:
    """The subscriptions of one namespace. Times are seconds since the epoch."""

    def __init__(self, queue: Queue, records: "Redis", keys: Keyspace, *, keep: float = 7 * 86_400) -> None:
        self._queue = queue
        self._redis = queue.redis
        self._records = records
        self._keys = keys
        self._keep = int(keep * 1000)

    async def add(self, account: str, draft: SubscriptionDraft, *, limit: int = 1000) -> Subscription:
        """Subscribe an account; what is published from now on is delivered.

        Raises:
            TooMany: the account has ``limit`` subscriptions already.
        """
        now = time.time()
        events = [str(wanted) for wanted in draft.events]
        digest, meaning = definition(draft.filter, events)
        subscription = Subscription(
            id=f"sub_{str(ULID()).lower()}",
            account=account,
            channel=draft.channel,
            filter=draft.filter.model_dump(mode="json", exclude_defaults=True),
            events=events,
            content=str(draft.content),
            status="active",
            created_at=datetime.fromtimestamp(now, UTC),
            secret=new_secret(),
        )
        fields: dict[str, Argument] = {
            "schema": SCHEMA,
            **channel_fields(draft.channel),
            "filter": orjson.dumps(subscription.filter),
            "events": ",".join(events),
            "content": subscription.content,
            "status": subscription.status,
            "created": int(now * 1000),
            "secret": subscription.secret,
        }
        arguments: list[Argument] = [
            self._queue.prefix,
            subscription.id,
            account,
            digest,
            meaning,
            await newest_entry(self._records, self._keys.stream),
            limit,
            int(now * 1000),
        ]
        for pair in fields.items():
            arguments += pair
        if await self._queue.functions.call("subscribe", [], arguments) == -1:
            raise TooMany
        return subscription

    async def get(self, account: str, subscription_id: str) -> Subscription | None:
        """Return an account's subscription, or None where it has no such one."""
        fields: dict[bytes, bytes] = await self._redis.hgetall(self._keys.key("subscription", subscription_id))
        found = _read(fields) if fields else None
        return found if found and found.account == account else None

    async def of(self, account: str) -> list[Subscription]:
        """Return all subscriptions of an account, oldest first."""
        ids = await self._redis.zrange(self._keys.key("subscriptions", account), 0, -1)
        async with self._redis.pipeline(transaction=False) as pipe:
            for subscription_id in ids:
                pipe.hgetall(self._keys.key("subscription", subscription_id.decode()))
            found = await pipe.execute()
        return [_read(fields) for fields in found if fields]

    async def remove(self, account: str, subscription_id: str) -> bool:
        """End a subscription and whatever of it waits to be delivered; return whether the account had it."""
        arguments: list[Argument] = [self._queue.prefix, subscription_id, account, self._queue.now, self._keep]
        return bool(await self._queue.functions.call("unsubscribe", [], arguments))


def channel_fields(channel: Webhook) -> dict[str, Argument]:
    """Return a channel as the record of its subscription holds it; what is not set is empty."""
    return {
        "url": channel.url,
        "headers": orjson.dumps(channel.headers),
        "rate": channel.rate or "",
        "concurrency": channel.concurrency or "",
        "notices": int(channel.notices),
    }


def _read(fields: dict[bytes, bytes]) -> Subscription:
    return Subscription(
        id=fields[b"id"].decode(),
        account=fields[b"account"].decode(),
        channel=Webhook(
            type="webhook",
            url=fields[b"url"].decode(),
            headers=orjson.loads(fields.get(b"headers", b"{}")),
            rate=float(fields[b"rate"]) if fields.get(b"rate") else None,
            concurrency=int(fields[b"concurrency"]) if fields.get(b"concurrency") else None,
            notices=fields.get(b"notices") == b"1",
        ),
        filter=orjson.loads(fields[b"filter"]),
        events=fields[b"events"].decode().split(","),
        content=fields[b"content"].decode(),
        status=fields[b"status"].decode(),
        created_at=datetime.fromtimestamp(int(fields[b"created"]) / 1000, UTC),
        secret=fields[b"secret"].decode(),
        former_secrets=former_secrets(fields.get(b"previous", b"[]")),
        status_reason=fields[b"status_reason"].decode() if b"status_reason" in fields else None,
        health=health(fields, time.time()),
    )

"""Storage of subscriptions."""

import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from redis.asyncio import Redis
from ulid import ULID

from newswire.auth.credentials import read_entitlement
from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures, Filter, FilterInput
from newswire.keys import Keyspace
from newswire.messaging.stream_position import newest_entry
from newswire.storage.redis_functions import Argument
from newswire.timestamps import epoch_ms
from newswire.validation.fields import Moment, Text
from newswire_notify.deliveries.queue import Queue, read_former_secrets
from newswire_notify.subscriptions.account_limits import NO_LIMITS, AccountLimits, check_limits
from newswire_notify.webhooks.circuit_breaker import HEALTHY, EndpointHealth, read_health
from newswire_notify.webhooks.rendering import Content
from newswire_notify.webhooks.signing import new_secret
from newswire_notify.webhooks.webhook_endpoint import Webhook

SCHEMA = 1
MAX_FILTER_CHANGES = 200
"""How often the criteria of a subscription may change: each change adds a past membership, which is kept."""
PAGE = 200
NOTIFY_GROUP = "notify"
"""The consumer group of the fan-out."""
ENDED_RETENTION_MS = 30 * 86_400_000
DEFAULT_LIMITS = AccountLimits()


class PausedBy(StrEnum):
    """Who paused a subscription: its ``status_reason``. Only the same can resume it."""

    OWNER = ""
    OPERATOR = "operator"
    ACCOUNT = "account_disabled"


_PAUSED_BY_OTHERS = {
    PausedBy.OPERATOR.value: "an operator paused it, and only an operator can resume it",
    PausedBy.ACCOUNT.value: "its account is disabled",
}


class EventKind(StrEnum):
    """Kinds of events that a subscription can receive."""

    PUBLISHED = "published"
    UPDATED = "updated"
    CORRECTED = "corrected"
    RETRACTED = "retracted"


Labels = Annotated[
    dict[
        Annotated[Text, StringConstraints(min_length=1, max_length=50, pattern="^[^:]+$")],
        Annotated[Text, StringConstraints(max_length=200)],
    ],
    Field(max_length=20),
]


class SubscriptionDraft(BaseModel):
    """The members of a subscription that its owner sends and can change."""

    model_config = ConfigDict(extra="forbid")

    channel: Webhook
    filter: FilterInput = Field(default_factory=Filter)
    events: list[EventKind] = list(EventKind)
    content: Content = Content.FULL
    labels: Labels = {}
    """Your own names and values, by which lists can be filtered."""

    @field_validator("events")
    @classmethod
    def _retractions_cannot_be_left_out(cls, events: list[EventKind]) -> list[EventKind]:
        if EventKind.RETRACTED not in events:
            raise ValueError("must include 'retracted': recipients of an article must learn of its retraction")
        return [wanted for wanted in EventKind if wanted in events]


class NewSubscription(SubscriptionDraft):
    """The body of a request that creates a subscription."""

    start: Literal["now"] | Moment = "now"
    """Start time: current versions published since then are delivered too."""


@dataclass(frozen=True, slots=True)
class SubscriptionCriteria:
    """What a subscription matches: its filter and events, narrowed by the entitlement of its account."""

    filter: Filter
    events: Sequence[str]
    entitlement: Filter | None = None

    def digest(self) -> str:
        """Return the digest that equal criteria share, so that they are matched once."""
        canonical = f"{self.filter.canonical()}\n{','.join(sorted(self.events))}"
        if self.entitlement is not None:
            canonical += f"\n{self.entitlement.canonical()}"
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def matches(self, article: ArticlePublished) -> bool:
        """Return whether a version matches, regardless of what was sent before."""
        if article.silent or str(article.kind) not in self.events:
            return False
        features = ArticleFeatures.of(article)
        return self.filter.matches(features) and (self.entitlement is None or self.entitlement.matches(features))


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
    labels: dict[str, str] = field(default_factory=dict)
    revision: str = "1"
    entitlement: str | None = None
    """Entitlement of its account as JSON; None: everything."""
    former_secrets: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """Secrets that still sign, each with its end (seconds since the epoch)."""
    status_reason: str | None = None
    status_note: str | None = None
    """The note of the operator who paused it."""
    verified_origin: str | None = None
    """The origin from which its URL consented to receive webhooks."""
    health: EndpointHealth = HEALTHY

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> "Subscription":
        """Read a subscription from its record."""
        return cls(
            id=fields[b"id"].decode(),
            account=fields[b"account"].decode(),
            channel=stored_channel(fields),
            filter=orjson.loads(fields[b"filter"]),
            events=fields[b"events"].decode().split(","),
            content=fields[b"content"].decode(),
            status=fields[b"status"].decode(),
            created_at=datetime.fromtimestamp(int(fields[b"created"]) / 1000, UTC),
            secret=fields[b"secret"].decode(),
            labels=orjson.loads(fields.get(b"labels", b"{}")),
            revision=fields.get(b"revision", b"1").decode(),
            entitlement=fields[b"entitlement"].decode() if fields.get(b"entitlement") else None,
            former_secrets=read_former_secrets(fields.get(b"former_secrets", b"[]")),
            status_reason=fields[b"status_reason"].decode() if b"status_reason" in fields else None,
            status_note=fields[b"status_note"].decode() if fields.get(b"status_note") else None,
            verified_origin=fields[b"verified_origin"].decode() if fields.get(b"verified_origin") else None,
            health=read_health(fields, time.time()),
        )

    def criteria(self) -> SubscriptionCriteria:
        """Return its criteria."""
        return SubscriptionCriteria(
            Filter.model_validate(self.filter), tuple(self.events), entitlement_of(self.entitlement)
        )

    def members(self) -> dict[str, Any]:
        """Return the members that its owner sends. Never show them: headers may be secrets."""
        return {
            "channel": self.channel.model_dump(exclude_defaults=True),
            "filter": self.filter,
            "events": self.events,
            "content": self.content,
            "labels": self.labels,
        }

    def public_view(self) -> dict[str, Any]:
        """Return what its owner may see at any time: everything but the secrets."""
        created = self.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        verified = {"verified_origin": self.verified_origin} if self.verified_origin else {}
        return {
            "id": self.id,
            **self.members(),
            "channel": self.channel.public_view() | verified,
            "status": self.status,
            "status_reason": self.status_reason,
            "status_note": self.status_note,
            "endpoint": self.health.public_view(),
            "created_at": created,
        }


class AccountSuspendedError(Exception):
    """The account is disabled and cannot create subscriptions."""


class SubscriptionConflictError(Exception):
    """The state of a subscription does not allow a change; the message says why."""


class Subscriptions:
    """The subscriptions of one namespace. Times are seconds since the epoch."""

    def __init__(self, queue: Queue, records: "Redis", keys: Keyspace) -> None:
        self._queue = queue
        self._redis = queue.redis
        self._records = records
        self._keys = keys

    async def add(
        self,
        account: str,
        draft: SubscriptionDraft,
        *,
        since: datetime | None = None,
        limits: AccountLimits = DEFAULT_LIMITS,
        entitlement: str | None = None,
        verified_origin: str | None = None,
    ) -> Subscription:
        """Create a subscription. It receives later events and, where ``since`` is given, current versions from that time on.

        ``verified_origin``: the origin from which the URL has just consented to receive webhooks.

        Raises:
            AccountLimitError: the account would exceed one of its limits.
            AccountSuspendedError: the account is disabled.
        """
        now = time.time()
        subscription = Subscription(
            id=f"sub_{str(ULID()).lower()}",
            account=account,
            channel=draft.channel,
            filter=draft.filter.model_dump(mode="json", exclude_defaults=True),
            events=[str(wanted) for wanted in draft.events],
            content=str(draft.content),
            status="active",
            created_at=datetime.fromtimestamp(now, UTC),
            secret=new_secret(),
            labels=draft.labels,
            entitlement=entitlement,
            verified_origin=verified_origin,
        )
        arguments: list[Argument] = [
            self._queue.prefix,
            subscription.id,
            account,
            subscription.criteria().digest(),
            await newest_entry(self._records, self._keys.stream),
            limits.new_subscription(),
            int(now * 1000),
            *(("", "") if since is None else (last_id_before(epoch_ms(since)), epoch_ms(since))),
            *_flat(_fields(subscription)),
            *_flat({"schema": SCHEMA, "status": "active", "created": int(now * 1000), "secret": subscription.secret}),
        ]
        answer = await self._queue.functions.call("subscribe", [], arguments)
        check_limits(answer)
        if answer == b"SUSPENDED":
            raise AccountSuspendedError
        return subscription

    async def get(self, account: str, subscription_id: str) -> Subscription | None:
        """Return a subscription of an account, or None."""
        fields: dict[bytes, bytes] = await self._redis.hgetall(self._queue.key("subscription", subscription_id))
        found = Subscription.read(fields) if fields else None
        return found if found and found.account == account else None

    async def of(self, account: str, after: tuple[int, str] | None = None) -> AsyncIterator[Subscription]:
        """Go through the subscriptions of an account, oldest first; those after one of a creation time in ms where asked."""
        since: float | str = after[0] if after else "-inf"
        seen: set[bytes] = set()
        while found := await self._redis.zrange(
            self._queue.key("subscriptions", account),
            since,
            "+inf",
            byscore=True,
            offset=0,
            num=PAGE + len(seen),
            withscores=True,
        ):
            fresh = [item for item in found if item[0] not in seen]
            if not fresh:
                return
            wanted = [sub for sub, created in fresh if after is None or (int(created), sub.decode()) > after]
            async with self._redis.pipeline(transaction=False) as pipe:
                for subscription_id in wanted:
                    pipe.hgetall(self._queue.key("subscription", subscription_id.decode()))
                records = await pipe.execute()
            for fields in records:
                if fields:
                    yield Subscription.read(fields)
            since = found[-1][1]
            seen = {sub for sub, score in found if score == since}

    async def update(
        self,
        found: Subscription,
        draft: SubscriptionDraft,
        limits: AccountLimits = DEFAULT_LIMITS,
        verified_origin: str | None = None,
    ) -> bool:
        """Change a subscription; return False where a concurrent change came first.

        An unchanged URL keeps its consent; ``verified_origin``: the origin from which a URL has just consented.

        It keeps receiving later versions and retractions of articles that it was sent, whatever its new criteria.

        Raises:
            SubscriptionConflictError: its criteria were changed too often.
            AccountLimitError: the account would exceed one of its limits.
        """
        if draft.channel.url == found.channel.url:
            verified_origin = verified_origin or found.verified_origin
        changed = replace(
            found,
            verified_origin=verified_origin,
            channel=draft.channel,
            filter=draft.filter.model_dump(mode="json", exclude_defaults=True),
            events=[str(wanted) for wanted in draft.events],
            content=str(draft.content),
            labels=draft.labels,
        )
        return await self._update(found, changed, limits.changed_subscription(MAX_FILTER_CHANGES))

    async def set_entitlement(self, found: Subscription, entitlement: str | None) -> bool:
        """Apply an entitlement to a subscription; return False where a concurrent change came first.

        The members that its owner sent are not checked again, even if limits and rules have changed.
        """
        if found.entitlement == entitlement:
            return True
        return await self._update(found, replace(found, entitlement=entitlement), NO_LIMITS)

    async def _update(self, found: Subscription, changed: Subscription, limits: bytes) -> bool:
        arguments: list[Argument] = [
            self._queue.prefix,
            found.id,
            found.account,
            found.revision,
            changed.criteria().digest(),
            limits,
            *_flat(_fields(changed)),
        ]
        answer = await self._queue.functions.call("update", [], arguments)
        check_limits(answer)
        if answer == b"TOO_MANY_CHANGES":
            raise SubscriptionConflictError(
                f"its filter was changed {MAX_FILTER_CHANGES} times, the limit; create a new subscription"
            )
        return bool(answer == b"OK")

    async def pause(self, found: Subscription, by: PausedBy = PausedBy.OWNER, note: str = "") -> None:
        """Pause a subscription until ``by`` resumes it; its owner can read the note.

        Raises:
            SubscriptionConflictError: it is disabled.
        """
        handled: bytes | None = await self._records.get(self._keys.checkpoint(NOTIFY_GROUP))
        arguments: list[Argument] = [
            self._queue.prefix,
            found.id,
            found.account,
            handled or "0-0",
            self._queue.now,
            by,
            note,
        ]
        if await self._queue.functions.call("pause", [], arguments) == b"DISABLED":
            raise SubscriptionConflictError("it is disabled")

    async def resume(self, found: Subscription, by: PausedBy = PausedBy.OWNER) -> bool:
        """Resume a subscription; return False where a concurrent change came first.

        Held deliveries become due, and a backfill covers the pause.

        Raises:
            SubscriptionConflictError: it is disabled, or someone else paused it.
        """
        arguments: list[Argument] = [
            self._queue.prefix,
            found.id,
            found.account,
            found.revision,
            found.criteria().digest(),
            self._queue.now,
            by,
        ]
        answer = await self._queue.functions.call("resume", [], arguments)
        if answer == b"DISABLED":
            raise SubscriptionConflictError("it is disabled")
        if answer == b"PAUSED_BY_OTHER":
            raise SubscriptionConflictError(
                _PAUSED_BY_OTHERS.get(found.status_reason or "", "it was not paused by an operator")
            )
        return bool(answer != b"STALE")

    async def remove(self, account: str, subscription_id: str, operator_reason: str = "") -> bool:
        """Delete a subscription and cancel its waiting deliveries; return whether the account owned it.

        Where an operator deletes it, its owner can read the reason for 30 days (`ended_by_operator`).
        """
        arguments: list[Argument] = [
            self._queue.prefix,
            subscription_id,
            account,
            self._queue.now,
            self._queue.keep_ms,
            operator_reason,
            ENDED_RETENTION_MS,
        ]
        return bool(await self._queue.functions.call("unsubscribe", [], arguments))

    async def ended_by_operator(self, account: str, subscription_id: str) -> str | None:
        """Return an operator's reason for deleting a subscription, or None where none did so in the last 30 days."""
        found = await self._redis.hmget(self._queue.key("ended", subscription_id), "account", "reason")
        return found[1].decode() if found[0] == account.encode() else None

    async def find(self, subscription_id: str) -> Subscription | None:
        """Return a subscription of any account: for operators."""
        fields: dict[bytes, bytes] = await self._redis.hgetall(self._queue.key("subscription", subscription_id))
        return Subscription.read(fields) if fields else None


def channel_fields(channel: Webhook) -> dict[str, Argument]:
    """Return a channel as the record fields of its subscription; unset ones are empty."""
    return {
        "url": channel.url,
        "headers": orjson.dumps(channel.headers),
        "rate": channel.rate or "",
        "concurrency": channel.concurrency or "",
        "verify": int(channel.verify),
        "notices": int(channel.notices),
    }


def stored_channel(fields: Mapping[bytes, bytes]) -> Webhook:
    """Read a channel from the record of its subscription, without validation: it passed the rules of the time it was written."""
    return Webhook.model_construct(
        type="webhook",
        url=fields[b"url"].decode(),
        headers=orjson.loads(fields.get(b"headers", b"{}")),
        rate=float(fields[b"rate"]) if fields.get(b"rate") else None,
        concurrency=int(fields[b"concurrency"]) if fields.get(b"concurrency") else None,
        verify=fields.get(b"verify") == b"1",
        notices=fields.get(b"notices") == b"1",
    )


def last_id_before(moment_ms: int) -> str:
    """Return the last possible id of a stream entry before a time."""
    return f"{max(moment_ms - 1, 0)}-{2**64 - 1}"


def entitlement_of(stored: str | None) -> Filter | None:
    """Return the stored entitlement of an account as a filter; None: everything."""
    return None if stored is None else read_entitlement(stored)


def _flat(fields: Mapping[str, Argument]) -> list[Argument]:
    return [part for pair in fields.items() for part in pair]


def _fields(subscription: Subscription) -> dict[str, Argument]:
    """Return the record fields that may change; unset ones are empty."""
    return {
        **channel_fields(subscription.channel),
        "filter": orjson.dumps(subscription.filter),
        "events": ",".join(subscription.events),
        "content": subscription.content,
        "labels": orjson.dumps(subscription.labels),
        "entitlement": subscription.entitlement or "",
        "verified_origin": subscription.verified_origin or "",
    }

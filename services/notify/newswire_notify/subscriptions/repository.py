"""Storage of subscriptions."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import orjson
from redis.asyncio import Redis
from ulid import ULID

from newswire.keys import Keyspace
from newswire.messaging.stream_position import newest_entry
from newswire.timestamps import epoch_ms
from newswire_notify.deliveries.queue import Queue
from newswire_notify.subscriptions.account_limits import NO_LIMITS, AccountLimits, LimitArguments, check_limits
from newswire_notify.subscriptions.errors import AccountSuspendedError, SubscriptionConflictError
from newswire_notify.subscriptions.models import (
    PausedBy,
    Subscription,
    SubscriptionDraft,
    channel_fields,
)
from newswire_notify.subscriptions.status_changes import change_status, enable, pause, resume
from newswire_notify.webhooks.signing import new_secret

SCHEMA = 1
MAX_FILTER_CHANGES = 200
"""How often the criteria of a subscription may change: each change adds a past membership, which is kept."""
PAGE = 200
NOTIFY_GROUP = "notify"
"""The consumer group of the fan-out."""
ENDED_RETENTION_MS = 30 * 86_400_000
DEFAULT_LIMITS = AccountLimits()


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
        created = int(now * 1000)
        backfill = (
            {}
            if since is None
            else {"backfill_after": last_id_before(epoch_ms(since)), "backfill_since": epoch_ms(since)}
        )
        answer = await self._queue.call(
            "subscribe",
            id=subscription.id,
            account=account,
            digest=subscription.criteria().digest(),
            newest_entry=await newest_entry(self._records, self._keys.stream),
            limits=limits.new_subscription(),
            created=created,
            fields={
                **_fields(subscription),
                "schema": SCHEMA,
                "status": "active",
                "created": created,
                "secret": subscription.secret,
            },
            **backfill,
        )
        check_limits(answer, subscription.channel.url)
        if answer == b"SUSPENDED":
            raise AccountSuspendedError
        return subscription

    async def get(self, account: str, subscription_id: str) -> Subscription | None:
        """Return a subscription of an account, or None."""
        fields: dict[bytes, bytes] = await self._redis.hgetall(self._queue.key("subscription", subscription_id))
        found = Subscription.read(fields) if fields else None
        return found if found and found.account == account else None

    async def of(self, account: str, after: tuple[int, str] | None = None) -> AsyncIterator[Subscription]:
        """Yield the subscriptions of an account, oldest first, optionally those after a creation time in ms and an id."""
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
    ) -> bool | None:
        """Change a subscription; return whether anything was changed, or None where a concurrent change came first.

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
        if _fields(changed) == _fields(found):
            return False
        return True if await self._update(found, changed, limits.changed_subscription(MAX_FILTER_CHANGES)) else None

    async def set_entitlement(self, found: Subscription, entitlement: str | None) -> bool:
        """Apply an entitlement to a subscription; return False where a concurrent change came first.

        The members that its owner sent are not checked again, even if limits and rules have changed.
        """
        if found.entitlement == entitlement:
            return True
        return await self._update(found, replace(found, entitlement=entitlement), NO_LIMITS)

    async def _update(self, found: Subscription, changed: Subscription, limits: LimitArguments) -> bool:
        answer = await self._queue.call(
            "update",
            id=found.id,
            account=found.account,
            revision=found.revision,
            digest=changed.criteria().digest(),
            limits=limits,
            fields=_fields(changed),
        )
        check_limits(answer, changed.channel.url)
        if answer == b"TOO_MANY_CHANGES":
            raise SubscriptionConflictError(
                f"its filter was changed {MAX_FILTER_CHANGES} times, the limit; create a new subscription"
            )
        return bool(answer == b"OK")

    async def pause(self, found: Subscription, by: PausedBy = PausedBy.OWNER, note: str = "") -> bool:
        """Pause a subscription until ``by`` resumes it; its owner can read the note. Return whether anything was changed.

        Raises:
            SubscriptionConflictError: it is disabled.
        """
        checkpoint: bytes | None = await self._records.get(self._keys.checkpoint(NOTIFY_GROUP))
        handled = (checkpoint or b"0-0").decode()
        return bool(await change_status(self._queue, found, lambda record, _: pause(record, by, note, handled)))

    async def resume(self, found: Subscription, by: PausedBy = PausedBy.OWNER) -> bool | None:
        """Resume a subscription; return whether it was paused, or None where a concurrent change came first.

        Held deliveries become due, and a backfill covers the pause.

        Raises:
            SubscriptionConflictError: it is disabled, or someone else paused it.
        """
        return await change_status(
            self._queue, found, lambda record, suspended: resume(record, by, suspended=suspended), found.revision
        )

    async def enable(self, found: Subscription) -> bool:
        """Enable a disabled subscription: it receives new events, and corrections and retractions of what it was sent.

        Return whether anything was changed.
        """
        return bool(
            await change_status(self._queue, found, lambda record, suspended: enable(record, suspended=suspended))
        )

    async def remove(self, account: str, subscription_id: str, operator_reason: str = "") -> bool:
        """Delete a subscription and cancel its waiting deliveries; return whether the account owned it.

        Where an operator deletes it, its owner can read the reason for 30 days (`ended_by_operator`).
        """
        removed = await self._queue.call(
            "unsubscribe",
            id=subscription_id,
            account=account,
            keep=self._queue.keep_ms,
            reason=operator_reason,
            keep_reason=ENDED_RETENTION_MS,
        )
        return bool(removed)

    async def ended_by_operator(self, account: str, subscription_id: str) -> str | None:
        """Return an operator's reason for deleting a subscription, or None where none did so in the last 30 days."""
        found = await self._redis.hmget(self._queue.key("ended", subscription_id), "account", "reason")
        return found[1].decode() if found[0] == account.encode() else None

    async def find(self, subscription_id: str) -> Subscription | None:
        """Return a subscription of any account: for operators."""
        fields: dict[bytes, bytes] = await self._redis.hgetall(self._queue.key("subscription", subscription_id))
        return Subscription.read(fields) if fields else None


def last_id_before(moment_ms: int) -> str:
    """Return the last possible id of a stream entry before a time."""
    return f"{max(moment_ms - 1, 0)}-{2**64 - 1}"


def _fields(subscription: Subscription) -> dict[str, str]:
    """Return the record fields that may change; unset ones are empty."""
    return {
        **channel_fields(subscription.channel),
        "filter": orjson.dumps(subscription.filter).decode(),
        "events": ",".join(subscription.events),
        "content": subscription.content,
        "labels": orjson.dumps(subscription.labels).decode(),
        "entitlement": subscription.entitlement or "",
        "verified_origin": subscription.verified_origin or "",
    }

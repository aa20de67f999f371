"""Disabled accounts: their subscriptions are paused until the account is enabled.

Accounts are on the record Redis, subscriptions on the delivery Redis. The set `suspended` on the latter holds the disabled
accounts; no subscription of an account in it becomes active. An account is added before its subscriptions are paused and removed
after they are resumed, so that neither a request admitted earlier nor a crash leaves one active.
"""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.account_changes import AccountChanges
from newswire.auth.accounts import Account, find_account, iterate_accounts
from newswire.concurrency.backoff import ended_before, pause, wait_for_any
from newswire.keys import Keyspace
from newswire_notify.subscriptions.errors import SubscriptionConflictError
from newswire_notify.subscriptions.models import PausedBy, Subscription
from newswire_notify.subscriptions.repository import Subscriptions

log = logging.getLogger(__name__)

BLOCK_MS = 1000
"""Maximum time of a blocking read, after which a flush of the server is noticed."""


class Suspensions:
    """Follows which accounts are disabled."""

    def __init__(self, subscriptions: Subscriptions, redis: "Redis", records: "Redis", keys: Keyspace) -> None:
        self.reconciled = asyncio.Event()
        """Set once all accounts were compared. Until then a starting process might deliver to a disabled one."""
        self._subscriptions = subscriptions
        self._redis = redis
        self._records = records
        self._keys = keys
        self._suspended = keys.deliveries.key("suspended")
        self._changes = AccountChanges(records, keys)

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow changes until stopping is set."""
        while not stopping.is_set():
            try:
                await ended_before(stopping, self.follow(BLOCK_MS))
            except (RedisError, OSError) as error:
                log.warning("cannot follow disabled accounts", extra={"reason": str(error)})
                self._changes = AccountChanges(
                    self._records, self._keys
                )  # changes that were read but not applied are read again
                await pause(stopping, 0.5)

    async def wait_until_reconciled(self, stopping: asyncio.Event) -> None:
        """Wait until all accounts were compared, or until stopping is set."""
        await wait_for_any(self.reconciled, stopping)

    async def check(self) -> str | None:
        """Return why deliveries have not started, or None: a check of `/status`."""
        return None if self.reconciled.is_set() else "the disabled accounts have not been loaded yet"

    async def follow(self, block_ms: int | None = None) -> None:
        """Apply the changes since the last call."""
        changed = await self._changes.read(block_ms)
        if changed is None:
            await self._reconcile_all()
        for name in sorted(changed or ()):
            await self._apply(name, await find_account(self._records, self._keys, name))
        self.reconciled.set()

    async def _reconcile_all(self) -> None:
        known = {name.decode() for name in await self._redis.smembers(self._suspended)}
        async for account in iterate_accounts(self._records, self._keys):
            if account.disabled_at is not None or account.name in known:
                await self._apply(account.name, account)
            known.discard(account.name)
        for name in known:
            await self._apply(name, None)

    async def _apply(self, name: str, account: Account | None) -> None:
        if account is not None and account.disabled_at is not None:
            await self._redis.sadd(self._suspended, name)
            async for subscription in self._subscriptions.of(name):
                if subscription.status == "active":
                    await self._pause(subscription)
        elif await self._redis.sismember(self._suspended, name):
            async for subscription in self._subscriptions.of(name):
                await self._resume(subscription)
            await self._redis.srem(self._suspended, name)
            async for subscription in self._subscriptions.of(name):  # those that an operator resumed meanwhile
                await self._resume(subscription)

    async def _pause(self, subscription: Subscription) -> None:
        try:
            await self._subscriptions.pause(subscription, PausedBy.ACCOUNT)
        except SubscriptionConflictError:
            return  # it was disabled meanwhile and receives nothing

    async def _resume(self, subscription: Subscription) -> None:
        found: Subscription | None = subscription
        while found is not None and found.status_reason == PausedBy.ACCOUNT:
            try:
                if await self._subscriptions.resume(found, PausedBy.ACCOUNT) is not None:
                    return
            except SubscriptionConflictError:
                return  # an operator paused it meanwhile
            found = await self._subscriptions.find(subscription.id)

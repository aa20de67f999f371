"""Applies the entitlements of accounts to their subscriptions: criteria are the filter and the entitlement together.

Accounts are on the record Redis, subscriptions on the delivery Redis. `entitled` on the latter stores the entitlement that is
applied to each account, so that a start examines only the accounts whose entitlement has changed.
"""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.account_changes import AccountChanges
from newswire.auth.accounts import Account, find_account, iterate_accounts
from newswire.concurrency.backoff import ended_before, pause
from newswire.keys import Keyspace
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.subscriptions.repository import Subscriptions

log = logging.getLogger(__name__)

BLOCK_MS = 1000
"""Maximum time of a blocking read, after which a flush of the server is noticed."""


class Entitlements:
    """Follows the entitlements of accounts."""

    def __init__(self, subscriptions: Subscriptions, redis: "Redis", records: "Redis", keys: Keyspace) -> None:
        self._subscriptions = subscriptions
        self._redis = redis
        self._records = records
        self._keys = keys
        self._entitled = keys.deliveries.key("entitled")
        self._changes = AccountChanges(records, keys)

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow changes until stopping is set."""
        while not stopping.is_set():
            try:
                await ended_before(stopping, self.follow(BLOCK_MS))
            except (RedisError, OSError) as error:
                log.warning("cannot follow entitlements of accounts", extra={"reason": str(error)})
                self._changes = AccountChanges(
                    self._records, self._keys
                )  # changes that were read but not applied are read again
                await pause(stopping, 1.0)

    async def follow(self, block_ms: int | None = None) -> None:
        """Apply the entitlements that changed since the last call."""
        changed = await self._changes.read(block_ms)
        if changed is None:
            await self._reconcile_all()
            return
        for name in sorted(changed):
            await self._narrow(name, await find_account(self._records, self._keys, name))

    async def current(self, subscription: Subscription) -> Subscription:
        """Return a subscription with the current entitlement of its account."""
        stored = _stored(await find_account(self._records, self._keys, subscription.account))
        if stored == subscription.entitlement:
            return subscription
        await self._entitle(subscription, stored)
        return await self._subscriptions.get(subscription.account, subscription.id) or subscription

    async def _reconcile_all(self) -> None:
        known = {name.decode(): json.decode() for name, json in (await self._redis.hgetall(self._entitled)).items()}
        async for account in iterate_accounts(self._records, self._keys):
            if _stored(account) != known.pop(account.name, None):
                await self._narrow(account.name, account)
        for name in known:
            await self._narrow(name, None)

    async def _narrow(self, name: str, account: Account | None) -> None:
        stored = _stored(account)
        async for subscription in self._subscriptions.of(name):
            await self._entitle(subscription, stored)
        if stored is None:
            await self._redis.hdel(self._entitled, name)
        else:
            await self._redis.hset(self._entitled, name, stored)

    async def _entitle(self, subscription: Subscription, stored: str | None) -> None:
        found: Subscription | None = subscription
        while found is not None and not await self._subscriptions.set_entitlement(found, stored):
            found = await self._subscriptions.get(subscription.account, subscription.id)


def _stored(account: Account | None) -> str | None:
    if account is None or account.entitlement is None:
        return None
    return account.entitlement.model_dump_json(exclude_defaults=True)

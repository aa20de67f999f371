"""What owners and operators do with existing subscriptions: one function for the HTTP interface and the command line."""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, record
from newswire_notify.subscriptions.errors import (
    SubscriptionBusyError,
    SubscriptionEndedError,
    SubscriptionNotFoundError,
)
from newswire_notify.subscriptions.models import PausedBy, Subscription
from newswire_notify.subscriptions.repository import Subscriptions

MAX_UPDATE_ATTEMPTS = 100
"""How often a change is retried after a concurrent one."""


async def owned(subscriptions: Subscriptions, account: str, subscription_id: str) -> Subscription:
    """Return a subscription of an account.

    Raises:
        SubscriptionNotFoundError: the account does not own it.
        SubscriptionEndedError: an operator ended it recently.
    """
    found = await subscriptions.get(account, subscription_id)
    if found is not None:
        return found
    reason = await subscriptions.ended_by_operator(account, subscription_id)
    if reason is not None:
        raise SubscriptionEndedError(reason)
    raise SubscriptionNotFoundError


async def resume(
    subscriptions: Subscriptions, find: Callable[[], Awaitable[Subscription]], by: PausedBy = PausedBy.OWNER
) -> bool:
    """Undo a pause of the same kind of actor; return whether the subscription was paused.

    Raises:
        newswire_notify.subscriptions.errors.SubscriptionConflictError: it is disabled, or was paused by another.
        SubscriptionBusyError: concurrent requests keep changing it.
    """
    for _ in range(MAX_UPDATE_ATTEMPTS):
        resumed = await subscriptions.resume(await find(), by)
        if resumed is not None:
            return resumed
    raise SubscriptionBusyError


class OperatorActions:
    """An operator's actions on the subscriptions of any account. Each that changes something is recorded in the audit log.

    The entry is written right after the action, not in the same step: subscriptions may be on another Redis than the audit log.
    """

    def __init__(self, subscriptions: Subscriptions, records: "Redis", keys: Keyspace) -> None:
        self._subscriptions = subscriptions
        self._records = records
        self._keys = keys

    async def find(self, subscription_id: str) -> Subscription:
        """Return a subscription of any account.

        Raises:
            SubscriptionNotFoundError: there is none.
        """
        found = await self._subscriptions.find(subscription_id)
        if found is None:
            raise SubscriptionNotFoundError
        return found

    async def pause(self, actor: Actor, subscription_id: str, reason: str) -> None:
        """Deliver nothing to a subscription until an operator resumes it.

        Raises:
            SubscriptionNotFoundError: there is none.
            newswire_notify.subscriptions.errors.SubscriptionConflictError: it is disabled.
        """
        found = await self.find(subscription_id)
        if await self._subscriptions.pause(found, PausedBy.OPERATOR, reason):
            await self._record(actor, Act.SUBSCRIPTION_PAUSED, found, reason)

    async def resume(self, actor: Actor, subscription_id: str) -> None:
        """Undo an operator's pause.

        Raises:
            SubscriptionNotFoundError: there is none.
            newswire_notify.subscriptions.errors.SubscriptionConflictError: no operator paused it.
            SubscriptionBusyError: concurrent requests keep changing it.
        """
        found = await self.find(subscription_id)
        if await resume(self._subscriptions, lambda: self.find(subscription_id), PausedBy.OPERATOR):
            await self._record(actor, Act.SUBSCRIPTION_RESUMED, found)

    async def end(self, actor: Actor, subscription_id: str, reason: str) -> None:
        """End a subscription for good. Its owner can read the reason for 30 days.

        Raises:
            SubscriptionNotFoundError: there is none.
        """
        found = await self.find(subscription_id)
        if not await self._subscriptions.remove(found.account, found.id, reason):
            raise SubscriptionNotFoundError
        await self._record(actor, Act.SUBSCRIPTION_ENDED, found, reason)

    async def _record(self, actor: Actor, act: Act, found: Subscription, reason: str | None = None) -> None:
        details = {"account": found.account, "reason": reason}
        await record(self._records, self._keys, actor, act, "subscription", found.id, **details)

"""What owners do with their subscriptions: one way for the HTTP interface and the portal. Each act that changes something leaves
one entry in the audit log.

The entry is written right after the act, not in the same step: subscriptions may be on another Redis than the audit log.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, record
from newswire_notify.subscriptions.account_limits import AccountLimits
from newswire_notify.subscriptions.entitlements import Entitlements
from newswire_notify.subscriptions.errors import SubscriptionBusyError, SubscriptionNotFoundError
from newswire_notify.subscriptions.models import NewSubscription, Subscription, SubscriptionDraft
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.subscriptions.service import MAX_UPDATE_ATTEMPTS, owned, resume
from newswire_notify.webhooks.service import Endpoints, EndpointTest
from newswire_notify.webhooks.ssrf_guard import AddressPolicy, check_endpoint
from newswire_notify.webhooks.verification import Verification


class OwnerActions:
    """The acts of owners. Each raises `SubscriptionNotFoundError` or `SubscriptionEndedError` for another's subscription."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        entitlements: Entitlements,
        endpoints: Endpoints,
        records: "Redis",
        keys: Keyspace,
        *,
        policy: AddressPolicy,
        verification: Verification,
        limits: AccountLimits,
    ) -> None:
        self.subscriptions = subscriptions
        self._entitlements = entitlements
        self._endpoints = endpoints
        self._records = records
        self._keys = keys
        self._policy = policy
        self._verification = verification
        self._limits = limits

    async def find(self, account: str, subscription_id: str) -> Subscription:
        """Return a subscription of an account."""
        return await owned(self.subscriptions, account, subscription_id)

    async def create(
        self, account: str, wanted: NewSubscription, entitlement: str | None, *, by: Actor
    ) -> Subscription:
        """Create a subscription. ``entitlement``: of the account, as it is stored.

        Raises:
            newswire_notify.webhooks.ssrf_guard.EndpointRefusedError: webhooks are not sent to the URL.
            newswire_notify.webhooks.verification.NotVerifiedError: the URL did not consent.
            newswire_notify.subscriptions.account_limits.AccountLimitError: the account would exceed one of its limits.
        """
        draft = await self._reachable(wanted)
        asked = self._verification.wanted(draft.channel)
        verified = await self._verification.ask(account, draft.channel) if asked else None
        made = await self.subscriptions.add(
            account,
            draft,
            since=None if wanted.start == "now" else wanted.start,
            limits=self._limits,
            entitlement=entitlement,
            verified_origin=verified,
        )
        made = await self._entitlements.current(made)  # it may have changed since the caller was admitted
        await self._record(by, Act.SUBSCRIPTION_CREATED, made.id, account)
        return made

    async def change(
        self,
        account: str,
        subscription_id: str,
        draft: Callable[[Subscription], SubscriptionDraft],
        check: Callable[[Subscription], None] = lambda _: None,
        *,
        by: Actor,
    ) -> Subscription:
        """Change a subscription. ``draft`` returns its new members, and ``check`` raises where it must not be changed.

        Raises:
            SubscriptionBusyError: concurrent requests keep changing it; and what `create` raises.
        """
        verified: dict[str, str] = {}
        for _ in range(MAX_UPDATE_ATTEMPTS):
            found = await self.find(account, subscription_id)
            check(found)
            wanted = draft(found)
            if wanted.channel.url != found.channel.url:
                wanted = await self._reachable(wanted)
            url = wanted.channel.url
            if url not in verified and self._verification.wanted(wanted.channel, found.channel, found.verified_origin):
                verified[url] = await self._verification.ask(account, wanted.channel)
            changed = await self.subscriptions.update(found, wanted, self._limits, verified.get(url))
            if changed:
                await self._record(by, Act.SUBSCRIPTION_CHANGED, subscription_id, account)
            if changed is not None:
                return await self.find(account, subscription_id)
        raise SubscriptionBusyError

    async def pause(self, account: str, subscription_id: str, *, by: Actor) -> Subscription:
        """Pause a subscription.

        Raises:
            newswire_notify.subscriptions.errors.SubscriptionConflictError: it is disabled.
        """
        if await self.subscriptions.pause(await self.find(account, subscription_id)):
            await self._record(by, Act.SUBSCRIPTION_PAUSED, subscription_id, account)
        return await self.find(account, subscription_id)

    async def resume(self, account: str, subscription_id: str, *, by: Actor) -> Subscription:
        """Resume a subscription that its owner paused.

        Raises:
            newswire_notify.subscriptions.errors.SubscriptionConflictError: it is disabled, or another paused it.
        """
        if await resume(self.subscriptions, partial(self.find, account, subscription_id)):
            await self._record(by, Act.SUBSCRIPTION_RESUMED, subscription_id, account)
        return await self.find(account, subscription_id)

    async def enable(self, account: str, subscription_id: str, *, by: Actor) -> Subscription:
        """Enable a disabled subscription."""
        if await self.subscriptions.enable(await self.find(account, subscription_id)):
            await self._record(by, Act.SUBSCRIPTION_ENABLED, subscription_id, account)
        return await self.find(account, subscription_id)

    async def delete(self, account: str, subscription_id: str, *, by: Actor) -> None:
        """Delete a subscription, and cancel its waiting deliveries."""
        if not await self.subscriptions.remove(account, subscription_id):
            raise SubscriptionNotFoundError
        await self._record(by, Act.SUBSCRIPTION_DELETED, subscription_id, account)

    async def test(self, account: str, subscription_id: str, *, by: Actor) -> EndpointTest:
        """Send a test event now; success closes the circuit of the endpoint."""
        tested = await self._endpoints.test(await self.find(account, subscription_id))
        delivered = tested.attempt.error is None
        await self._record(by, Act.SUBSCRIPTION_TESTED, subscription_id, account, delivered=delivered)
        return tested

    async def rotate_secret(self, account: str, subscription_id: str, overlap: int, *, by: Actor) -> str:
        """Return a new secret; the former one also signs for ``overlap`` seconds.

        Raises:
            newswire_notify.webhooks.service.TooManySecretsError: too many former secrets would sign.
        """
        secret = await self._endpoints.rotate_secret(account, subscription_id, overlap)
        if secret is None:
            raise SubscriptionNotFoundError
        await self._record(by, Act.SECRET_ROTATED, subscription_id, account, overlap_seconds=overlap)
        return secret

    async def _reachable(self, draft: SubscriptionDraft) -> SubscriptionDraft:
        url = await check_endpoint(draft.channel.url, self._policy)
        return draft.model_copy(update={"channel": draft.channel.model_copy(update={"url": url})})

    async def _record(self, by: Actor, act: Act, subscription_id: str, account: str, **details: Any) -> None:
        await record(self._records, self._keys, by, act, "subscription", subscription_id, account=account, **details)

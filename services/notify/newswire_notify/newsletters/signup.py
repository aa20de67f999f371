"""Sign-up with double opt-in, and what readers do with the links in mails: confirm, choose, pause, unsubscribe, erase.

The answer to a sign-up is the same for known and unknown addresses. Sign-ups cannot be used to flood a mailbox: an address
gets at most one mail a day from a newsletter, and `MAILS_PER_ADDRESS` in total.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import orjson

from newswire.timestamps import epoch_ms, rfc3339
from newswire_notify.newsletters.issues import IssueKind, ReaderFeedback, daily_id
from newswire_notify.newsletters.links import MIN_FILL_SECONDS
from newswire_notify.newsletters.mail_maker import WORDING_VERSION
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.models import Choices, Newsletter, Subscriber, SubscriberState
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.subscribers import EVERY_NEWSLETTER, Subscribers

MAILS_PER_ADDRESS = 5
"""Mails about sign-ups that an address gets in a day, from all newsletters."""
SIGNUPS_PER_NETWORK = 20
"""In an hour, from one network, for all newsletters."""
_HOUR, _DAY = 3600, 86_400


class SignupResult(Enum):
    """What a sign-up led to. The reader sees the same for the first two."""

    MAILED = "mailed"
    IGNORED = "ignored"
    """A bot, or an address that has got its mail of the day already."""
    TOO_MANY = "too many"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: what the proof of consent keeps."""

    address: str | None
    network: str
    user_agent: str

    def proof(self, at: datetime) -> dict[str, Any]:
        """Return what is kept of the request."""
        return {
            "at": rfc3339(at),
            "address": self.address,
            "user_agent": self.user_agent[:300],
            "wording": WORDING_VERSION,
        }


@dataclass(frozen=True, slots=True)
class SignupLimits:
    """How many sign-ups are taken."""

    per_network: int = SIGNUPS_PER_NETWORK
    per_newsletter: int = 2000
    """In an hour."""


class Signup:
    """The commands of readers: sign up, confirm, choose, unsubscribe."""

    def __init__(
        self, newsletters: Newsletters, subscribers: Subscribers, queue: MailQueue, limits: SignupLimits
    ) -> None:
        self._redis = newsletters.redis
        self._keys = newsletters.keys
        self._subscribers = subscribers
        self._queue = queue
        self._limits = limits

    async def sign_up(
        self, newsletter: Newsletter, address: str, choices: Choices, origin: Origin, *, form_age: float, trapped: bool
    ) -> SignupResult:
        """Handle a sign-up with a checked address. ``trapped``: the field that people do not see was filled."""
        if await self._exceeds("network", origin.network, _HOUR, self._limits.per_network):
            return SignupResult.TOO_MANY
        if trapped or form_age < MIN_FILL_SECONDS:
            return SignupResult.IGNORED
        if await self._exceeds("newsletter", newsletter.id, _HOUR, self._limits.per_newsletter):
            return SignupResult.TOO_MANY
        address_hash = await self._subscribers.hashes.of(address)
        if await self._subscribers.suppression(EVERY_NEWSLETTER, address_hash) is not None:
            return SignupResult.IGNORED
        if await self._exceeds("address", f"{newsletter.id}:{address_hash}", _DAY, 1):
            return SignupResult.IGNORED
        if await self._exceeds("address", address_hash, _DAY, MAILS_PER_ADDRESS):
            return SignupResult.IGNORED
        consent = {"asked": origin.proof(self._subscribers.now)}
        subscriber = await self._subscribers.add(newsletter, address, choices, consent)
        kind = IssueKind.CONFIRMATION
        if subscriber.state is SubscriberState.ACTIVE:
            kind = IssueKind.MANAGE
        elif subscriber.state is not SubscriberState.PENDING or subscriber.choices != choices:
            await self._subscribers.change(
                subscriber, state=SubscriberState.PENDING, choices=choices, consent=_json(consent)
            )
        issue = daily_id(kind, newsletter.id, self._subscribers.now.date())
        await self._queue.plan_single(issue, newsletter.id, kind, subscriber.id)
        return SignupResult.MAILED

    async def confirm(self, subscriber: Subscriber, origin: Origin) -> bool:
        """Confirm a sign-up, and return whether the reader is subscribed now. Doing it again changes nothing."""
        given = dict(subscriber.consent) | {"given": origin.proof(self._subscribers.now)}
        before = await self._subscribers.change(
            subscriber, state=SubscriberState.ACTIVE, only_from=(SubscriberState.PENDING,), consent=_json(given)
        )
        if before is None:
            return subscriber.state is SubscriberState.ACTIVE
        # The reader's own opt-in lifts the suppression of the address.
        await self._subscribers.unsuppress(subscriber.newsletter, subscriber.address_hash)
        return True

    async def choose(self, subscriber: Subscriber, choices: Choices, pause: timedelta | None) -> None:
        """Change the choices of a reader; ``pause`` starts a pause, and zero ends one."""
        if pause is None:
            await self._subscribers.change(subscriber, choices=choices)
            return
        ends = str(epoch_ms(self._subscribers.now + pause)) if pause else ""
        await self._subscribers.change(subscriber, choices=choices, paused_until=ends)

    async def unsubscribe(self, subscriber_id: str, issue: str = "") -> None:
        """Unsubscribe a reader, known or not. Doing it again changes nothing. ``issue``: of the mail whose link was used."""
        subscriber = await self._subscribers.get(subscriber_id)
        if subscriber is None:
            return
        before = await self._subscribers.change(
            subscriber,
            state=SubscriberState.UNSUBSCRIBED,
            only_from=(SubscriberState.ACTIVE, SubscriberState.PENDING, SubscriberState.BOUNCED),
        )
        if before is not None:
            await self._subscribers.suppress(subscriber.newsletter, subscriber.address_hash, "unsubscribed")
            if issue:
                await self._queue.count(issue, ReaderFeedback.UNSUBSCRIBED)

    async def _exceeds(self, scope: str, name: str, seconds: int, most: int) -> bool:
        """Count one more within the last seconds, or tell that there were as many as may be."""
        key = self._keys.key("newsletter_limit", scope, name)
        now = self._subscribers.now.timestamp()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zremrangebyscore(key, "-inf", now - seconds)
            pipe.zcard(key)
            count = int((await pipe.execute())[-1])
        if count >= most:
            return True
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(key, {secrets.token_hex(6): now})
            pipe.expire(key, seconds)
            await pipe.execute()
        return False


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(value)).decode()

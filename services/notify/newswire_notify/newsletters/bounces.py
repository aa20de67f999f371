"""What follows for a reader from mail that came back, and from complaints."""

from newswire_notify.newsletters.models import Subscriber, SubscriberState
from newswire_notify.newsletters.outcome import Outcome
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.subscribers import Subscribers

BOUNCE_DAYS = {Outcome.BOUNCED: 1, Outcome.MAILBOX_DISABLED: 2, Outcome.SOFT_BOUNCED: 5}
"""On how many days, within the lifetime of the count, a reply has to come until an address is given up."""
_LIFETIME_SECONDS = 14 * 86_400


class Bounces:
    """Records bounces and complaints of subscribers."""

    def __init__(self, newsletters: Newsletters, subscribers: Subscribers) -> None:
        self._redis = newsletters.redis
        self._keys = newsletters.keys
        self._subscribers = subscribers

    async def record(self, subscriber_id: str, days: int, reason: str) -> Subscriber | None:
        """Record that a mail came back; on the given number of days, the reader gets no more mail.

        Return the subscriber, or None where it does not exist.
        """
        subscriber = await self._subscribers.get(subscriber_id)
        if subscriber is None:
            return None
        if days > 1 and await self._count_day(subscriber_id) < days:
            return subscriber
        before = await self._subscribers.change(
            subscriber, state=SubscriberState.BOUNCED, only_from=(SubscriberState.ACTIVE, SubscriberState.PENDING)
        )
        if before is not None:
            await self._subscribers.suppress(subscriber.newsletter, subscriber.address_hash, f"bounced: {reason}"[:200])
        return subscriber

    async def complain(self, subscriber_id: str) -> Subscriber | None:
        """Record a complaint (a mail reported as spam). The reader gets no mail until the next opt-in.

        Return the subscriber, or None where it does not exist, or had complained before.
        """
        subscriber = await self._subscribers.get(subscriber_id)
        if subscriber is None:
            return None
        await self._subscribers.suppress(subscriber.newsletter, subscriber.address_hash, "complained")
        before = await self._subscribers.change(subscriber, state=SubscriberState.COMPLAINED)
        return None if before is SubscriberState.COMPLAINED else subscriber

    async def _count_day(self, subscriber_id: str) -> int:
        name = self._keys.key("newsletter_soft_bounces", subscriber_id)
        today = self._subscribers.now.date().isoformat()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(name, today, 1)
            pipe.expire(name, _LIFETIME_SECONDS)
            pipe.hlen(name)
            return int((await pipe.execute())[-1])

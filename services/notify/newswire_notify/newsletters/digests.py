"""Opens the digests that are due, reminds readers who have not confirmed, and erases what is due to be."""

import asyncio
import logging
from datetime import datetime

from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause, wait_for_any
from newswire.timestamps import epoch_ms
from newswire_notify.newsletters.issues import IssueKind, daily_id, digest_id
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.models import SubscriberState
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import (
    DigestTime,
    UnknownZoneError,
    is_too_late,
    last_occurrence,
    next_occurrence,
)
from newswire_notify.newsletters.site_list import SiteList
from newswire_notify.newsletters.subscribers import Subscribers

log = logging.getLogger(__name__)

PAGE = 200
IDLE_SECONDS = 1.0


class Digests:
    """Runs what is due at a time: digests, reminders, the end of pauses, erasures."""

    def __init__(
        self, newsletters: Newsletters, subscribers: Subscribers, queue: MailQueue, site_list: SiteList
    ) -> None:
        self._site_list = site_list
        self._newsletters = newsletters
        self._redis = newsletters.redis
        self._keys = newsletters.keys
        self._subscribers = subscribers
        self._queue = queue

    async def run(self, stopping: asyncio.Event) -> None:
        """Do what is due until stopping is set."""
        failures = 0
        while not stopping.is_set():
            try:
                worked = await self.step()
                failures = 0
            except (RedisError, OSError) as error:
                log.warning("digests cannot be opened", extra={"reason": str(error)})
                failures += 1
                await pause(stopping, delay_after(failures))
                continue
            if not worked:
                await pause(stopping, IDLE_SECONDS)

    async def step(self) -> bool:
        """Do a part of what is due, and return whether there may be more."""
        await self._site_list.refresh()
        counts = [
            await self._open_due(),
            await self._remind(),
            await self._erase_due(),
            await self._erase_deleted(),
        ]
        return any(count >= PAGE for count in counts)

    async def _open_due(self) -> int:
        now = self._subscribers.now
        name = self._keys.key("newsletter_schedule")
        due = await self._redis.zrangebyscore(name, "-inf", epoch_ms(now), 0, PAGE, withscores=True)
        for member, score in due:
            newsletter_id, _, group = member.decode().partition("|")
            following = await self._open(newsletter_id, group, now)
            if following is None:
                await self._redis.zrem(name, member)
            else:
                # Only if no other process has moved it already.
                await self._move(name, member, score, epoch_ms(following))
        return len(due)

    async def _open(self, newsletter_id: str, group: str, now: datetime) -> datetime | None:
        """Open the digest of a group that was due last; return when the next is due, None where there is none."""
        newsletter = await self._newsletters.find(newsletter_id)
        audience = f"{newsletter_id}|{group}"
        empty = not await self._redis.exists(self._keys.key("newsletter_audience", audience))
        if newsletter is None or newsletter.deleted or empty:
            return None
        try:
            when = DigestTime.of_group(group)
            last = last_occurrence(when, now)
            following = next_occurrence(when, now)
        except UnknownZoneError as error:
            log.error("a time zone is not known any more", extra={"group": group, "reason": str(error)})
            return None
        if last is not None and not is_too_late(last.at, now) and newsletter.is_sending:
            issue = digest_id(newsletter_id, group, last.local_date)
            await self._queue.open_digest(issue, newsletter_id, audience, last.at, last.local_date.isoformat())
        return following.at

    async def _move(self, name: str, member: bytes, before: float, after: int) -> None:
        if await self._redis.zscore(name, member) == before:
            await self._redis.zadd(name, {member: after}, xx=True)

    async def _remind(self) -> int:
        """Remind those once who signed up a day ago and have not confirmed."""
        now = self._subscribers.now
        name = self._keys.key("newsletter_reminders")
        due = await self._redis.zrangebyscore(name, "-inf", epoch_ms(now), 0, PAGE)
        for member in due:
            subscriber = await self._subscribers.get(member.decode())
            if subscriber is not None and subscriber.state is SubscriberState.PENDING:
                issue = daily_id(IssueKind.REMINDER, subscriber.newsletter, now.date())
                await self._queue.plan_single(issue, subscriber.newsletter, IssueKind.REMINDER, subscriber.id)
            await self._redis.zrem(name, member)
        return len(due)

    async def _erase_due(self) -> int:
        """Erase those who never confirmed, and those who unsubscribed a month ago."""
        name = self._keys.key("newsletter_expiring")
        due = await self._redis.zrangebyscore(name, "-inf", epoch_ms(self._subscribers.now), 0, PAGE)
        for member in due:
            subscriber = await self._subscribers.get(member.decode())
            if subscriber is not None and subscriber.state in (SubscriberState.PENDING, SubscriberState.UNSUBSCRIBED):
                await self._subscribers.erase(subscriber, None)
            await self._redis.zrem(name, member)
        return len(due)

    async def _erase_deleted(self) -> int:
        """Erase the subscribers of deleted newsletters."""
        name = self._keys.key("newsletters_deleted")
        for member in await self._redis.srandmember(name, 1):
            members = await self._redis.zrange(self._keys.key("newsletter_members", member.decode()), 0, PAGE - 1)
            for subscriber_id in members:
                subscriber = await self._subscribers.get(subscriber_id.decode())
                if subscriber is not None:
                    await self._subscribers.erase(subscriber, None)
            if members:
                return PAGE
            await self._redis.srem(name, member)
        return 0


class Expansion:
    """Plans the mails of open issues."""

    def __init__(self, queue: MailQueue) -> None:
        self._queue = queue

    async def run(self, stopping: asyncio.Event) -> None:
        """Plan until stopping is set."""
        failures = 0
        while not stopping.is_set():
            try:
                while not stopping.is_set() and await self._queue.expand_next():
                    await asyncio.sleep(0)
                failures = 0
            except (RedisError, OSError) as error:
                log.warning("mails cannot be planned", extra={"reason": str(error)})
                failures += 1
                await pause(stopping, delay_after(failures))
                continue
            await wait_for_any(stopping, self._queue.opened, seconds=IDLE_SECONDS / 2)
            self._queue.opened.clear()

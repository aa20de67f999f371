"""Opens the digests that are due, reminds readers who have not confirmed, and erases what is due to be."""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause, wait_for_any
from newswire.timestamps import epoch_ms, from_epoch_ms
from newswire_notify.newsletters.issues import DueDigest, DueGroup, IssueKind, daily_id, digest_id
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.models import SubscriberState
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import (
    DigestTime,
    UnknownZoneError,
    is_too_late,
    surrounding,
)
from newswire_notify.newsletters.site_list import SiteList
from newswire_notify.newsletters.subscribers import Subscribers

log = logging.getLogger(__name__)

PAGE = 200
IDLE_SECONDS = 1.0
UNKNOWN_ZONE_PAUSE = timedelta(days=1)
"""How long the digests of a zone wait that the database of zones does not have any more."""


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
        """Open the digests of the groups whose time has come, a page of them."""
        now = self._subscribers.now
        name = self._keys.key("newsletter_schedule")
        due = await self._redis.zrangebyscore(name, "-inf", epoch_ms(now), 0, PAGE, withscores=True)
        if not due:
            return 0
        scheduled = [(member.decode(), score) for member, score in due]
        newsletters = await self._newsletters.find_all({member.partition("|")[0] for member, _ in scheduled})
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(self._keys.key("newsletters_restored"))
            for member, _ in scheduled:
                pipe.exists(self._keys.key("newsletter_audience", member))
            restored, *used = await pipe.execute()
        restored_at = from_epoch_ms(int(restored)) if restored else None
        groups = []
        for (member, score), has_readers in zip(scheduled, used, strict=True):
            newsletter_id, _, group = member.partition("|")
            found = DueGroup(newsletter_id, member, score)
            newsletter = newsletters.get(newsletter_id)
            if has_readers and newsletter is not None and not newsletter.deleted:
                found = _at(found, group, now, restored_at, sends=newsletter.is_sending)
            groups.append(found)
        await self._queue.open_due(groups)
        return len(due)

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
        """Erase what deleted newsletters have left: issues, mails and subscribers."""
        for member in await self._redis.srandmember(self._keys.key("newsletters_deleted"), 1):
            erased = await self._newsletters.call("erase_deleted", newsletter=member.decode(), limit=PAGE)
            return PAGE if erased else 0
        return 0


def _at(found: DueGroup, group: str, now: datetime, restored_at: datetime | None, *, sends: bool) -> DueGroup:
    """Add when a group is due next, and the digest that was due last, unless it is too late for it.

    Digests that were due before a backup was restored can have been sent already: their items are left to the next one.
    """
    try:
        last, following = surrounding(DigestTime.of_group(group), now)
    except UnknownZoneError as error:
        log.error("a time zone is not known any more", extra={"group": group, "reason": str(error)})
        return replace(found, following=now + UNKNOWN_ZONE_PAUSE)
    digest = None
    if sends and last is not None and not is_too_late(last.at, now) and not (restored_at and last.at <= restored_at):
        digest = DueDigest(digest_id(found.newsletter, group, last.local_date), last.at, last.local_date)
    return replace(found, following=following.at, digest=digest)


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

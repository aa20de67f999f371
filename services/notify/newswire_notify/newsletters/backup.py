"""Backup and restore of newsletters. Their records are read as they are; what is derived from subscribers is rebuilt.

Keys are read one after the other while readers sign up and leave, and while digests are planned. So the states of mails are read
after the subscribers: every digest that a subscriber's record knows of has its mail. Suppressed addresses are read last: who is
erased according to these is not restored.

What was sent after the backup is not known. So digests that were due before the restore are not sent, and the next ones hold their
items.
"""

import time
from collections.abc import AsyncIterator, Callable

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.issues import IssueKind
from newswire_notify.newsletters.keys import NewsletterKeys
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.subscribers import PAGE, Subscribers

REBUILT = frozenset(("newsletter_addresses", "newsletter_members", "newsletter_counts", "newsletter_audience"))
"""The families of keys that a restore makes from the records of subscribers."""


READ_LAST = ("newsletter_issue_mails", "newsletter_suppressed")
"""The families of keys that are read after all others, in this order."""


async def read_last(redis: "Redis", keys: Keyspace) -> AsyncIterator[list[str]]:
    """Yield the keys that are to be read after all others, in their order."""
    for family in READ_LAST:
        async for page in _pages(redis, NewsletterKeys(keys).key(family, "*")):
            yield page


async def attach_subscribers(redis: "Redis", keys: Keyspace, clock: Callable[[], float] = time.time) -> int:
    """Rebuild what is derived from the restored subscribers, and return how many there are.

    Those who were erased while the backup was made, or whose newsletter it does not have, are deleted.
    """
    newsletters = Newsletters(redis, keys, clock)
    subscribers = Subscribers(newsletters)
    for family in REBUILT:  # earlier releases wrote them into backups
        async for page in _pages(redis, newsletters.keys.key(family, "*")):
            await redis.unlink(*page)
    beginning = newsletters.keys.key("newsletter_subscriber", "")
    count = 0
    async for page in _pages(redis, f"{beginning}*"):
        for name in page:
            count += await subscribers.attach(name.removeprefix(beginning))
    await _restore_sequence_numbers(newsletters)
    await redis.set(newsletters.keys.key("newsletters_restored"), int(clock() * 1000))
    await _withdraw_digests(newsletters)
    return count


async def _restore_sequence_numbers(newsletters: Newsletters) -> None:
    beginning = newsletters.keys.key("newsletter_items", "")
    async for page in _pages(newsletters.redis, f"{beginning}*"):
        for name in page:
            await newsletters.call("restore_seq", newsletter=name.removeprefix(beginning))


async def _withdraw_digests(newsletters: Newsletters) -> None:
    """Withdraw the digests that waited when the backup was made."""
    redis, beginning = newsletters.redis, newsletters.keys.key("newsletter_issue", "")
    async for page in _pages(redis, f"{beginning}*"):
        for name in page:
            issue = name.removeprefix(beginning)
            if await redis.hget(name, "kind") != IssueKind.DIGEST.encode():
                continue
            cursor = -1
            while cursor:
                mails = newsletters.keys.key("newsletter_issue_mails", issue)
                cursor, found = await redis.hscan(mails, max(cursor, 0), count=PAGE)
                subscribers = [each.decode() for each in found]
                await newsletters.call("withdraw_digests", issue=issue, subscribers=subscribers)


async def _pages(redis: "Redis", pattern: str) -> AsyncIterator[list[str]]:
    cursor = 0
    while True:
        cursor, found = await redis.scan(cursor, match=pattern, count=PAGE)
        if found:
            yield [name.decode() for name in found]
        if cursor == 0:
            return

"""Backup and restore of newsletters. Their records are read as they are; what is derived from subscribers is rebuilt.

Keys are read one after the other while readers sign up and leave, so a backup can hold a subscriber who was erased a moment later.
Suppressed addresses are read last: who is erased according to these is not restored.
"""

from collections.abc import AsyncIterator

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.keys import NewsletterKeys
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.subscribers import PAGE, Subscribers

REBUILT = frozenset(("newsletter_addresses", "newsletter_members", "newsletter_counts", "newsletter_audience"))
"""The families of keys that a restore makes from the records of subscribers."""


async def suppressions(redis: "Redis", keys: Keyspace) -> list[str]:
    """Return the keys of suppressed addresses, which are to be read after all subscribers."""
    pattern = NewsletterKeys(keys).key("newsletter_suppressed", "*")
    return [name.decode() async for name in redis.scan_iter(pattern, count=PAGE)]


async def attach_subscribers(redis: "Redis", keys: Keyspace) -> int:
    """Rebuild what is derived from the restored subscribers, and return how many there are.

    Those who were erased while the backup was made, or whose newsletter it does not have, are deleted.
    """
    newsletters = Newsletters(redis, keys)
    subscribers = Subscribers(newsletters)
    for family in REBUILT:  # earlier releases wrote them into backups
        async for page in _pages(redis, newsletters.keys.key(family, "*")):
            await redis.unlink(*page)
    beginning = newsletters.keys.key("newsletter_subscriber", "")
    count = 0
    async for page in _pages(redis, f"{beginning}*"):
        for name in page:
            count += await subscribers.attach(name.removeprefix(beginning))
    return count


async def _pages(redis: "Redis", pattern: str) -> AsyncIterator[list[str]]:
    cursor = 0
    while True:
        cursor, found = await redis.scan(cursor, match=pattern, count=PAGE)
        if found:
            yield [name.decode() for name in found]
        if cursor == 0:
            return

"""The topics whose feeds may have changed: a durable queue, from which processes claim them.

A topic is claimed by removing it from the queue, so one process fetches it. It stays claimed until its content was pushed to all;
if that process ends before, the claim ends and the topic is queued again. So no update is lost.
"""

import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.websub.functions import HubFunctions
from newswire_notify.websub.keys import HubKeys

CLAIM_MS = 30_000


class ClaimedTopic(NamedTuple):
    """A topic at the moment when it was claimed."""

    has_subscriptions: bool
    etag: str | None
    """Of the content that all its subscribers were sent, if it is known."""


class ChangedTopics:
    """The queue. ``clock`` returns the seconds since 1970."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._keys = HubKeys(keys)
        self._clock = clock
        self._functions = HubFunctions(redis, keys)

    async def mark_all(self) -> int:
        """Queue all topics that have subscriptions, to be fetched now; return how many there are."""
        return int(await self._functions.call("mark_all_topics", due=self._now_ms))

    async def mark(self, topics: Collection[str], *, delay: float = 0) -> None:
        """Queue topics, to be fetched after a delay in seconds; an earlier time that is set already stays."""
        if topics:
            due = int((self._clock() + delay) * 1000)
            await self._redis.zadd(self._keys.changed, dict.fromkeys(topics, due), lt=True)

    async def due(self, own: Collection[str]) -> list[str]:
        """Return the topics that are due, the longest waiting first, and those of other processes whose claims have ended."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.zrangebyscore(self._keys.changed, "-inf", self._now_ms)
            pipe.zrangebyscore(self._keys.claimed, "-inf", self._now_ms)
            queued, ended = ([topic.decode() for topic in found] for found in await pipe.execute())
        abandoned = [topic for topic in ended if topic not in own]
        for topic in abandoned:
            await self.give_back(topic)
        return list(dict.fromkeys([*queued, *abandoned]))

    async def claim(self, topic: str, *, own: bool) -> ClaimedTopic | None:
        """Claim a topic that is due, or return None. ``own``: this process has claimed it before."""
        now = self._now_ms
        found = await self._functions.call("claim_topic", topic=topic, own=own, now=now, ends=now + CLAIM_MS)
        if found is None:
            return None
        has_subscriptions, etag = found
        return ClaimedTopic(bool(has_subscriptions), etag.decode() or None)

    async def renew(self, topics: Collection[str]) -> None:
        """Renew the claims of this process; call it well within `CLAIM_MS`."""
        if topics:
            await self._redis.zadd(self._keys.claimed, dict.fromkeys(topics, self._now_ms + CLAIM_MS))

    async def release(self, topic: str, *, etag: str | None = None) -> None:
        """End a claim. ``etag``: of the content that all subscribers were sent, if there was new content."""
        if etag is not None and not await self._redis.sismember(self._keys.topics, topic):
            etag = None  # its last subscription has ended
        async with self._redis.pipeline(transaction=True) as pipe:
            if etag is not None:
                pipe.hset(self._keys.etags, topic, etag)
            pipe.zrem(self._keys.claimed, topic)
            await pipe.execute()

    async def give_back(self, topic: str, *, delay: float = 0) -> None:
        """End a claim, and queue the topic again."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(self._keys.changed, {topic: int((self._clock() + delay) * 1000)}, lt=True)
            pipe.zrem(self._keys.claimed, topic)
            await pipe.execute()

    async def forget_etag(self, topic: str) -> None:
        """Forget it before the first push of other content: a process that ends while pushing pushes to all again."""
        await self._redis.hdel(self._keys.etags, topic)

    @property
    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

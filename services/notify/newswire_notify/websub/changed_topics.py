"""The topics whose feeds may have changed: a durable queue, from which processes claim them.

A topic is claimed by removing it from the queue, so one process fetches it. It stays claimed until its content was pushed to all;
if that process ends before, the claim ends and the topic is queued again. So no update is lost.
"""

import time
from collections.abc import Callable, Collection

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.websub.keys import HubKeys

CLAIM_MS = 30_000


class ChangedTopics:
    """The queue. ``clock`` returns the seconds since 1970."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._keys = HubKeys(keys)
        self._clock = clock

    async def mark(self, topics: Collection[str], *, delay: float = 0) -> None:
        """Queue topics, to be fetched after a delay in seconds; an earlier time that is set already stays."""
        if topics:
            due = int((self._clock() + delay) * 1000)
            await self._redis.zadd(self._keys.changed, dict.fromkeys(topics, due), lt=True)

    async def due(self) -> list[str]:
        """Return the topics that are due, the longest waiting first."""
        return [topic.decode() for topic in await self._redis.zrangebyscore(self._keys.changed, "-inf", self._now_ms)]

    async def claim(self, topic: str, *, own: bool) -> bool:
        """Claim a topic that is due; return whether this process now has it. ``own``: it has claimed it before."""
        if not own:
            until = await self._redis.zscore(self._keys.claimed, topic)
            if until is not None and until > self._now_ms:
                return False
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(self._keys.changed, topic)
            pipe.zadd(self._keys.claimed, {topic: self._now_ms + CLAIM_MS})
            removed, _ = await pipe.execute()
        return bool(removed)

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

    async def queue_abandoned(self, own: Collection[str]) -> None:
        """Queue topics again whose claims have ended, except this process's own."""
        ended = await self._redis.zrangebyscore(self._keys.claimed, "-inf", self._now_ms)
        for topic in {each.decode() for each in ended} - set(own):
            await self.give_back(topic)

    async def give_back(self, topic: str, *, delay: float = 0) -> None:
        """End a claim, and queue the topic again."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(self._keys.changed, {topic: int((self._clock() + delay) * 1000)}, lt=True)
            pipe.zrem(self._keys.claimed, topic)
            await pipe.execute()

    async def etag(self, topic: str) -> str | None:
        """Return the ETag of the content that all subscribers of a topic were sent, if it is known."""
        found = await self._redis.hget(self._keys.etags, topic)
        return None if found is None else found.decode()

    async def forget_etag(self, topic: str) -> None:
        """Forget it before the first push of other content: a process that ends while pushing pushes to all again."""
        await self._redis.hdel(self._keys.etags, topic)

    @property
    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

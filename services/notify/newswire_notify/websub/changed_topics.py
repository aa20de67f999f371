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

    topic: str
    has_subscriptions: bool
    etag: str | None
    """Of the content that all its subscribers were sent, if it is known."""


class Claims(NamedTuple):
    """The topics that were claimed, and those that were skipped although they are due."""

    claimed: list[ClaimedTopic]
    skipped: list[str]


class ChangedTopics:
    """The queue. ``clock`` returns the seconds since 1970."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._keys = HubKeys(keys)
        self._clock = clock
        self._functions = HubFunctions(redis, keys)

    async def mark(self, topics: Collection[str], *, delay: float = 0) -> None:
        """Queue topics, to be fetched after a delay in seconds; an earlier time that is set already stays."""
        if topics:
            due = int((self._clock() + delay) * 1000)
            await self._redis.zadd(self._keys.changed, dict.fromkeys(topics, due), lt=True)

    async def claim(
        self, limit: int, *, mark_all: bool = False, own: Collection[str] = (), skip: Collection[str] = ()
    ) -> Claims:
        """Claim topics that are due, the longest waiting first, and those of other processes whose claims have ended.

        ``mark_all``: first queue all topics that have subscriptions. ``own``: topics that this process has claimed and may claim
        again; ``skip``: those that it does not claim now.
        """
        now = self._now_ms
        claimed, skipped = await self._functions.call(
            "claim_topics",
            mark_all=mark_all,
            own=[*own],
            skip=[*skip],
            limit=limit,
            now=now,
            ends=now + CLAIM_MS,
        )
        topics = [ClaimedTopic(topic.decode(), bool(known), etag.decode() or None) for topic, known, etag in claimed]
        return Claims(topics, [topic.decode() for topic in skipped])

    async def renew(self, topics: Collection[str]) -> None:
        """Renew the claims of this process that have not been released; call it well within `CLAIM_MS`."""
        if topics:
            await self._redis.zadd(self._keys.claimed, dict.fromkeys(topics, self._now_ms + CLAIM_MS), xx=True)

    async def release(self, topic: str, *, etag: str | None = None) -> None:
        """End a claim. ``etag``: of the content that all subscribers were sent, if there was new content."""
        await self._functions.call("release_topic", topic=topic, etag=etag if etag is not None else False)

    async def give_back(self, topic: str, *, forget_etag: bool) -> None:
        """End a claim, and queue the topic again. ``forget_etag``: other content was pushed to some, so push to all."""
        async with self._redis.pipeline(transaction=True) as pipe:
            if forget_etag:
                pipe.hdel(self._keys.etags, topic)
            pipe.zadd(self._keys.changed, {topic: self._now_ms}, lt=True)
            pipe.zrem(self._keys.claimed, topic)
            await pipe.execute()

    @property
    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

"""The subscriptions of the hub in Redis."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Literal

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.websub.functions import HubFunctions
from newswire_notify.websub.keys import HubKeys, from_subscription_member, subscription_member, topic_digest
from newswire_notify.websub.models import HubSubscription, host_of

PAGE = 500
"""Subscriptions that are read at a time."""


class HubSubscriptions:
    """The verified subscriptions. ``clock`` returns the seconds since 1970."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._keys = HubKeys(keys)
        self._functions = HubFunctions(redis, keys)
        self._clock = clock

    async def put(self, subscription: HubSubscription, etag: str | None) -> None:
        """Add a subscription, or renew it.

        ``etag``: of what its topic held before the verification, unless the topic is known. The topic counts as changed, so that
        what was published in between is pushed.
        """
        topic, callback = subscription.topic, subscription.callback
        members = {"expires_at": subscription.expires_at, "secret": subscription.secret}
        if subscription.sent_topic is not None:
            members["sent_topic"] = subscription.sent_topic
        stored = orjson.dumps(members)
        member = subscription_member(topic, callback)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(self._keys.subscriptions(topic), callback, stored)
            pipe.zadd(self._keys.leases, {member: subscription.expires_at})
            pipe.sadd(self._keys.host(subscription.host), member)
            pipe.sadd(self._keys.topics, topic)
            if etag is not None:
                pipe.hsetnx(self._keys.etags, topic, etag)
            pipe.zadd(self._keys.changed, {topic: int(self._clock() * 1000)}, lt=True)
            await pipe.execute()

    async def get(self, topic: str, callback: str) -> HubSubscription | None:
        """Return a subscription whose lease has not ended."""
        stored = await self._redis.hget(self._keys.subscriptions(topic), callback)
        found = None if stored is None else _subscription(topic, callback.encode(), stored)
        return found if found is not None and found.expires_at > self._clock() else None

    async def remove(self, topic: str, callback: str) -> bool:
        """Remove a subscription, and what is kept of its topic if it was the last one; return whether it was there."""
        return await self._remove(topic, callback, lapsed_by=False)

    async def remove_lapsed(self, limit: int = PAGE) -> int:
        """Remove subscriptions whose leases have ended; return how many there were, at most ``limit``."""
        now = self._clock()
        members = await self._redis.zrangebyscore(self._keys.leases, "-inf", now, start=0, num=limit)
        for member in members:
            await self._remove(*from_subscription_member(member.decode()), lapsed_by=now)  # unless renewed meanwhile
        return len(members)

    async def topics(self) -> list[str]:
        """Return all topics that have subscriptions."""
        return [topic.decode() for topic in await self._redis.smembers(self._keys.topics)]

    async def is_topic(self, topic: str) -> bool:
        """Return whether a topic has subscriptions."""
        return bool(await self._redis.sismember(self._keys.topics, topic))

    async def pages(self, topic: str) -> AsyncIterator[list[HubSubscription]]:
        """Iterate over the subscriptions of a topic whose leases have not ended, in pages; one may occur twice."""
        cursor = 0
        while True:
            cursor, found = await self._redis.hscan(self._keys.subscriptions(topic), cursor, count=PAGE)
            now = self._clock()
            page = [_subscription(topic, callback, stored) for callback, stored in found.items()]
            yield [each for each in page if each.expires_at > now]
            if not cursor:
                return

    async def counts(self, host: str) -> tuple[int, int, int]:
        """Return the number of subscriptions, of those with callbacks at a host, and of topics."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(self._keys.leases)
            pipe.scard(self._keys.host(host))
            pipe.scard(self._keys.topics)
            total, at_host, topics = await pipe.execute()
        return int(total), int(at_host), int(topics)

    async def _remove(self, topic: str, callback: str, *, lapsed_by: float | Literal[False]) -> bool:
        digest, host = topic_digest(topic), host_of(callback)
        names = {"topic": topic, "callback": callback, "digest": digest, "host": host}
        return bool(await self._functions.call("remove_subscription", **names, lapsed_by=lapsed_by))


def _subscription(topic: str, callback: bytes, stored: bytes) -> HubSubscription:
    members = orjson.loads(stored)
    expires_at = float(members["expires_at"])
    return HubSubscription(topic, callback.decode(), expires_at, members.get("secret"), members.get("sent_topic"))

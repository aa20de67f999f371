"""How many would be notified of a version or a retraction: the same decisions as the fan-out's, without its effects."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Protocol

from redis.asyncio import Redis

from newswire.audience import DEADLINE_SECONDS, AudienceReply, AudienceRequest, MailCounts, channel
from newswire.concurrency.offload import Offload
from newswire.cost_limits import INLINE_TEXT_BYTES
from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures
from newswire.keys import Keyspace
from newswire.messaging.messages import DependencyUnavailableError
from newswire.messaging.requests import RequestBroker
from newswire.text.analysis import language_of
from newswire_notify.fanout.handlers import analyse
from newswire_notify.fanout.matcher import Matcher

PAGE = 500
"""Digests, or subscriptions, that are looked up in one round trip."""
MAX_DEPARTED = 10_000
"""Former members of one digest that are looked at."""
_OF_THE_ARTICLE = frozenset({b"rank", b"event", b"membership_seq", b"retracted"})
"""The fields of `article_recipients:` that are not about a digest."""


class Readers(Protocol):
    """Counts the readers of newsletters that would get a version."""

    async def count(self, article: ArticlePublished, features: ArticleFeatures) -> MailCounts:
        """Return how many mails there would be."""
        ...


@dataclass(frozen=True, slots=True)
class _Departed:
    """A member of a digest that has left it since the latest event of the article was sent."""

    digest: str
    member: bytes
    subscription: str


class Audience:
    """Counts the recipients of an article, and stores nothing."""

    def __init__(self, matcher: Matcher, readers: Readers, redis: "Redis", keys: Keyspace) -> None:
        self._matcher = matcher
        self._readers = readers
        self._redis = redis
        self._keys = keys.deliveries
        self._analysing = Offload("audience", workers=1)

    async def of(self, request: AudienceRequest) -> AudienceReply:
        """Return how many would be notified.

        Raises:
            DependencyUnavailableError: the filters are not loaded yet.
            TimeoutError: nobody waits for the reply any more.
            newswire.concurrency.offload.OffloadError: a long text could not be analysed in time.
        """
        if self._matcher.loading is not None:
            raise DependencyUnavailableError(self._matcher.loading)
        async with asyncio.timeout(DEADLINE_SECONDS):
            version = request.version
            matched: list[str] = []
            mails = MailCounts()
            if version is not None and not version.silent:
                features = await self._features(version)
                await self._matcher.refresh(language_of(version.language))
                matched = self._matcher.match(version, features)
                mails = await self._readers.count(version, features)
            return AudienceReply(webhooks=await self._webhooks(request.article_id, matched), mails=mails)

    async def _features(self, version: ArticlePublished) -> ArticleFeatures:
        if len(version.text) <= INLINE_TEXT_BYTES:
            return ArticleFeatures.of(version)
        return await self._analysing.run(partial(analyse, version), DEADLINE_SECONDS)

    async def _webhooks(self, article_id: str, matched: Iterable[str]) -> int:
        """Count the current members of digests that match, and everyone who was sent the latest event of the article."""
        wanted = frozenset(matched)
        known = await self._known(article_id)
        own = [digest for digest in known if digest.startswith("sub_")]  # of one subscription, after a backfill
        count, departed = 0, [_Departed(digest, b"", digest) for digest in own]
        digests = [*wanted, *(known.keys() - wanted).difference(own)]
        for at in range(0, len(digests), PAGE):
            members, left = await self._members(digests[at : at + PAGE], wanted, known)
            count += members
            departed += left
        for at in range(0, len(departed), PAGE):
            count += await self._of_departed(departed[at : at + PAGE], wanted, known)
        return count

    async def _known(self, article_id: str) -> dict[str, int]:
        """Return the digests of those who were sent the article, with the membership sequence number of that event."""
        stored = await self._redis.hgetall(self._keys.key("article_recipients", article_id))
        return {
            digest.decode(): int(value.split(b"|")[0])
            for digest, value in stored.items()
            if digest not in _OF_THE_ARTICLE and b"|" in value
        }

    async def _members(
        self, digests: Sequence[str], wanted: frozenset[str], known: Mapping[str, int]
    ) -> tuple[int, list[_Departed]]:
        """Count the members of digests: the current ones where they match, else those at the time of the event."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for digest in digests:
                at: float = known.get(digest, inf)
                upto = inf if digest in wanted else at
                pipe.zcount(self._keys.key("memberships", digest), -inf, upto)
                pipe.zcount(self._keys.key("past_memberships", digest), -inf, upto)
                pipe.zrangebyscore(self._keys.key("past_memberships", digest), f"({at}", inf, 0, MAX_DEPARTED)
            answers = await pipe.execute()
        count = sum(answers[0::3]) - sum(answers[1::3])
        departed = [
            _Departed(digest, member, member.split(b"|")[0].decode())
            for digest, members in zip(digests, answers[2::3], strict=True)
            for member in members
        ]
        return count, departed

    async def _of_departed(
        self, departed: Sequence[_Departed], wanted: frozenset[str], known: Mapping[str, int]
    ) -> int:
        """Return by how much those who have left a digest change the count: they get later versions of what they were sent."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for each in departed:
                pipe.zscore(self._keys.key("memberships", each.digest), each.member)
                fields = ("status", "attached", "digest", "joined_seq")
                pipe.hmget(self._keys.key("subscription", each.subscription), fields)
            answers = await pipe.execute()
        change, notified = 0, set[str]()
        for each, joined, (status, attached, digest, since) in zip(departed, answers[0::2], answers[1::2], strict=True):
            if each.member and (joined is None or joined > known[each.digest]):
                continue  # it came after the event
            if each.member and each.digest not in wanted:
                change -= 1
            now = (digest or b"").decode()
            is_counted = attached == b"1" and (now in wanted or int(since) <= known.get(now, -1))
            if status in (b"active", b"paused") and not is_counted:
                notified.add(each.subscription)
        return change + len(notified)


def reply_to_requests(broker: RequestBroker, audience: Audience, keys: Keyspace) -> None:
    """Subscribe to the requests of ingest."""

    @broker.subscriber(channel(keys))
    async def reply(request: AudienceRequest) -> AudienceReply:
        """Notify counts who would be notified."""
        return await audience.of(request)

"""How many readers of newsletters would get a version: the same decisions as the planner's, without its effects."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import orjson
from redis.asyncio import Redis

from newswire.audience import MailCounts
from newswire.events import ArticlePublished, Kind
from newswire.filters import ArticleFeatures
from newswire.keys import Keyspace
from newswire.text.analysis import language_of
from newswire_notify.newsletters.matching import MatchedNewsletter, NewsletterMatcher, may_send
from newswire_notify.newsletters.models import INSTANT_GROUP
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence

MAX_READERS_READ = 10_000
"""Readers whose topics and pauses are looked up. Beyond, all readers of a group count."""
PAGE = 500


@dataclass
class _Counted:
    """What is counted so far."""

    read: int = 0
    mails: dict[Cadence, int] = field(default_factory=lambda: dict.fromkeys(Cadence, 0))
    is_upper_limit: bool = False


class ReaderCounts:
    """Counts readers, with filters of its own: those of the planner may change only between its events."""

    def __init__(
        self, newsletters: Newsletters, records: "Redis", keys: Keyspace, clock: Callable[[], float] = time.time
    ) -> None:
        self._newsletters = newsletters
        self._matcher = NewsletterMatcher(newsletters)
        self._matching = asyncio.Lock()
        self._records = records
        self._keyspace = keys
        self._clock = clock

    async def count(self, article: ArticlePublished, features: ArticleFeatures) -> MailCounts:
        """Return how many mails there would be, the ones with the next digests included."""
        async with self._matching:
            await self._matcher.catch_up({language_of(article.language)})
            matched = self._matcher.match(article, features)
        sending = [each for each in matched if await may_send(self._records, self._keyspace, each.newsletter, features)]
        counted = _Counted()
        for found, audience, cadence in await self._audiences(article, sending):
            await self._add(counted, found, audience, cadence)
        return MailCounts(
            **{str(cadence): count for cadence, count in counted.mails.items()}, is_upper_limit=counted.is_upper_limit
        )

    async def _audiences(
        self, article: ArticlePublished, sending: Sequence[MatchedNewsletter]
    ) -> list[tuple[MatchedNewsletter, str, Cadence]]:
        """Return the groups of readers with a mail: alerts are about new articles, digests also about corrections."""
        keys, redis = self._newsletters.keys, self._newsletters.redis
        audiences: list[tuple[MatchedNewsletter, str, Cadence]] = []
        in_digests = {}
        for found in sending:
            newsletter = found.newsletter
            if article.kind is Kind.PUBLISHED and Cadence.INSTANT in newsletter.draft.cadences:
                audiences.append((found, f"{newsletter.id}|{INSTANT_GROUP}", Cadence.INSTANT))
            listed = await redis.zscore(keys.key("newsletter_items", newsletter.id), article.id)
            if listed is None or article.kind is Kind.CORRECTED:
                in_digests[newsletter.id] = found
        if in_digests:
            async for member, _ in redis.zscan_iter(keys.key("newsletter_schedule"), count=1000):
                name, _, group = member.decode().partition("|")
                if name in in_digests:
                    cadence = Cadence.DAILY if group.startswith(Cadence.DAILY) else Cadence.WEEKLY
                    audiences.append((in_digests[name], member.decode(), cadence))
        return audiences

    async def _add(self, counted: _Counted, found: MatchedNewsletter, audience: str, cadence: Cadence) -> None:
        keys, redis = self._newsletters.keys, self._newsletters.redis
        name = keys.key("newsletter_audience", audience)
        size = await redis.zcard(name)
        if counted.read + size > MAX_READERS_READ:
            counted.mails[cadence] += size
            counted.is_upper_limit = True
            return
        counted.read += size
        for start in range(0, size, PAGE):
            async with redis.pipeline(transaction=False) as pipe:
                for reader in await redis.zrange(name, start, start + PAGE - 1):
                    pipe.hmget(keys.key("newsletter_subscriber", reader.decode()), "topics", "paused_until")
                choices = await pipe.execute()
            counted.mails[cadence] += sum(self._gets(found.topics, *each) for each in choices)

    def _gets(self, topics: Iterable[str], chosen: bytes | None, paused_until: bytes | None) -> bool:
        if chosen is None or (paused_until and int(paused_until) > self._clock() * 1000):
            return False
        wanted = orjson.loads(chosen)
        return not wanted or not set(wanted).isdisjoint(topics)

"""From article events to the items of newsletters and to alerts. Handling an event again changes nothing."""

from collections.abc import Mapping, Sequence

import orjson
from redis.asyncio import Redis

from newswire.events import ArticlePublished, ArticleRetracted, Kind
from newswire.filters import ArticleFeatures
from newswire.keys import Keyspace
from newswire.messaging.messages import Message
from newswire.text.analysis import language_of
from newswire_notify.newsletters.issues import alert_id
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.matching import MatchedNewsletter, NewsletterMatcher, may_send
from newswire_notify.newsletters.models import INSTANT_GROUP
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence


class NewsletterPlanner:
    """Notes which articles belong to which newsletters, and opens an alert for each that is published."""

    def __init__(
        self, newsletters: Newsletters, matcher: NewsletterMatcher, queue: MailQueue, records: "Redis", keys: Keyspace
    ) -> None:
        self._newsletters = newsletters
        self._matcher = matcher
        self._queue = queue
        self._records = records
        self._keyspace = keys

    @property
    def searches_text(self) -> bool:
        """Whether the text of an article may be analysed: it is where there are newsletters."""
        return bool(self._matcher.all)

    async def __call__(self, items: Sequence[Message], features: Mapping[str, ArticleFeatures]) -> None:
        """Plan what follows from events; ``features`` are those of long articles, by entry id."""
        published = [item.payload for item in items if isinstance(item.payload, ArticlePublished)]
        await self._matcher.catch_up({language_of(article.language) for article in published})
        for item in items if self._matcher.all else ():
            if isinstance(item.payload, ArticleRetracted):
                await self._forget(item.payload.id)
            elif isinstance(item.payload, ArticlePublished) and not item.payload.silent:
                await self._plan(item.payload, features.get(item.entry_id))

    async def _plan(self, article: ArticlePublished, known: ArticleFeatures | None) -> None:
        features = known or ArticleFeatures.of(article)
        for found in self._matcher.match(article, features):
            if await may_send(self._records, self._keyspace, found.newsletter, features):
                await self._add(found, article)

    async def _add(self, found: MatchedNewsletter, article: ArticlePublished) -> None:
        newsletter = found.newsletter
        await self._newsletters.call(
            "add_item",
            newsletter=newsletter.id,
            article=article.id,
            topics=orjson.dumps(found.topics).decode(),
            corrected=article.kind is Kind.CORRECTED,
        )
        if article.kind is Kind.PUBLISHED and Cadence.INSTANT in newsletter.draft.cadences:
            await self._queue.open_alert(
                alert_id(newsletter.id, article.id, article.version),
                newsletter.id,
                f"{newsletter.id}|{INSTANT_GROUP}",
                article.id,
                found.topics,
            )

    async def _forget(self, article_id: str) -> None:
        for newsletter in self._matcher.all:
            await self._newsletters.call("remove_item", newsletter=newsletter.id, article=article_id)

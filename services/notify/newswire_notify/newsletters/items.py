"""What a mail may hold at the moment it is made: articles that are published still, and that the account may still send."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.auth.accounts import Account, find_account
from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire.storage.article_records import read_version
from newswire.timestamps import rfc3339
from newswire_notify.newsletters.matching import is_entitled
from newswire_notify.newsletters.repository import Newsletters

MAX_CACHED = 512
SUMMARY_CHARACTERS = 300
ALERT_CHARACTERS = 900


@dataclass(frozen=True, slots=True)
class Item:
    """An article as mails and archives show it."""

    article: str
    version: int
    title: str
    url: str
    summary: str
    authors: str
    language: str
    published_at: str
    """The day (UTC)."""
    updated_at: str
    correction_note: str | None = None


@dataclass(frozen=True, slots=True)
class ChosenItems:
    """The items of a mail, newest first, and earlier ones that were corrected since."""

    items: tuple[Item, ...]
    corrections: tuple[Item, ...] = ()

    @property
    def identity(self) -> tuple[tuple[str, int], ...]:
        """What tells two sets of items apart."""
        return tuple((item.article, item.version) for item in (*self.items, *self.corrections))


class Items:
    """Reads the items of newsletters. Status and entitlement are read every time; texts are cached: a version never changes."""

    def __init__(self, newsletters: Newsletters, records: "Redis", keys: Keyspace) -> None:
        self._redis = newsletters.redis
        self._keys = newsletters.keys
        self._records = records
        self._keyspace = keys
        self._texts: OrderedDict[tuple[str, int], tuple[ArticlePublished, Item]] = OrderedDict()

    async def account(self, name: str) -> Account | None:
        """Return the account of a newsletter."""
        return await find_account(self._records, self._keyspace, name)

    async def chosen(
        self, newsletter: str, topics: Sequence[str], after: int, last: int, entitlement: Filter | None, limit: int
    ) -> ChosenItems:
        """Return the items of a digest: what matched after one sequence number up to another, and corrections since then."""
        items_key = self._keys.key("newsletter_items", newsletter)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.zrangebyscore(items_key, f"({after}", last)
            pipe.zrangebyscore(self._keys.key("newsletter_corrections", newsletter), f"({after}", last)
            fresh, corrected = await pipe.execute()
        earlier = [article for article in corrected if article not in set(fresh)]
        fresh_ids = await self._of_topics(newsletter, [each.decode() for each in reversed(fresh)], topics)
        earlier_ids = await self._of_topics(newsletter, [each.decode() for each in reversed(earlier)], topics)
        return ChosenItems(
            tuple(await self.published(fresh_ids[: 4 * limit], entitlement)),
            tuple(await self.published(earlier_ids[:limit], entitlement)),
        )

    async def published(self, articles: Sequence[str], entitlement: Filter | None) -> list[Item]:
        """Return the articles that are published now and that an entitlement allows, in their current version."""
        if not articles:
            return []
        async with self._records.pipeline(transaction=False) as pipe:
            for article in articles:
                pipe.hmget(self._keyspace.article(article), "status", "version")
            states = await pipe.execute()
        found = []
        for article, (status, version) in zip(articles, states, strict=True):
            if status != Status.PUBLISHED.encode():
                continue
            cached = await self._text(article, int(version))
            if cached is None:
                continue
            text, item = cached
            if entitlement is None or is_entitled(entitlement, ArticleFeatures.of(text)):
                found.append(item)
        return found

    async def _of_topics(self, newsletter: str, articles: Sequence[str], topics: Sequence[str]) -> list[str]:
        if not topics or not articles:
            return list(articles)
        stored = await self._redis.hmget(self._keys.key("newsletter_item_topics", newsletter), list(articles))
        wanted = set(topics)
        return [
            article
            for article, found in zip(articles, stored, strict=True)
            if found and not wanted.isdisjoint(orjson.loads(found))
        ]

    async def _text(self, article: str, version: int) -> tuple[ArticlePublished, Item] | None:
        """Return the text of a version, and how mails show it."""
        name = (article, version)
        if name not in self._texts:
            text = await read_version(self._records, self._keyspace, article, version)
            if text is None:
                return None
            self._texts[name] = (text, _item(text))
            if len(self._texts) > MAX_CACHED:
                self._texts.popitem(last=False)
        return self._texts[name]


def _item(article: ArticlePublished) -> Item:
    return Item(
        article=article.id,
        version=article.version,
        title=article.title,
        url=article.url,
        summary=shortened(article.summary or article.text, ALERT_CHARACTERS),
        authors=", ".join(article.author_names),
        language="" if article.language == "und" else article.language,
        published_at=article.published_at.date().isoformat(),
        updated_at=rfc3339(article.updated_at),
        correction_note=article.correction_note,
    )


def shortened(text: str, most: int) -> str:
    """Return the beginning of a text on one line, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return line[:most].rpartition(" ")[0].rstrip(".,;:") + " …" if " " in line[:most] else line[: most - 1] + "…"

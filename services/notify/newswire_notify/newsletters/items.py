"""What a mail may hold at the moment it is made: articles that are published still, and that the account may still send."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.auth.accounts import Account, find_account
from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire.storage.article_records import read_version
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive, DocumentMissingError
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


@dataclass(frozen=True)
class ChosenItems:
    """The items of a mail, newest first, and earlier ones that were corrected since."""

    items: tuple[Item, ...]
    corrections: tuple[Item, ...] = ()

    @cached_property
    def identity(self) -> tuple[tuple[str, int], ...]:
        """What tells two sets of items apart."""
        return tuple((item.article, item.version) for item in (*self.items, *self.corrections))


@dataclass(frozen=True, slots=True)
class NumberedItem:
    """An article that matched, or a correction of one, with its sequence number and its topics in the newsletter."""

    article: str
    number: int
    topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class NumberedItems:
    """What a newsletter has between two sequence numbers: `after` and later, up to `last`."""

    after: int
    last: int
    items: Sequence[NumberedItem]
    corrections: Sequence[NumberedItem]

    def chosen(self, topics: Sequence[str], after: int, last: int) -> tuple[list[str], list[str]]:
        """Return the articles of a digest within these numbers, and those that were corrected since the last one, newest first."""
        wanted = frozenset(topics)

        def within(items: Iterable[NumberedItem]) -> list[str]:
            return [
                each.article
                for each in items
                if after < each.number <= last and (not wanted or not wanted.isdisjoint(each.topics))
            ]

        fresh = within(reversed(self.items))
        known = {each.article for each in self.items if after < each.number <= last}
        return fresh, [article for article in within(reversed(self.corrections)) if article not in known]


class Items:
    """Reads the items of newsletters. Status and entitlement are read every time; texts are cached: a version never changes."""

    def __init__(
        self, newsletters: Newsletters, records: "Redis", keys: Keyspace, archive: DocumentArchive = NO_ARCHIVE
    ) -> None:
        self._archive = archive
        self._newsletters = newsletters
        self._records = records
        self._keyspace = keys
        self._texts: OrderedDict[tuple[str, int], tuple[ArticlePublished, Item]] = OrderedDict()

    async def account(self, name: str) -> Account | None:
        """Return the account of a newsletter."""
        return await find_account(self._records, self._keyspace, name)

    def batch(self) -> "BatchItems":
        """Return what reads the items of a batch of mails: use it for mails that are made at the same moment."""
        return BatchItems(self)

    async def numbered(self, newsletter: str, after: int, last: int) -> "NumberedItems":
        """Return what matched after one sequence number up to another, and what was corrected, oldest first."""
        items, corrections, topics = await self._newsletters.call(
            "read_items", newsletter=newsletter, after=after, last=last
        )
        names = [article.decode() for article in (*items[::2], *corrections[::2])]
        known = {name: frozenset(orjson.loads(found or b"[]")) for name, found in zip(names, topics, strict=True)}
        numbers = [int(number) for number in (*items[1::2], *corrections[1::2])]
        numbered = [NumberedItem(name, number, known[name]) for name, number in zip(names, numbers, strict=True)]
        count = len(items) // 2
        return NumberedItems(after, last, numbered[:count], numbered[count:])

    async def published(self, articles: Sequence[str], entitlement: Filter | None) -> list[Item]:
        """Return the articles that are published now and that an entitlement allows, in their current version."""
        return [item for item in await self.looked_up(articles, entitlement) if item is not None]

    async def looked_up(self, articles: Sequence[str], entitlement: Filter | None) -> list[Item | None]:
        """Return each article that is published now and that an entitlement allows, in its current version; None for others."""
        if not articles:
            return []
        async with self._records.pipeline(transaction=False) as pipe:
            for article in articles:
                pipe.hmget(self._keyspace.article(article), "status", "version")
            states = await pipe.execute()
        found: list[Item | None] = []
        for article, (status, version) in zip(articles, states, strict=True):
            cached = await self._text(article, int(version)) if status == Status.PUBLISHED.encode() else None
            text, item = cached or (None, None)
            allowed = text is not None and (entitlement is None or is_entitled(entitlement, ArticleFeatures.of(text)))
            found.append(item if allowed else None)
        return found

    async def _text(self, article: str, version: int) -> tuple[ArticlePublished, Item] | None:
        """Return the text of a version, and how mails show it."""
        name = (article, version)
        if name not in self._texts:
            try:
                text = await read_version(self._records, self._keyspace, article, version, self._archive)
            except DocumentMissingError:
                text = None
            if text is None:
                return None
            self._texts[name] = (text, _item(text))
            if len(self._texts) > MAX_CACHED:
                self._texts.popitem(last=False)
        return self._texts[name]


class BatchItems:
    """Reads the items of the mails of one batch: what several of them hold is read once.

    Readers differ in their topics and in their last digest, but the articles that they choose from are the same.
    """

    def __init__(self, items: Items) -> None:
        self._items = items
        self._numbered: dict[str, NumberedItems] = {}
        self._looked_up: dict[tuple[str, str], Item | None] = {}
        """By newsletter and article: a newsletter has one entitlement."""

    async def chosen(
        self, newsletter: str, topics: Sequence[str], after: int, last: int, entitlement: Filter | None, limit: int
    ) -> ChosenItems:
        """Return the items of a digest: what matched after one sequence number up to another, and corrections since then."""
        known = self._numbered.get(newsletter)
        if known is None or after < known.after or last > known.last:
            first, end = (after, last) if known is None else (min(after, known.after), max(last, known.last))
            known = self._numbered[newsletter] = await self._items.numbered(newsletter, first, end)
        fresh, corrected = known.chosen(topics, after, last)
        found = await self._published(newsletter, [*fresh[: 4 * limit], *corrected[:limit]], entitlement)
        count = sum(item is not None for item in found[: len(fresh[: 4 * limit])])
        published = tuple(item for item in found if item is not None)
        return ChosenItems(published[:count], published[count:])

    async def _published(
        self, newsletter: str, articles: Sequence[str], entitlement: Filter | None
    ) -> list[Item | None]:
        missing = [article for article in articles if (newsletter, article) not in self._looked_up]
        found = await self._items.looked_up(missing, entitlement)
        self._looked_up.update(zip(((newsletter, article) for article in missing), found, strict=True))
        return [self._looked_up[newsletter, article] for article in articles]


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

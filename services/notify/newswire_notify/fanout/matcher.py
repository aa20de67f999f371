"""Finds the filters that an article matches, at a cost that follows the number of matches, not of subscriptions.

Subscriptions share filters, so only distinct filters are kept. Each is indexed under one feature that a matching article must
have (a term of its query, or a value of a field), the rarest one. The features of an article select the candidates, and only
these are verified (`IndexedFilter.matches`). A filter without a required feature is verified against every article.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Iterable, Sequence

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause
from newswire.events import ArticlePublished
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire.messaging.change_feed import ChangeFeed, Fields
from newswire.text.analysis import DEFAULT
from newswire_notify.fanout.filter_index import FREEZE_EVERY, SCAN_COUNT, FilterIndex

log = logging.getLogger(__name__)


PROGRESS_LOG_SECONDS = 2.0


class Matcher:
    """A `FilterIndex` that follows the subscriptions in Redis."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self.index = FilterIndex()
        self.loading: str | None = "the filters of subscriptions have not been loaded yet"
        """Why no event can be matched now; None where all filters are loaded."""
        self._redis = redis
        self._languages = keys.deliveries.key("languages")
        self._filters = keys.deliveries.key("filters")
        self._remembered: set[str] = set()
        self._updating = asyncio.Lock()
        """Held while filters are added, removed, or indexed for a language: one that is added meanwhile is in every index."""
        names = (keys.deliveries.key("filters", name) for name in ("changes", "changed"))
        self._changes = ChangeFeed(redis, *names)

    @property
    def changes(self) -> int:
        """The number of the last known filter change; -1 before the first."""
        return self._changes.position.count if self._changes.position else -1

    def match(self, article: ArticlePublished, features: ArticleFeatures | None = None) -> list[str]:
        """Return the digests of the filters that match this version; ``features`` are those of the version, if known."""
        return self.index.match(article, features)

    def searches_text(self, article: ArticlePublished) -> bool:
        """Return whether `match` may analyse the text of a version."""
        return self.index.searches_text(article)

    async def check(self) -> str | None:
        """Return why no event can be matched now, or None: a check of `/status`."""
        return self.loading

    async def load(self, stopping: asyncio.Event) -> None:
        """Load all filters for every known language before the first event; retry until stopping is set."""
        failures = 0
        while not stopping.is_set():
            try:
                await self.catch_up()
                return
            except (RedisError, OSError) as error:
                self.loading = f"the filters of subscriptions cannot be loaded: {error}"
                log.warning("cannot load filters", extra={"reason": str(error)})
                await pause(stopping, delay_after(failures))
                failures += 1

    async def prepare(self, languages: Iterable[str]) -> None:
        """Index all filters for the languages of the next articles (`newswire.text.analysis.language_of`), before they are matched.

        The languages are stored in Redis, so that a start prepares them before the first event.
        """
        fresh = set(languages) - self._remembered
        for language in fresh:
            await self._index(language)
        if fresh:
            await self._redis.sadd(self._languages, *fresh)
            self._remembered |= fresh

    async def catch_up(self) -> None:
        """Apply every change since the last call; reload all filters where changes were missed."""
        async with self._updating:
            while (news := await self._changes.read()) is None:
                await self._rebuild()
            changed, place = news
            for at in range(0, len(changed), SCAN_COUNT):
                await self._apply(changed[at : at + SCAN_COUNT])
            self._changes.advance_to(place)
            self.loading = None

    async def refresh(self, language: str) -> None:
        """Apply every change, and index the filters for a language, for articles that are matched beside the events."""
        await self.catch_up()
        await self._index(language)

    async def _index(self, language: str) -> None:
        async with self._updating:
            await self.index.prepare(language)

    async def _rebuild(self) -> None:
        """Load all filters. Changes made meanwhile are applied again afterwards, which has no effect."""
        place = await self._changes.latest()
        index = FilterIndex()
        cursor, last_logged, frozen = 0, time.monotonic(), 0
        while True:
            cursor, found = await self._redis.hscan(self._filters, cursor, count=SCAN_COUNT)
            for digest, definition in found.items():
                index.add(digest.decode(), *_read_definition(definition))
            self.loading = f"the filters of subscriptions are being loaded: {len(index)} so far"
            if len(index) >= frozen + FREEZE_EVERY:
                gc.freeze()
                frozen = len(index)
            if cursor == 0:
                break
            if time.monotonic() > last_logged + PROGRESS_LOG_SECONDS:
                last_logged = time.monotonic()
                log.info("loading the filters of subscriptions", extra={"read": len(index)})
        known = {language.decode() for language in await self._redis.smembers(self._languages)}
        for language in {DEFAULT, *known, *self.index.languages}:
            self.loading = f"the filters of subscriptions are being indexed for the language {language!r}"
            await index.prepare(language)
        self.index = index
        self._changes.advance_to(place)

    async def _apply(self, changed: Sequence[Fields]) -> None:
        """Apply changes in order. The definition of a digest never changes; a later change removes one that no longer exists."""
        added = list({fields[b"digest"] for fields in changed if fields[b"op"] == b"add"})
        found = await self._redis.hmget(self._filters, added) if added else []
        definitions = dict(zip(added, found, strict=True))
        for fields in changed:
            digest = fields[b"digest"]
            if fields[b"op"] != b"add":
                self.index.remove(digest.decode())
            elif definition := definitions[digest]:
                self.index.add(digest.decode(), *_read_definition(definition))
            await asyncio.sleep(0)  # a long filter takes milliseconds


def _read_definition(definition: bytes) -> tuple[Filter, list[str], Filter | None]:
    stored = orjson.loads(definition)
    narrowed = stored.get("entitlement")
    entitlement = None if narrowed is None else Filter.model_validate(narrowed)
    return Filter.model_validate(stored["filter"]), stored["events"], entitlement

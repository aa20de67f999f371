"""What readers get out of an index: never an article whose text is erased, even before the index has heard of it.

A retraction is answered once records and stream are erased; the index follows a moment later. In between, the record decides what
is shown, and the list of retractions that the index does not show yet decides what is counted.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.tombstone_readers import may_see_tombstone, read_readers
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire.storage.article_records import read_article_state
from newswire_search.index.port import (
    Completion,
    CompletionRequest,
    IndexReader,
    PublicationDay,
    Retracted,
    SearchPage,
    SearchRequest,
)

log = logging.getLogger(__name__)

RECORD_TIMEOUT_SECONDS = 0.5
"""Seconds to wait for the record. Without it the index answers alone: while Redis is down, nothing is retracted either."""


class RetractionFilteredIndex:
    """An index as readers may see it."""

    def __init__(self, index: IndexReader, records: "Redis", keys: Keyspace) -> None:
        self._index = index
        self._records = records
        self._keys = keys

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles, as `newswire_search.index.port.ArticleIndex.search` does."""
        page = await self._index.search(await self._without_erased(request))
        kept = await self._kept(page.articles)
        gone = len(page.articles) - len(kept)
        return replace(page, articles=kept, total=page.total - gone) if gone else page

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return a published article, as `newswire_search.index.port.ArticleIndex.get` does."""
        found = await self._index.get(article_id)
        if found is None or isinstance(found, Retracted) or await self._kept([found]):
            return found
        return Retracted(article_id, found["version"])

    async def may_know(self, article_id: str, entitlement: Filter) -> bool:
        """Return whether a reader with an entitlement may learn that an article was retracted.

        What cannot be decided is not told: the article has no tombstone, or the record cannot be read at the moment.
        """
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_SECONDS):
                state = await read_article_state(self._records, self._keys, article_id)
                if state is None or state.tombstone is None:
                    return False
                [readers] = await read_readers(self._records, self._keys, [(article_id, state.version)])
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("the record cannot be asked who may learn of a retraction", extra={"reason": repr(error)})
            return False
        return may_see_tombstone(entitlement, ArticleFeatures.of(state.tombstone), readers)

    async def days(self, request: SearchRequest) -> Sequence[PublicationDay]:
        """Return days with their counts, as `newswire_search.index.port.IndexReader.days` does."""
        return await self._index.days(await self._without_erased(request))

    async def get_all(
        self, article_ids: Sequence[str], *, with_text: bool = True, with_body: bool = True
    ) -> list[Mapping[str, Any]]:
        """Return published articles, as `newswire_search.index.port.ArticleIndex.get_all` does."""
        return await self._kept(await self._index.get_all(article_ids, with_text=with_text, with_body=with_body))

    async def complete(self, request: CompletionRequest) -> list[Completion]:
        """Complete what is typed, as `newswire_search.index.port.ArticleIndex.complete` does."""
        found = await self._index.complete(request)
        erased = await self._erased(list(dict.fromkeys((each.article_id, each.version) for each in found)))
        return [each for each in found if (each.article_id, each.version) not in erased]

    async def related(
        self, article: Mapping[str, Any], entitlement: Filter | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Return related articles, as `newswire_search.index.port.ArticleIndex.related` does."""
        return await self._kept(await self._index.related(article, entitlement, limit))

    async def _without_erased(self, request: SearchRequest) -> SearchRequest:
        """Return the request for what is left without retractions that the index does not show yet."""
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_SECONDS):
                found = await self._records.zrange(self._keys.unindexed_retractions, 0, -1)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("the record cannot be asked; the index answers alone", extra={"reason": repr(error)})
            return request
        erased: dict[int, list[str]] = {}
        for member in found:
            article_id, _, version = member.decode().rpartition(".")
            erased.setdefault(int(version), []).append(article_id)
        return replace(request, erased=erased) if erased else request

    async def _kept(self, articles: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        erased = await self._erased([(article["id"], article["version"]) for article in articles])
        return [article for article in articles if (article["id"], article["version"]) not in erased]

    async def _erased(self, shown: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return those, of ids and versions, whose record is there and whose version document is gone."""
        if not shown:
            return set()
        versions = [self._keys.version(article_id, version) for article_id, version in shown]
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_SECONDS):
                if await self._records.exists(*versions) == len(versions):  # nearly always
                    return set()
                async with self._records.pipeline(transaction=False) as pipe:
                    for (article_id, _), version in zip(shown, versions, strict=True):
                        pipe.exists(version)
                        pipe.exists(self._keys.article(article_id))
                    found = await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("the record cannot be asked; the index answers alone", extra={"reason": repr(error)})
            return set()
        pairs = zip(shown, found[::2], found[1::2], strict=True)
        return {each for each, document, state in pairs if state and not document}

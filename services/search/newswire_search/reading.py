"""What readers get out of an index: never an article whose text is erased, even before the index has heard of it.

A retraction is answered once records and stream are erased; the index follows a moment later. In between, the record decides.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.keyspace import Keyspace
from newswire_search.index import Day, Reading, Retracted, SearchPage, SearchRequest

log = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds to wait for the record. Without it the index answers alone: while Redis is down, nothing is retracted either."""


class ErasureAware:
    """An index as readers may see it."""

    def __init__(self, index: Reading, records: "Redis", keys: Keyspace) -> None:
        self._index = index
        self._records = records
        self._keys = keys

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles, as `newswire_search.index.ArticleIndex.search` does."""
        page = await self._index.search(request)
        erased = await self._erased(page.articles)
        if not erased:
            return page
        kept = [article for article in page.articles if article["id"] not in erased]
        return replace(page, articles=kept, total=page.total - len(erased))

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return a published article, as `newswire_search.index.ArticleIndex.get` does."""
        found = await self._index.get(article_id)
        if found is None or isinstance(found, Retracted) or not await self._erased([found]):
            return found
        return Retracted(article_id, found["version"])

    async def days(self, request: SearchRequest) -> Sequence[Day]:
        """Return days with their counts, as `newswire_search.index.Reading.days` does; the index alone knows them."""
        return await self._index.days(request)

    async def _erased(self, articles: Sequence[Mapping[str, Any]]) -> set[str]:
        """Return the ids of those whose record is there and whose version document is gone."""
        if not articles:
            return set()
        versions = [self._keys.version(article["id"], article["version"]) for article in articles]
        try:
            async with asyncio.timeout(PATIENCE):
                if await self._records.exists(*versions) == len(versions):  # nearly always
                    return set()
                async with self._records.pipeline(transaction=False) as pipe:
                    for article, version in zip(articles, versions, strict=True):
                        pipe.exists(version)
                        pipe.exists(self._keys.article(article["id"]))
                    found = await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("the record cannot be asked; the index answers alone", extra={"reason": repr(error)})
            return set()
        pairs = zip(articles, found[::2], found[1::2], strict=True)
        return {article["id"] for article, document, head in pairs if head and not document}

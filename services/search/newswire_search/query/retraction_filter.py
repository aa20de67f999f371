"""An index without articles whose text is erased, even before the index has processed the retraction.

A retraction is acknowledged once records and stream are erased; the index follows a moment later. In between, the record decides
which articles are shown, and the list of retractions that are not indexed yet decides which are counted.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.tombstone_readers import may_see_tombstone, read_readers
from newswire.concurrency.shared_reading import SharedReading
from newswire.filters import ArticleFeatures, Filter
from newswire.keys import Keyspace
from newswire.storage.article_records import read_article_state
from newswire_search.index.models import (
    Completion,
    CompletionRequest,
    PublicationDay,
    Retracted,
    SearchPage,
    SearchRequest,
)
from newswire_search.index.port import IndexReader
from newswire_search.query.erased_versions import RECORD_TIMEOUT_SECONDS, ErasedVersions

log = logging.getLogger(__name__)


class RetractionFilteredIndex:
    """An index as readers may see it."""

    def __init__(self, index: IndexReader, records: "Redis", keys: Keyspace) -> None:
        self._index = index
        self._records = records
        self._keys = keys
        self._erased_versions = ErasedVersions(records, keys)
        self._unindexed_retractions = SharedReading(self._read_unindexed_retractions)

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles; see `newswire_search.index.port.IndexReader.search`."""
        page = await self._index.search(await self._excluding_erased(request))
        erased = await self._erased_versions.among(_versions_of(page.articles))
        return _page_without(page, erased)

    async def search_with_partial_matches(self, request: SearchRequest) -> tuple[SearchPage, SearchPage | None]:
        """Find published articles and partial matches; see `newswire_search.index.port.IndexReader`."""
        found = await self._index.search_with_partial_matches(await self._excluding_erased(request))
        page, partial_matches = found
        versions = [each for page in found if page is not None for each in _versions_of(page.articles)]
        erased = await self._erased_versions.among(versions)
        return _page_without(page, erased), _page_without(partial_matches, erased) if partial_matches else None

    async def search_all(self, requests: Sequence[SearchRequest]) -> list[SearchPage]:
        """Run several searches together; see `newswire_search.index.port.IndexReader.search_all`."""
        if not requests:
            return []
        excluding = await asyncio.gather(*map(self._excluding_erased, requests))
        pages = await self._index.search_all(excluding)
        found = [article for page in pages for article in page.articles]
        erased = await self._erased_versions.among(_versions_of(found))
        return [_page_without(page, erased) for page in pages]

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return a published article; see `newswire_search.index.port.IndexReader.get`."""
        found = await self._index.get(article_id)
        if found is None or isinstance(found, Retracted) or await self._without_erased([found]):
            return found
        return Retracted(article_id, found["version"])

    async def may_see_retraction(self, article_id: str, entitlement: Filter) -> bool:
        """Return whether a reader with an entitlement may see that an article was retracted.

        False if that cannot be decided: the article has no tombstone, or the record cannot be read.
        """
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_SECONDS):
                state = await read_article_state(self._records, self._keys, article_id)
                if state is None or state.tombstone is None:
                    return False
                [readers] = await read_readers(self._records, self._keys, [(article_id, state.version)])
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("could not read who may see a retraction", extra={"reason": repr(error)})
            return False
        return may_see_tombstone(entitlement, ArticleFeatures.of(state.tombstone), readers)

    async def days(self, request: SearchRequest) -> Sequence[PublicationDay]:
        """Return days with their counts; see `newswire_search.index.port.IndexReader.days`."""
        return await self._index.days(await self._excluding_erased(request))

    async def get_all(
        self, article_ids: Sequence[str], *, with_text: bool = True, with_body: bool = True
    ) -> list[Mapping[str, Any]]:
        """Return published articles; see `newswire_search.index.port.IndexReader.get_all`."""
        found = await self._index.get_all(article_ids, with_text=with_text, with_body=with_body)
        return await self._without_erased(found)

    async def complete(self, request: CompletionRequest) -> list[Completion]:
        """Complete what is typed; see `newswire_search.index.port.IndexReader.complete`."""
        found = await self._index.complete(request)
        erased = await self._erased_versions.among([(each.article_id, each.version) for each in found])
        return [each for each in found if (each.article_id, each.version) not in erased]

    async def related(
        self, article: Mapping[str, Any], entitlement: Filter | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Return related articles; see `newswire_search.index.port.IndexReader.related`."""
        return await self._without_erased(await self._index.related(article, entitlement, limit))

    async def _excluding_erased(self, request: SearchRequest) -> SearchRequest:
        """Return the request with the retractions excluded that are not indexed yet, unless they are known."""
        if request.erased is not None:
            return request
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_SECONDS):
                found = await self._unindexed_retractions()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("could not read the records; results come from the index alone", extra={"reason": repr(error)})
            return request
        erased: dict[int, list[str]] = {}
        for member in found:
            article_id, _, version = member.decode().rpartition(".")
            erased.setdefault(int(version), []).append(article_id)
        return replace(request, erased=erased)

    async def _read_unindexed_retractions(self) -> list[bytes]:
        async with asyncio.timeout(RECORD_TIMEOUT_SECONDS):
            found: list[bytes] = await self._records.zrange(self._keys.unindexed_retractions, 0, -1)
            return found

    async def _without_erased(self, articles: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return _without(articles, await self._erased_versions.among(_versions_of(articles)))


def _versions_of(articles: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return [(article["id"], article["version"]) for article in articles]


def _without(articles: Sequence[Mapping[str, Any]], erased: Set[tuple[str, int]]) -> list[Mapping[str, Any]]:
    return [article for article in articles if (article["id"], article["version"]) not in erased]


def _page_without(page: SearchPage, erased: Set[tuple[str, int]]) -> SearchPage:
    kept = _without(page.articles, erased) if erased else page.articles
    missing = len(page.articles) - len(kept)
    return replace(page, articles=kept, total=page.total - missing) if missing else page

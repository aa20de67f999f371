"""Searches and reads articles, for the API, the pages, the feeds and the sitemaps.

This module does not depend on HTTP. Every function raises `newswire.messaging.messages.DependencyUnavailableError` while the index
is down.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from newswire.cost_limits import INLINE_TEXT_BYTES
from newswire.filters import Filter
from newswire_search.index.models import FACETS, Retracted, SearchPage, SearchRequest
from newswire_search.index.port import IndexReader, PublicIndexReader
from newswire_search.query.entitlement import filter_readable, may_read
from newswire_search.query.offload import offload
from newswire_search.query.spelling import correction, with_counts, words_to_count

_ARTICLE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


class ArticleNotFoundError(LookupError):
    """There is no such article, or the caller may not read it."""


class ArticleRetractedError(LookupError):
    """The article was retracted."""


@dataclass(frozen=True, slots=True)
class SearchResults:
    """A page of results, and further information for a first page."""

    page: SearchPage
    partial_matches: SearchPage | None = None
    """Articles with some of the words, if those with all words do not fill the page."""
    suggestion: str | None = None
    """Another spelling of the query, if it matches few articles and this spelling matches more."""


async def search(index: IndexReader, request: SearchRequest, q: str) -> SearchResults:
    """Run a search whose query was typed as ``q``.

    Raises:
        SnapshotExpiredError: the snapshot that the page begins in has expired.
    """
    page, partial_matches = await index.search_with_partial_matches(request)
    words = words_to_count(q, request, page)
    found = await index.search_all([each.request for each in words if each.request is not None])
    counted = with_counts(words, [each.total for each in found])
    suggestion = await correction(index, q, request, page, counted)
    return SearchResults(page, partial_matches if partial_matches and partial_matches.articles else None, suggestion)


async def get_by_ids(
    index: IndexReader, ids: Sequence[str], entitlement: Filter | None, *, with_text: bool, with_body: bool
) -> SearchPage:
    """Return the published ones among these articles that the caller may read, in the requested order, as one page."""
    valid_ids = [article_id for article_id in ids if _ARTICLE_ID.fullmatch(article_id)]
    needs_text = entitlement is not None and entitlement.query is not None
    found = await index.get_all(valid_ids, with_text=needs_text or with_text, with_body=with_body)
    articles = await offload.run(lambda _: filter_readable(entitlement, found)) if entitlement else found
    return SearchPage(len(articles), articles, dict.fromkeys(FACETS, ()))


async def look_up(
    index: PublicIndexReader, article_id: str, entitlement: Filter | None
) -> Mapping[str, Any] | Retracted | None:
    """Return an article or its retraction; None if the id is invalid or unknown, or the caller may not read the article."""
    if not _ARTICLE_ID.fullmatch(article_id):
        return None
    found = await index.get(article_id)
    if isinstance(found, Retracted):
        return found if entitlement is None or await index.may_see_retraction(article_id, entitlement) else None
    if not found or entitlement is None:
        return found
    if entitlement.query is not None and len(found.get("text", "")) > INLINE_TEXT_BYTES:
        return found if await offload.run(lambda _: may_read(entitlement, found)) else None
    return found if may_read(entitlement, found) else None


async def get_article(index: PublicIndexReader, article_id: str, entitlement: Filter | None) -> Mapping[str, Any]:
    """Return a published article.

    Raises:
        ArticleNotFoundError: there is none, or the caller may not read it.
        ArticleRetractedError: it was retracted.
    """
    found = await look_up(index, article_id, entitlement)
    if found is None:
        raise ArticleNotFoundError(article_id)
    if isinstance(found, Retracted):
        raise ArticleRetractedError(article_id)
    return found

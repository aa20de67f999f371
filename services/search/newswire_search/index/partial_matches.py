"""Partial matches: articles with some of the words, which fill the first page by relevance if those with all words do not."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from newswire_search.index.models import SearchPage, SearchRequest, Sort, WordMatch
from newswire_search.index.ranking import can_match_partially


def can_show_partial_matches(request: SearchRequest) -> bool:
    """Return whether the page of a request may have partial matches below its results."""
    return request.after is None and request.sort is Sort.RELEVANCE and can_match_partially(request.query)


def partial_matches_request(request: SearchRequest, total: int) -> SearchRequest | None:
    """Return the search for partial matches, if the results leave room on the page; ``total`` is how many there are."""
    room = request.limit - total
    if room <= 0 or not can_show_partial_matches(request):
        return None
    return replace(request, word_match=WordMatch.PARTIAL, limit=room, with_facets=False)


async def search_one_after_the_other(
    search: Callable[[SearchRequest], Awaitable[SearchPage]], request: SearchRequest
) -> tuple[SearchPage, SearchPage | None]:
    """Return the page of a request, and the partial matches that are searched for if it has room."""
    page = await search(request)
    for_partial = partial_matches_request(request, page.total)
    return page, await search(for_partial) if for_partial else None

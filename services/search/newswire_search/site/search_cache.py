"""The searches behind the pages that every reader opens, kept for a moment.

A page of a busy site is asked for many times a second. What it shows is read from the index at most twice a second, unless an
article was published or retracted in between. Retracted articles are removed from each answer, whatever is kept.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from newswire_search.feeds.index_changes import IndexState
from newswire_search.index.models import SearchPage, SearchRequest
from newswire_search.index.port import PublicIndexReader

MAX_AGE_SECONDS = 0.5
"""An article must be on the front page within a second of its publication."""
MAX_ENTRIES = 128


@dataclass(frozen=True, slots=True)
class _Entry:
    page: SearchPage
    state: str
    read_at: float


class SearchCache:
    """First pages of searches without words, for readers without an entitlement."""

    def __init__(
        self, index: PublicIndexReader, state: IndexState, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._index = index
        self._state = state
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def search(self, name: str, request: SearchRequest) -> SearchPage:
        """Return a page of results. ``name`` stands for the search, without the reader.

        Raises:
            SnapshotExpiredError: the snapshot that the page begins in has expired.
            DependencyUnavailableError: the index is down.
        """
        state = await self._state() if request.entitlement is None and request.after is None else None
        if state is None:
            return await self._index.search(request)
        kept = self._entries.get(name)
        now = self._clock()
        if kept is not None and kept.state == state and now - kept.read_at < MAX_AGE_SECONDS:
            articles = await self._index.still_published(kept.page.articles)
            erased = len(kept.page.articles) - len(articles)
            return replace(kept.page, articles=articles, total=kept.page.total - erased) if erased else kept.page
        page = await self._index.search(request)
        self._entries[name] = _Entry(page, state, now)
        self._entries.move_to_end(name)
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)
        return page

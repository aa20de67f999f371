"""The sections of the site, which every page links to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from newswire.filters import Filter
from newswire.messaging.messages import DependencyUnavailableError
from newswire.text.folding import fold
from newswire_search.feeds.index_changes import IndexState
from newswire_search.index.models import FieldFilter, SearchRequest, Sort
from newswire_search.index.port import IndexReader
from newswire_search.query.state_cache import StateCache
from newswire_search.site.links import label_path

MAX_SECTIONS = 9
_CATEGORIES = "categories"


@dataclass(frozen=True, slots=True)
class Section:
    """A category in the navigation."""

    name: str
    path: str
    count: int = 0
    """How many articles it has, if that was asked."""
    selected: bool = False


class Navigation:
    """The sections that readers may see."""

    def __init__(self, index: IndexReader, configured: Sequence[str], refresh: timedelta) -> None:
        """Use the sections of the settings, if any. Searches of the index see a write after ``refresh``."""
        self._index = index
        self._kept: StateCache[list[Section]] = StateCache(1, refresh)
        self._configured = [Section(name, label_path("category", name)) for name in configured]

    async def sections(self, entitlement: Filter | None, state: IndexState) -> list[Section]:
        """Return the sections: those of the settings, else the categories with the most articles.

        They are left out while the index is down: an error page has none.
        """
        return self._configured or (await self.categories(entitlement, state))[:MAX_SECTIONS]

    async def categories(self, entitlement: Filter | None, state: IndexState) -> list[Section]:
        """Return the categories of articles, those with the most articles first; none while the index is down."""
        kept = self._kept.get(_CATEGORIES, state) if entitlement is None else None
        if kept is not None:
            return kept
        request = SearchRequest(
            sort=Sort.NEWEST,
            limit=0,
            with_total=False,
            facet_fields=("category",),
            entitlement=entitlement,
        )
        try:
            page = await self._index.search(request)
        except DependencyUnavailableError:
            return []
        sections = [
            Section(found.value, label_path("category", found.value), found.count) for found in page.facets["category"]
        ]
        if entitlement is None:
            self._kept.put(_CATEGORIES, state, sections)
        return sections


def with_selected(sections: Sequence[Section], current: str | None) -> list[Section]:
    """Return sections with the one selected that a page belongs to, if any."""
    return [replace(each, selected=current is not None and fold(each.name) == fold(current)) for each in sections]


def newest_request(
    entitlement: Filter | None,
    limit: int,
    field: str | None = None,
    value: str = "",
    *,
    owner: str = "",
    with_total: bool = False,
) -> SearchRequest:
    """Return the search for the newest articles, of one category, topic or author if given."""
    return SearchRequest(
        filters={field: FieldFilter(include=(fold(value),))} if field else {},
        sort=Sort.NEWEST,
        limit=limit,
        with_text=False,
        with_body=False,
        with_total=with_total,
        with_facets=False,
        entitlement=entitlement,
        snapshot_owner=owner,
    )

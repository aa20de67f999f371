"""The sections of the site, which every page links to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from newswire.filters import Filter
from newswire.messaging.messages import DependencyUnavailableError
from newswire.text.folding import fold
from newswire_search.index.models import FieldFilter, SearchRequest, Sort
from newswire_search.site.links import label_path
from newswire_search.site.search_cache import SearchCache

MAX_SECTIONS = 9


@dataclass(frozen=True, slots=True)
class Section:
    """A category in the navigation."""

    name: str
    path: str
    selected: bool = False


class Navigation:
    """The sections that readers may see."""

    def __init__(self, searches: SearchCache, configured: Sequence[str]) -> None:
        self._searches = searches
        self._configured = [Section(name, label_path("category", name)) for name in configured]

    async def sections(self, entitlement: Filter | None, current: str | None = None) -> list[Section]:
        """Return the sections: those of the settings, else the categories with the most articles.

        They are left out while the index is down: an error page has none.
        """
        sections = self._configured or await self._frequent(entitlement)
        return [replace(each, selected=current is not None and fold(each.name) == fold(current)) for each in sections]

    async def _frequent(self, entitlement: Filter | None) -> list[Section]:
        request = SearchRequest(
            sort=Sort.NEWEST,
            limit=1,
            with_text=False,
            with_body=False,
            facet_fields=("category",),
            entitlement=entitlement,
        )
        try:
            page = await self._searches.search("sections", request)
        except DependencyUnavailableError:
            return []
        return [
            Section(found.value, label_path("category", found.value))
            for found in page.facets["category"][:MAX_SECTIONS]
        ]


def newest_request(
    entitlement: Filter | None, limit: int, field: str | None = None, value: str = "", *, owner: str = ""
) -> SearchRequest:
    """Return the search for the newest articles, of one category, topic or author if given."""
    return SearchRequest(
        filters={field: FieldFilter(include=(fold(value),))} if field else {},
        sort=Sort.NEWEST,
        limit=limit,
        with_text=False,
        with_body=False,
        with_facets=False,
        entitlement=entitlement,
        snapshot_owner=owner,
    )

"""The searches behind pages are kept for a moment, and never longer than an article."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from newswire.filters import Filter
from newswire_search.index.models import SearchPage, SearchRequest, Sort
from newswire_search.index.port import PublicIndexReader
from newswire_search.site.search_cache import MAX_AGE_SECONDS, MAX_ENTRIES, SearchCache

REQUEST = SearchRequest(sort=Sort.NEWEST)


class Index:
    """An index that counts its searches, and knows what was retracted."""

    def __init__(self) -> None:
        self.searches = 0
        self.retracted: set[str] = set()
        self.state: str | None = "1-0"
        self.now = 100.0
        self.cache = SearchCache(cast("PublicIndexReader", self), self._state, clock=lambda: self.now)

    async def _state(self) -> str | None:
        return self.state

    async def search(self, _request: SearchRequest) -> SearchPage:
        self.searches += 1
        found = [{"id": each} for each in ("a1", "a2") if each not in self.retracted]
        return SearchPage(len(found), found, {})

    async def still_published(self, articles: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [article for article in articles if article["id"] not in self.retracted]

    async def ids(self, name: str = "front", request: SearchRequest = REQUEST) -> list[str]:
        page = await self.cache.search(name, request)
        assert page.total == len(page.articles)
        return [article["id"] for article in page.articles]


async def test_a_search_is_repeated_when_it_is_old_or_the_index_changed() -> None:
    index = Index()
    assert await index.ids() == await index.ids() == ["a1", "a2"]
    assert index.searches == 1
    index.now += MAX_AGE_SECONDS
    await index.ids()
    assert index.searches == 2
    index.state = "2-0"
    await index.ids()
    assert index.searches == 3
    await index.ids("live")
    assert index.searches == 4


async def test_a_retracted_article_is_gone_from_what_is_kept() -> None:
    index = Index()
    await index.ids()
    index.retracted = {"a1"}
    assert await index.ids() == ["a2"]
    assert index.searches == 1


async def test_nothing_is_kept_while_a_retraction_is_not_indexed() -> None:
    index = Index()
    await index.ids()
    index.state = None
    await index.ids()
    await index.ids()
    assert index.searches == 3


async def test_searches_of_readers_with_an_entitlement_are_never_shared() -> None:
    index = Index()
    narrowed = SearchRequest(sort=Sort.NEWEST, entitlement=Filter(categories=["Sea"]))
    await index.ids()
    await index.ids(request=narrowed)
    await index.ids(request=narrowed)
    assert index.searches == 3


async def test_the_number_of_kept_searches_is_bounded() -> None:
    index = Index()
    for number in range(MAX_ENTRIES + 1):
        await index.ids(f"topic {number}")
    await index.ids("topic 0")
    assert index.searches == MAX_ENTRIES + 2

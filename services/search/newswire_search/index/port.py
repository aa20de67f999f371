"""The port of the index of articles.

`ElasticsearchIndex` and `EmbeddedIndex` implement it; one test suite covers both.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from newswire.filters import Filter
from newswire_search.index.models import (
    Completion,
    CompletionRequest,
    IndexName,
    Operation,
    PublicationDay,
    RejectedOperation,
    Retracted,
    SearchPage,
    SearchRequest,
    WriteStatus,
)


class IndexReader(Protocol):
    """The read side of an index. Each method raises `DependencyUnavailableError` while the index is down."""

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles.

        Raises:
            SnapshotExpiredError: the snapshot that the page begins in has expired.
        """
        ...

    async def search_with_partial_matches(self, request: SearchRequest) -> tuple[SearchPage, SearchPage | None]:
        """Find published articles and, if they leave room on a first page by relevance, those with some of the words.

        Raises:
            SnapshotExpiredError: the snapshot that the page begins in has expired.
        """
        ...

    async def search_all(self, requests: Sequence[SearchRequest]) -> list[SearchPage]:
        """Run several searches for first pages together, which costs less than one after the other."""
        ...

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return a published article, `Retracted`, or None for an unknown id."""
        ...

    async def days(self, request: SearchRequest) -> Sequence[PublicationDay]:
        """Return the days on which the articles of a search were published, oldest first."""
        ...

    async def get_all(
        self, article_ids: Sequence[str], *, with_text: bool = True, with_body: bool = True
    ) -> list[Mapping[str, Any]]:
        """Return the published ones among these articles, in this order, in their current version."""
        ...

    async def complete(self, request: CompletionRequest) -> list[Completion]:
        """Return titles, topics and authors that contain each of the words; of each kind, those of the newest articles first."""
        ...

    async def related(
        self, article: Mapping[str, Any], entitlement: Filter | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Return other articles in this one's language that share its most significant words, without their text."""
        ...


class PublicIndexReader(IndexReader, Protocol):
    """An index as readers may see it, which also decides who may see a retraction."""

    async def may_see_retraction(self, article_id: str, entitlement: Filter) -> bool:
        """Return whether a reader with an entitlement may see that an article was retracted."""
        ...


class ArticleIndex(IndexReader, Protocol):
    """An index of articles. Every method except ``close`` raises `DependencyUnavailableError` while the index is down."""

    @property
    def name(self) -> IndexName:
        """The name of the implementation."""
        ...

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write a batch durably; the results are in the order of the operations."""
        ...

    async def until_visible(self, operations: Sequence[Operation]) -> None:
        """Return once searches see the effect of these operations, which were written before."""
        ...

    async def check(self) -> str | None:
        """Return why the index cannot be used now, or None if it can."""
        ...

    async def close(self) -> None:
        """Release connections, threads and locks."""
        ...

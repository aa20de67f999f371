"""The port to the index of articles: what may be asked of it, and what it answers.

Two implementations stand behind it, `ElasticsearchIndex` and `EmbeddedIndex`, and one suite of tests holds for both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from newswire.article import Article, Tombstone
from newswire.query import Everything, Query

FACETS = ("category", "topic", "author", "publisher", "language")
FACET_VALUES = 50
"""How many values of a facet an answer lists, the most frequent first."""

IndexName = Literal["elasticsearch", "embedded"]


class IndexInUse(RuntimeError):
    """Another process has this embedded index open."""


class SnapshotGone(LookupError):
    """The snapshot that a cursor walks through is no longer held."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Make a version findable, unless the index already holds that version, a later one or its retraction."""

    article: Article
    document: Mapping[str, Any]
    """The version as it stands in its event, members unknown to this release included."""

    @property
    def id(self) -> str:
        """The article's id."""
        return self.article.id

    @property
    def version(self) -> int:
        """The version to write."""
        return self.article.version


@dataclass(frozen=True, slots=True)
class Retract:
    """Leave only a tombstone, unless the index already holds a later version."""

    id: str
    version: int


Operation = Publish | Retract


class Written(StrEnum):
    """What became of an operation that the index took."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    """The index already held as much or more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An operation that the index can never take, and why."""

    reason: str


class Sort(StrEnum):
    """The order of results."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    OLDEST = "oldest"


class Asked(StrEnum):
    """What an article must have of a query's loose words."""

    ALL_WORDS = "all"
    SOME_WORDS = "some"
    """At least one and not all: what is shown beneath where too little has all of them."""


@dataclass(frozen=True, slots=True)
class FieldFilter:
    """Folded values of one field: any of the wanted ones, none of the unwanted ones."""

    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page begins: the sort key of the last result, and the snapshot it was found in, if any."""

    key: tuple[int | float | str, ...]
    snapshot: str | None = None
    now: int | None = None
    """`SearchRequest.now` of the first page."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One page of one search. Times are ms since 1970, both ends inclusive."""

    query: Query = field(default_factory=Everything)
    filters: Mapping[str, FieldFilter] = field(default_factory=dict)
    since: int | None = None
    until: int | None = None
    sort: Sort = Sort.RELEVANCE
    limit: int = 20
    after: Position | None = None
    now: int | None = None
    """The moment that ages count from in an order by relevance, the same on all pages; None: age does not count."""
    asked: Asked = Asked.ALL_WORDS
    """Answers to `Asked.SOME_WORDS` have one page and no facets."""
    with_text: bool = True
    """Whether the articles are to carry ``body`` and ``text``; lists that show neither are cheaper without."""


@dataclass(frozen=True, slots=True)
class FacetCount:
    """How many results carry a value, spelled the way most of them spell it."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The answer to a `SearchRequest`."""

    total: int
    articles: Sequence[Mapping[str, Any]]
    facets: Mapping[str, Sequence[FacetCount]]
    next: Position | None = None


@dataclass(frozen=True, slots=True)
class Retracted:
    """The answer about an article that was withdrawn."""

    id: str
    version: int


class Reading(Protocol):
    """The half of an index that readers use. Each method raises `newswire.consume.Unavailable` while the index is down."""

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles.

        Raises:
            SnapshotGone: the position to continue after belongs to a snapshot that is no longer held.
        """
        ...

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return a published article, or that it was retracted, or None where the index knows no such id."""
        ...


class ArticleIndex(Reading, Protocol):
    """An index of articles. Every method but ``close`` raises `newswire.consume.Unavailable` while the index is down."""

    @property
    def name(self) -> IndexName:
        """Which implementation this is."""
        ...

    async def write(self, operations: Sequence[Operation]) -> list[Written | Refused]:
        """Write a batch durably; the answers come in the order of the operations."""
        ...

    async def until_visible(self, operations: Sequence[Operation]) -> None:
        """Return once a search finds what these operations, written before, made findable."""
        ...

    async def check(self) -> str | None:
        """Tell why the index cannot be used now, or None where it can."""
        ...

    async def close(self) -> None:
        """Let go of connections, threads and locks."""
        ...


def operation(payload: Article | Tombstone, document: Mapping[str, Any]) -> Operation:
    """Return what the index is to do about one event."""
    if isinstance(payload, Tombstone):
        return Retract(payload.id, payload.version)
    return Publish(payload, document)


def merged_facet(buckets: Sequence[tuple[str, int]]) -> list[FacetCount]:
    """Add up buckets whose values differ only in spelling, and show each under its most common spelling."""
    counts: dict[str, int] = {}
    spellings: dict[str, tuple[int, str]] = {}
    for key, count in buckets:
        folded, _, spelling = key.partition("\x1f")
        counts[folded] = counts.get(folded, 0) + count
        commonest = spellings.get(folded)
        if commonest is None or (-count, spelling) < (-commonest[0], commonest[1]):
            spellings[folded] = (count, spelling)
    ordered = sorted(counts, key=lambda folded: (-counts[folded], folded))
    return [FacetCount(spellings[folded][1], counts[folded]) for folded in ordered[:FACET_VALUES]]

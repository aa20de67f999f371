"""The port to the index of articles: what may be asked of it, and what it answers.

Two implementations stand behind it, `ElasticsearchIndex` and `EmbeddedIndex`, and one suite of tests holds for both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from newswire.article import Article, Tombstone
from newswire.filters import Filter
from newswire.text.analysis import language_of
from newswire.text.query import Everything, Query

FACETS = ("category", "topic", "author", "publisher", "language", "month")
FACET_VALUES = 50
"""How many values of a facet an answer lists, beside those that are asked for."""

IndexName = Literal["elasticsearch", "embedded"]


class IndexInUseError(RuntimeError):
    """Another process has this embedded index open."""


class SnapshotExpiredError(LookupError):
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


class WriteStatus(StrEnum):
    """What became of an operation that the index took."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    """The index already held as much or more."""


@dataclass(frozen=True, slots=True)
class RejectedOperation:
    """An operation that the index can never take, and why."""

    reason: str


class Sort(StrEnum):
    """The order of results."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    OLDEST = "oldest"


class WordMatch(StrEnum):
    """What an article must have of a query's loose words."""

    ALL = "all"
    PARTIAL = "some"
    """At least one and not all: what is shown beneath where too little has all of them."""


@dataclass(frozen=True, slots=True)
class FieldFilter:
    """Folded values of one field: any of the wanted ones, none of the unwanted ones."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FuzzyTerm:
    """Any word that differs by a few letters from one that is written without accents (`newswire.text.analysis.bare_words`)."""

    word: str
    max_edits: int
    """How many letters may be wrong, missing, too many or swapped with the next: 1 or 2."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page begins: the sort key of the last result, and the snapshot it was found in, if any.

    By relevance, a first page is taken from no snapshot: the second one opens it, begins at its top (``key`` is empty) and
    leaves out what the first one showed, as all pages after it do. A snapshot gives the order alone: articles, total and facets
    are those of now, and of what is in it only that is shown which the search still finds.
    """

    key: tuple[int | float | str, ...]
    snapshot: str | None = None
    shown: tuple[str, ...] = ()
    """The ids of the first page, in an order by relevance."""
    now: int | None = None
    """`SearchRequest.now` of the first page."""
    opened: float | None = None
    """When the snapshot was opened, in s since 1970: however often it is renewed, it has an end."""


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
    word_match: WordMatch = WordMatch.ALL
    """Answers to `WordMatch.PARTIAL` have one page."""
    with_text: bool = True
    """Whether the articles are to carry ``text``; lists that need none are cheaper without."""
    text_characters: int | None = None
    """How much of each text is needed at most; None: all of it. There may be more."""
    with_body: bool = True
    """Whether they are to carry ``body``, which is as long again."""
    with_facets: bool = True
    """Whether values are to be counted."""
    entitlement: Filter | None = None
    """What narrows all that the caller may read."""
    fuzzy_term: FuzzyTerm | None = None
    """What each result must hold besides."""
    erased: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Ids, by version, of which that version and all before it are erased on record, whatever the index still holds of them."""
    reader: str = ""
    """Whose share of snapshots a page is read from."""

    def without_selected(self, field: str) -> "SearchRequest":
        """Return the request without the values it wants of one field; what it excludes stays excluded."""
        rest = {name: chosen for name, chosen in self.filters.items() if name != field}
        if unwanted := self.filters[field].exclude:
            rest[field] = FieldFilter(exclude=unwanted)
        return replace(self, filters=rest)


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
class PublicationDay:
    """A day (UTC) on which something was published."""

    date: date
    count: int
    """How many articles."""
    updated_at: datetime
    """When the last of them was changed."""


@dataclass(frozen=True, slots=True)
class Retracted:
    """The answer about an article that was withdrawn."""

    id: str
    version: int


class CompletionKind(StrEnum):
    """What a completion is."""

    TITLE = "title"
    TOPIC = "topic"
    AUTHOR = "author"


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What somebody has typed so far: folded words, the last of which may go on."""

    words: tuple[str, ...]
    typos: bool
    """Whether one letter of each word of four or more may be wrong, missing, too many or swapped with the next."""
    entitlement: Filter | None = None
    limit: int = 10
    """How many of each kind are wanted."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A title, topic or author that goes on as typed, and an article that bears it."""

    kind: CompletionKind
    value: str
    article_id: str
    version: int


class IndexReader(Protocol):
    """The half of an index that readers use. Each method raises `DependencyUnavailableError` while the index is down."""

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles.

        Raises:
            SnapshotExpiredError: the position to continue after belongs to a snapshot that is no longer held.
        """
        ...

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return a published article, or that it was retracted, or None where the index knows no such id."""
        ...

    async def days(self, request: SearchRequest) -> Sequence[PublicationDay]:
        """Return the days on which the articles of a search were published, oldest first."""
        ...

    async def get_all(
        self, article_ids: Sequence[str], *, with_text: bool = True, with_body: bool = True
    ) -> list[Mapping[str, Any]]:
        """Return those of these articles that are published, in this order, as they are now; without text or body, if wished."""
        ...

    async def complete(self, request: CompletionRequest) -> list[Completion]:
        """Return titles, topics and authors that hold each of the words; of each kind, those of the newest articles first."""
        ...

    async def related(
        self, article: Mapping[str, Any], entitlement: Filter | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Return other articles in the language of this one that share the words most telling of it, without their text."""
        ...


class PublicIndexReader(IndexReader, Protocol):
    """An index as readers may see it, which also knows who may learn of a retraction."""

    async def may_know(self, article_id: str, entitlement: Filter) -> bool:
        """Return whether a reader with an entitlement may learn that an article was retracted."""
        ...


class ArticleIndex(IndexReader, Protocol):
    """An index of articles. Every method but ``close`` raises `DependencyUnavailableError` while the index is down."""

    @property
    def name(self) -> IndexName:
        """Which implementation this is."""
        ...

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
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


def languages_of(operations: Sequence[Operation]) -> set[str]:
    """Return in which languages the published versions among these are read (`newswire.text.analysis.language_of`)."""
    return {language_of(operation.article.language) for operation in operations if isinstance(operation, Publish)}

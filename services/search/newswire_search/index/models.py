"""The input and output of the index: operations, search requests and their results. Times are ms since 1970, UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal

from newswire.article import Article, Tombstone
from newswire.filters import Filter
from newswire.text.analysis import language_of
from newswire.text.query import Everything, Query

FACETS = ("category", "topic", "author", "publisher", "language", "month")
FACET_VALUES = 50
"""How many values of a facet a response lists, in addition to selected ones."""

IndexName = Literal["elasticsearch", "embedded"]


class IndexInUseError(RuntimeError):
    """Another process has this embedded index open."""


class SnapshotExpiredError(LookupError):
    """The snapshot of a cursor no longer exists."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Index a version, unless the index already contains that version, a later one or its retraction."""

    article: Article
    document: Mapping[str, Any]
    """The version as in its event, including members unknown to this release."""

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
    """Replace an article by a tombstone, unless the index already contains a later version."""

    id: str
    version: int


Operation = Publish | Retract


class WriteStatus(StrEnum):
    """The result of an operation that the index accepted."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    """The index already contained this version or a later one."""


@dataclass(frozen=True, slots=True)
class RejectedOperation:
    """An operation that the index can never accept, and why."""

    reason: str


class Sort(StrEnum):
    """The order of results."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    OLDEST = "oldest"


class WordMatch(StrEnum):
    """How many of a query's optional words an article must contain."""

    ALL = "all"
    PARTIAL = "partial"
    """At least one, but not all: shown below the results if too few articles contain all words."""
    ANY = "any"
    """At least one, or all: both of the above."""


@dataclass(frozen=True, slots=True)
class FieldFilter:
    """Folded values of one field: an article needs one of the included ones and none of the excluded ones."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FuzzyTerm:
    """Any word within a few edits of a word without accents (`newswire.text.analysis.bare_words`)."""

    word: str
    max_edits: int
    """How many letters may be wrong, missing, added or swapped with the next: 1 or 2."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page begins: the sort key of the last result, and its snapshot, if any.

    A first page by relevance needs no snapshot. The second page opens one, begins at its top (``sort_key`` is empty) and omits the
    results of the first page, as all later pages do. A snapshot only provides the order: articles, total and facets are read
    from the
    current index, and results of the snapshot that no longer match the search are omitted.
    """

    sort_key: tuple[int | float | str, ...]
    snapshot: str | None = None
    seen_ids: tuple[str, ...] = ()
    """The ids of the first page, by relevance."""
    now_ms: int | None = None
    """`SearchRequest.now_ms` of the first page."""
    snapshot_opened_at: float | None = None
    """When the snapshot was opened, in s since 1970: it expires at a fixed time, however often it is renewed."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One page of one search. Times are ms since 1970, both ends inclusive."""

    query: Query = field(default_factory=Everything)
    filters: Mapping[str, FieldFilter] = field(default_factory=dict)
    since_ms: int | None = None
    until_ms: int | None = None
    sort: Sort = Sort.RELEVANCE
    limit: int = 20
    """How many articles the page has; 0 for its total and facets alone."""
    after: Position | None = None
    now_ms: int | None = None
    """The time from which ages are counted in relevance, the same on all pages; None: age does not count."""
    word_match: WordMatch = WordMatch.ALL
    """Results of `WordMatch.PARTIAL` have one page."""
    with_text: bool = True
    """Whether articles include ``text``; omitting it is cheaper."""
    text_characters: int | None = None
    """How many characters of each text are needed; None: all. More may be returned."""
    with_body: bool = True
    """Whether articles include ``body``, which is as long again."""
    with_total: bool = True
    """Whether all results are counted. Otherwise `SearchPage.total` is the number of articles on the page: much cheaper."""
    with_facets: bool = True
    """Whether facets are counted."""
    facet_fields: Sequence[str] = FACETS
    """Which facets are counted, if any."""
    entitlement: Filter | None = None
    """The filter that restricts everything the caller may read."""
    fuzzy_term: FuzzyTerm | None = None
    """A further word that each result must contain."""
    erased: Mapping[int, Sequence[str]] | None = None
    """Ids, by version: that version and all earlier ones are erased in the records, whatever the index still contains. None: these
    are not known yet; `newswire_search.query.retraction_filter` reads them."""
    snapshot_owner: str = ""
    """The reader whose share of snapshots this page uses."""

    def without_selected(self, field: str) -> "SearchRequest":
        """Return the request without the selected values of one field; values that it excludes stay excluded."""
        rest = {name: chosen for name, chosen in self.filters.items() if name != field}
        if excluded := self.filters[field].exclude:
            rest[field] = FieldFilter(exclude=excluded)
        return replace(self, filters=rest)


@dataclass(slots=True)
class FacetCount:
    """How many results have a value, in its most common spelling.

    Not frozen, because a page has up to 300 of them: a frozen one takes longer to make.
    """

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The response to a `SearchRequest`."""

    total: int
    """How many articles match; only those on this page, if `SearchRequest.with_total` is off."""
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
    """When the last of them was updated."""


@dataclass(frozen=True, slots=True)
class Retracted:
    """The tombstone of a retracted article in the index."""

    id: str
    version: int


class CompletionKind(StrEnum):
    """What a completion is."""

    TITLE = "title"
    TOPIC = "topic"
    AUTHOR = "author"


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """The text that a reader has typed so far: folded words, the last of which may be incomplete."""

    words: tuple[str, ...]
    typos: bool
    """Whether one letter of each word of four or more may be wrong, missing, added or swapped with the next."""
    entitlement: Filter | None = None
    limit: int = 10
    """How many completions of each kind are needed."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A title, topic or author that completes what was typed, and an article that has it."""

    kind: CompletionKind
    value: str
    article_id: str
    version: int


def operation_for(payload: Article | Tombstone, document: Mapping[str, Any]) -> Operation:
    """Return the operation that updates the index for one event."""
    if isinstance(payload, Tombstone):
        return Retract(payload.id, payload.version)
    return Publish(payload, document)


def languages_of(operations: Sequence[Operation]) -> set[str]:
    """Return the analysis languages of the published versions among these (`newswire.text.analysis.language_of`)."""
    return {language_of(operation.article.language) for operation in operations if isinstance(operation, Publish)}

"""The wire models of the readers' API."""

from datetime import datetime

from pydantic import BaseModel

from newswire.article import Author, Image
from newswire_search.index.models import CompletionKind


class Highlights(BaseModel):
    """Escaped text in which ``<mark>`` is the only markup."""

    title: list[str]
    body: list[str]


class ArticleSummary(BaseModel):
    """A published article, without its body."""

    id: str
    version: int
    title: str
    summary: str | None
    authors: list[Author]
    category: str | None
    topics: list[str]
    language: str
    publisher: str
    image: Image | None
    published_at: datetime
    updated_at: datetime
    canonical_url: str | None
    correction_note: str | None
    url: str


class SearchResult(ArticleSummary):
    """An article that matches a search."""

    highlights: Highlights
    body: str | None = None
    """With ``fields=body``."""
    text: str | None = None
    """With ``fields=text``."""


class PublishedArticle(ArticleSummary):
    """A published article as readers see it; the body is sanitised HTML."""

    body: str
    word_count: int
    urgency: int | None
    metadata: dict[str, str]


class FacetValue(BaseModel):
    """A value, and how many of the results have it."""

    value: str
    count: int


class Facets(BaseModel):
    """The most frequent values among the results."""

    category: list[FacetValue]
    topic: list[FacetValue]
    author: list[FacetValue]
    publisher: list[FacetValue]
    language: list[FacetValue]
    month: list[FacetValue]
    """Latest first, as ``2026-03`` in UTC."""


class PartialMatches(BaseModel):
    """Articles with some of the words, best first, if too few contain all of them."""

    total: int
    articles: list[SearchResult]


class QueryHint(BaseModel):
    """A hint on one part of ``q``."""

    code: str
    """The code of the hint, for programs: see the readers' guide."""
    message: str
    """What was done, and what to type instead."""
    at: str
    """The part of ``q``."""


class SearchResponse(BaseModel):
    """One page of results."""

    total: int
    interpreted: str
    """How ``q`` was understood: an equivalent query."""
    hints: list[QueryHint]
    """Parts of ``q`` that may have been meant differently, or why nothing matches; usually empty."""
    took_ms: float
    articles: list[SearchResult]
    partial_matches: PartialMatches | None
    """On a first page by relevance, if articles with all words do not fill it."""
    facets: Facets
    next_cursor: str | None
    suggestion: str | None
    """Another spelling of ``q``, if it matches few articles and this spelling matches more."""


class Suggestion(BaseModel):
    """A completion of what a reader is typing."""

    kind: CompletionKind
    value: str
    id: str | None
    """The article's id, if the suggestion is a title."""


class SuggestResponse(BaseModel):
    """Suggestions, the best first."""

    suggestions: list[Suggestion]


class RelatedResponse(BaseModel):
    """Related articles, the most similar first."""

    articles: list[ArticleSummary]

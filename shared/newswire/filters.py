"""The filter of subscriptions, live streams and entitlements.

Values are ORed within a field and ANDed between fields; a leading ``-`` excludes. Spellings are equal when they fold to
the same (`newswire.text.folding.fold`).
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from newswire.article import Article, Tombstone
from newswire.concurrency.lazy import lazy
from newswire.text.analysis import (
    BETWEEN,
    DEFAULT,
    SEPARATOR,
    Read,
    article_joined_terms,
    article_terms,
    article_words,
    language_of,
    read_article,
    title_terms,
    value_terms,
    value_text,
)
from newswire.text.folding import fold
from newswire.text.query import Everything, Nothing, Prefix, Published, Query, Words, leaves, normal, parse
from newswire.text.query_matching import Analysed, Positions, TextField, analysed, matches, positions
from newswire.validation.fields import Line, Text

FIELDS = ("publishers", "categories", "topics", "authors", "languages")
PARAMETERS = {
    "publisher": "publishers",
    "category": "categories",
    "topic": "topics",
    "author": "authors",
    "language": "languages",
}
"""Query parameters of the live stream, and the filter fields that they set."""

_NOTHING: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

Values = Annotated[list[Annotated[Line, StringConstraints(max_length=200)]], Field(max_length=100)]


@dataclass(frozen=True)
class ArticleFeatures:
    """The features of an event that filters test, folded once for all filters."""

    fields: Mapping[str, frozenset[str]]
    metadata: Mapping[str, str]
    article: Article | None

    @classmethod
    def of(cls, payload: Article | Tombstone) -> Self:
        """Return the features of a published version, or of a tombstone."""
        values = {
            "publishers": [payload.publisher],
            "categories": [payload.category] if payload.category else [],
            "topics": payload.topics,
            "authors": payload.author_names,
            "languages": [payload.language],
        }
        article = payload if isinstance(payload, Article) else None
        metadata = {fold(k): fold(v) for k, v in article.metadata.items()} if article else {}
        return cls({name: frozenset(map(fold, found)) for name, found in values.items()}, metadata, article)

    @property
    def language(self) -> str:
        """The language that the article's text is analysed in; a retraction has no text."""
        return language_of(self.article.language) if self.article else DEFAULT

    @lazy
    def _read(self) -> Read:
        return read_article(self.article) if self.article else []

    @lazy
    def terms(self) -> Sequence[str]:
        """The terms of the article in order; computed on first access."""
        return article_terms(self.article, self._read) if self.article else []

    @lazy
    def joined_terms(self) -> Sequence[str]:
        """The terms around words that are written as one, in joined form; computed on first access."""
        return article_joined_terms(self.article, self._read) if self.article else []

    @lazy
    def positions(self) -> Positions:
        """The terms of the article with their positions; computed on first access."""
        return positions(self.terms)

    @lazy
    def words(self) -> frozenset[str]:
        """The words of the article, without accents."""
        return frozenset(article_words(self.article)) if self.article else frozenset()

    @property
    def published_ms(self) -> int:
        """When the article was published, in ms since 1970."""
        return round(self.article.published_at.timestamp() * 1000) if self.article else 0

    def positions_in(self, field: TextField) -> Positions:
        """Return the terms of the whole text, or of one field of the article."""
        return self.positions if field == "text" else self._field_positions(field)

    def _field_positions(self, field: TextField) -> Positions:
        known = self._positions_by_field.get(field)
        if known is None:
            known = self._positions_by_field[field] = positions(self._terms_of(field))
        return known

    def _terms_of(self, field: TextField) -> Sequence[str]:
        if field == "joined":
            return self.joined_terms
        return field_terms(self.article, field) if self.article else []

    @cached_property
    def _positions_by_field(self) -> dict[TextField, Positions]:
        return {}


def field_terms(article: Article, field: TextField) -> list[str]:
    """Return the terms of a field: for the title those of its language, for others the words of each value, separated."""
    if field == "title":
        return title_terms(article)
    if field == "joined":
        return article_joined_terms(article)
    found: list[str] = []
    for value in _VALUES[field](article):
        for reading in value_terms(value):
            found += reading
            found.append(SEPARATOR)
    return found[:-1]


def field_text(article: Article, field: TextField) -> str:
    """Return `field_terms` of a field that has values, joined by spaces."""
    return BETWEEN.join(filter(None, map(value_text, _VALUES[field](article))))


_VALUES: Mapping[TextField, Callable[[Article], list[str]]] = {
    "author": lambda article: article.author_names,
    "category": lambda article: [article.category] if article.category else [],
    "topic": lambda article: article.topics,
    "publisher": lambda article: [article.publisher],
    "language": lambda article: [article.language],
}


class Filter(BaseModel):
    """A filter; an empty one matches every article."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    publishers: Values = []
    categories: Values = []
    topics: Values = []
    authors: Values = []
    languages: Values = []
    metadata: Annotated[
        dict[Annotated[Text, StringConstraints(min_length=1, max_length=100)], Text], Field(max_length=50)
    ] = {}
    query: Annotated[Text, StringConstraints(max_length=1000)] | None = None

    @field_validator("query")
    @classmethod
    def _query_can_be_read(cls, query: str | None) -> str | None:
        if query is not None:
            if isinstance(parse(query), Nothing):
                raise ValueError(
                    "must contain at least one word, number or emoji to search for; to match every article, omit the query"
                )
            for leaf in leaves(parse(query)):
                if isinstance(leaf, Prefix) or (
                    isinstance(leaf, Words) and leaf.typed.endswith("*") and not leaf.quoted
                ):
                    cut = leaf.beginning if isinstance(leaf, Prefix) else leaf.typed.rstrip("*")
                    raise ValueError(f"must not contain a prefix such as '{cut[:50]}*'; write whole words")
                if isinstance(leaf, Published):
                    raise ValueError(
                        "must not contain 'published:', because only future articles are matched; remove it"
                    )
        return query

    @field_validator(*FIELDS)
    @classmethod
    def _reject_empty_values(cls, values: list[str]) -> list[str]:
        if not all(split_exclusion(value)[1] for value in values):
            raise ValueError("must not contain an empty value")
        return values

    @field_validator("metadata")
    @classmethod
    def _reject_duplicate_names(cls, metadata: dict[str, str]) -> dict[str, str]:
        if len({fold(name) for name in metadata}) < len(metadata):
            raise ValueError("must not contain the same name in two spellings")
        return metadata

    @cached_property
    def parsed(self) -> Query:
        """The query as a tree; `Everything` if there is none."""
        return parse(self.query or "")

    def analysed(self, language: str) -> Analysed:
        """Return what the query searches for in articles of a language of `newswire.text.analysis.language_of`."""
        known = self._analysed.get(language)
        if known is None:
            known = self._analysed[language] = analysed(self.parsed, language)
        return known

    @cached_property
    def _analysed(self) -> dict[str, Analysed]:
        return {}

    @cached_property
    def _conditions_by_field(self) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        """For each tested field: the required and the excluded values."""
        conditions = {}
        for field in FIELDS:
            if values := [split_exclusion(value) for value in getattr(self, field)]:
                wanted = frozenset(value for excluded, value in values if not excluded)
                conditions[field] = (wanted, frozenset(value for excluded, value in values if excluded))
        return conditions

    @cached_property
    def _metadata(self) -> dict[str, str]:
        return {fold(name): fold(value) for name, value in self.metadata.items()}

    def wanted(self, field: str) -> frozenset[str]:
        """Return the folded values of a field, of which one must match; empty if any value matches."""
        return self._conditions_by_field.get(field, _NOTHING)[0]

    def unwanted(self, field: str) -> frozenset[str]:
        """Return the folded values of a field that are excluded."""
        return self._conditions_by_field.get(field, _NOTHING)[1]

    def matches(self, features: ArticleFeatures, *, text: bool = True) -> bool:
        """Return whether an event matches; ``text=False`` ignores the query.

        A retraction has no text and no free-form metadata. Metadata is never tested on it, so with ``text=False`` its
        recipients are determined by the other fields alone.
        """
        for field, (wanted, unwanted) in self._conditions_by_field.items():
            found = features.fields[field]
            if (wanted and wanted.isdisjoint(found)) or not unwanted.isdisjoint(found):
                return False
        if features.article is not None and not self._metadata.items() <= features.metadata.items():
            return False
        return not text or isinstance(self.parsed, Everything) or matches(self.analysed(features.language), features)

    def canonical(self) -> str:
        """Return the canonical form: equivalent filters have the same."""
        members: dict[str, object] = {
            field: sorted([*wanted, *("-" + value for value in unwanted)])
            for field, (wanted, unwanted) in self._conditions_by_field.items()
        }
        if self._metadata:
            members["metadata"] = self._metadata
        if not isinstance(self.parsed, Everything):
            members["query"] = normal(self.parsed)
        return json.dumps(members, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, in hex."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


def split_exclusion(value: str) -> tuple[bool, str]:
    """Return whether a value of a filter excludes, and the folded value."""
    folded = fold(value)
    return folded.startswith("-"), fold(folded.removeprefix("-"))

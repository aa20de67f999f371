"""Which articles somebody asked for: the filter of subscriptions and live streams.

Values are ORed within a field and ANDed between fields; a leading ``-`` excludes. Spellings are equal when they fold to
the same (`newswire.folding.fold`).
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

from fastapi.datastructures import QueryParams
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError, field_validator

from newswire.analysis import article_terms
from newswire.article import Article, Line, Text, Tombstone
from newswire.folding import fold
from newswire.problems import from_validation_error
from newswire.query import Everything, Positions, Query, interpreted, matches, parse, positions
from newswire.requests import scalar_params

FIELDS = ("publishers", "categories", "topics", "authors", "languages")
PARAMETERS = {
    "publisher": "publishers",
    "category": "categories",
    "topic": "topics",
    "author": "authors",
    "language": "languages",
}
"""Query parameters of the live stream, and the filter's fields that they fill."""

Values = Annotated[list[Annotated[Line, StringConstraints(max_length=200)]], Field(max_length=100)]


@dataclass(frozen=True)
class Facts:
    """What a filter can ask about an event, folded once for all filters."""

    fields: Mapping[str, frozenset[str]]
    metadata: Mapping[str, str]
    article: Article | None

    @classmethod
    def of(cls, payload: Article | Tombstone) -> Self:
        """Take the facts of a published version, or what remains of a retracted one."""
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

    @cached_property
    def positions(self) -> Positions:
        """The terms of the article and where they stand; made when first asked for."""
        return positions(article_terms(self.article)) if self.article else {}


class Filter(BaseModel):
    """What a subscription matches; without anything in it, every article."""

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

    _parsed: Query | None = PrivateAttr(default=None)

    @field_validator("query")
    @classmethod
    def _query_can_be_read(cls, query: str | None) -> str | None:
        if query is not None:
            parse(query)
        return query

    @field_validator(*FIELDS)
    @classmethod
    def _each_value_says_something(cls, values: list[str]) -> list[str]:
        if any(not fold(value.removeprefix("-")) for value in values):
            raise ValueError("must not hold an empty value")
        return values

    @property
    def parsed(self) -> Query:
        """The query as a tree; `Everything` where there is none."""
        if self._parsed is None:
            self._parsed = parse(self.query or "")
        return self._parsed

    def wanted(self, field: str) -> frozenset[str]:
        """Return the folded values of a field of which one must be there; empty: any will do."""
        return frozenset(fold(value) for value in getattr(self, field) if not value.startswith("-"))

    def unwanted(self, field: str) -> frozenset[str]:
        """Return the folded values of a field of which none may be there."""
        return frozenset(fold(value[1:]) for value in getattr(self, field) if value.startswith("-"))

    def matches(self, facts: Facts, *, text: bool = True) -> bool:
        """Tell whether an event matches; ``text=False`` leaves the query and the free-form metadata out of it.

        A retraction carries neither, so whoever is to hear of it is found by the other fields alone.
        """
        for field in FIELDS:
            found = facts.fields[field]
            wanted = self.wanted(field)
            if (wanted and not wanted & found) or self.unwanted(field) & found:
                return False
        if not text:
            return True
        if any(facts.metadata.get(fold(name)) != fold(value) for name, value in self.metadata.items()):
            return False
        query = self.parsed
        return isinstance(query, Everything) or matches(query, facts.positions)

    def canonical(self) -> str:
        """Return the same text for every filter that means the same."""
        members: dict[str, object] = {
            field: sorted({("-" if value.startswith("-") else "") + fold(value.removeprefix("-")) for value in values})
            for field in FIELDS
            if (values := getattr(self, field))
        }
        if self.metadata:
            members["metadata"] = {fold(name): fold(value) for name, value in self.metadata.items()}
        if not isinstance(self.parsed, Everything):
            members["query"] = interpreted(self.parsed)
        return json.dumps(members, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, in hex."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


def filter_from_params(params: QueryParams, allowed_extra: Collection[str] = ()) -> Filter:
    """Read the filter of a live stream from its query parameters.

    Raises:
        newswire.problems.Problem: 422, where a parameter is unknown, a scalar one is repeated, or a value is refused.
    """

    scalar_params(params, ("q", *allowed_extra), tuple(PARAMETERS))
    values: dict[str, object] = {field: params.getlist(name) for name, field in PARAMETERS.items()}
    try:
        return Filter.model_validate(values | {"query": params.get("q")})
    except ValidationError as error:
        raise from_validation_error(error) from None

"""The syntax tree of a query: words as typed, and their operators."""

import dataclasses
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from newswire.text.compounds import Unit

MAX_QUERY_CHARS = 1000
MAX_QUERY_CLAUSES = 64
MAX_QUERY_DEPTH = 12
"""Parentheses nested more deeply are ignored."""
MIN_PREFIX_CHARS = 2

Field: TypeAlias = Literal["title", "author", "category", "topic", "publisher", "language"]
FIELDS: tuple[Field, ...] = ("title", "author", "category", "topic", "publisher", "language")


@dataclass(frozen=True, slots=True)
class Words:
    """Consecutive words in lower case, in the whole text or in one field; mostly a single word."""

    words: tuple[str, ...]
    field: Field | None = None
    quoted: bool = False
    """In quotation marks: stop words are kept."""
    typed: str = dataclasses.field(default="", compare=False)
    units: tuple[Unit, ...] = ()
    """The same words as units, with their signs; their positions in the text are not kept."""

    def __post_init__(self) -> None:
        """Make a unit of each word if no units are given."""
        if not self.units:
            object.__setattr__(self, "units", tuple(Unit(0, 0, (word,)) for word in self.words))


@dataclass(frozen=True, slots=True)
class Prefix:
    """Any word with this prefix, without accents."""

    beginning: str


@dataclass(frozen=True, slots=True)
class Published:
    """Published in a time range: ms since 1970, both ends inclusive, each may be open."""

    since: int | None
    until: int | None


@dataclass(frozen=True, slots=True)
class All:
    """Every part matches."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Any_:
    """At least one part matches."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match."""

    part: "Query"


@dataclass(frozen=True, slots=True)
class Everything:
    """Matches every article."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Matches no article: something was typed, but nothing that can be searched for."""


Query: TypeAlias = Words | Prefix | Published | All | Any_ | Not | Everything | Nothing


class QueryTooLongError(ValueError):
    """A query has too many characters or clauses; the message names the limit."""


def in_field(query: Query, within: Field) -> Query:
    """Search for every word of a group in one field; words with a field of their own keep it."""
    match query:
        case Words(field=None):
            return replace(query, field=within)
        case Prefix(beginning):
            return Words((beginning,), within, typed=beginning)
        case All(parts):
            return All(tuple(in_field(part, within) for part in parts))
        case Any_(parts):
            return Any_(tuple(in_field(part, within) for part in parts))
        case Not(part):
            return Not(in_field(part, within))
        case _:
            return query

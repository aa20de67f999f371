"""The tree that a query is read into: words as they were typed, and what joins them."""

import dataclasses
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from newswire.text.compounds import Unit

MAX_QUERY_CHARS = 1000
MAX_QUERY_CLAUSES = 64
MAX_QUERY_DEPTH = 12
"""Parentheses within parentheses beyond this are passed over."""
MIN_PREFIX_CHARS = 2

Field: TypeAlias = Literal["title", "author", "category", "topic", "publisher", "language"]
FIELDS: tuple[Field, ...] = ("title", "author", "category", "topic", "publisher", "language")


@dataclass(frozen=True, slots=True)
class Words:
    """Words one after the other, in lower case, in the whole text or in one field; mostly a single one."""

    words: tuple[str, ...]
    field: Field | None = None
    quoted: bool = False
    """In quotation marks: what is so common that it would be passed over is meant."""
    typed: str = dataclasses.field(default="", compare=False)
    units: tuple[Unit, ...] = ()
    """The same words in the units that they are written in, with their signs; where they are in the text is not kept."""

    def __post_init__(self) -> None:
        """Take each word for a unit where no units are given."""
        if not self.units:
            object.__setattr__(self, "units", tuple(Unit(0, 0, (word,)) for word in self.words))


@dataclass(frozen=True, slots=True)
class Prefix:
    """Any word that begins like this, without accents."""

    beginning: str


@dataclass(frozen=True, slots=True)
class Published:
    """Published in a span of time: ms since 1970, both ends inclusive, either of them open."""

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
    """Matches no article: something was typed, but nothing that can be looked for."""


Query: TypeAlias = Words | Prefix | Published | All | Any_ | Not | Everything | Nothing


class QueryTooLongError(ValueError):
    """A query of more characters or clauses than are taken; the message says how many are."""


def in_field(query: Query, within: Field) -> Query:
    """Have every word of a group looked for in one field; those that name a field of their own keep it."""
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

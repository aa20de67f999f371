"""What a query means: its words become the terms of a language, and a text has them or has not.

A query is read in the language of each article it is held against, so that "Häuser" finds "Haus" in a German article and
"houses" finds "house" in an English one, whatever language the query itself is in.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, TypeAlias

from newswire.analysis import bare, is_stop_word, stem
from newswire.query import All, Any_, Everything, Not, Prefix, Published, Query, Words

Place: TypeAlias = Literal["text", "title", "author", "category", "topic", "publisher", "language"]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Terms one after the other in the whole text, the title, or a value of a field; mostly a single one.

    Values of fields other than the title are not stemmed: their terms are words without accents.
    """

    terms: tuple[str, ...]
    place: Place = "text"


@dataclass(frozen=True, slots=True)
class Both:
    """Every part matches."""

    parts: tuple["Analysed", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part matches."""

    parts: tuple["Analysed", ...]


@dataclass(frozen=True, slots=True)
class Without:
    """The part does not match."""

    part: "Analysed"


Analysed: TypeAlias = Phrase | Prefix | Published | Both | Either | Without | Everything


@lru_cache(maxsize=2048)
def analysed(query: Query, language: str) -> Analysed:
    """Return what a query asks of articles in a language of `newswire.analysis.language_of`.

    Words that carry no meaning of their own in that language go from among loose words, unless no other would be left.
    """
    match query:
        case Words(found, None, _):
            return Phrase(tuple(stem(word, language) for word in found))
        case Words(found, "title", _):
            return Phrase(tuple(stem(word, language) for word in found), "title")
        case Words(found, field, _):
            return Phrase(tuple(map(bare, found)), field or "text")
        case All(parts):
            telling = [part for part in parts if not _dispensable(part, language)]
            chosen = telling if any(map(_asks, telling)) else parts
            made = tuple(analysed(part, language) for part in chosen)
            return made[0] if len(made) == 1 else Both(made)
        case Any_(parts):
            return Either(tuple(analysed(part, language) for part in parts))
        case Not(part):
            return Without(analysed(part, language))
        case _:
            return query


def _dispensable(query: Query, language: str) -> bool:
    return (
        isinstance(query, Words)
        and not query.quoted
        and query.field is None
        and len(query.words) == 1
        and is_stop_word(query.words[0], language)
    )


def _asks(query: Query) -> bool:
    """Tell whether a query says what to find, and not only what to leave out."""
    match query:
        case Not():
            return False
        case All(parts) | Any_(parts):
            return any(map(_asks, parts))
        case _:
            return True


def sought(query: Analysed) -> list[Phrase]:
    """Return the words and phrases of text and title that speak for a result, in order; negated ones do not."""
    match query:
        case Phrase(place="text" | "title"):
            return [query]
        case Both(parts) | Either(parts):
            return [phrase for part in parts for phrase in sought(part)]
        case _:
            return []


def beginnings(query: Analysed) -> Iterator[str]:
    """Go through the beginnings of words that speak for a result."""
    match query:
        case Prefix(beginning):
            yield beginning
        case Both(parts) | Either(parts):
            for part in parts:
                yield from beginnings(part)
        case _:
            return


Positions: TypeAlias = Mapping[str, Sequence[int]]
"""Each term of a text, and at which places it stands, in order."""


class Searched(Protocol):
    """A text that a query is held against."""

    def places(self, place: Place) -> Positions:
        """Return the terms of the whole text or of a field."""
        ...

    @property
    def words(self) -> Collection[str]:
        """The words of the whole text, without accents."""
        ...

    @property
    def published_ms(self) -> int:
        """When it was published, in ms since 1970."""
        ...


def positions(found: Sequence[str]) -> dict[str, list[int]]:
    """Return at which places of a sequence each term stands, in order."""
    places: dict[str, list[int]] = {}
    for place, term in enumerate(found):
        places.setdefault(term, []).append(place)
    return places


def matches(query: Analysed, text: Searched) -> bool:
    """Tell whether a text matches."""
    if isinstance(query, Phrase):  # nearly always; a pattern takes several times as long
        return bool(occurrences(query.terms, text.places(query.place)))
    match query:
        case Both(parts):
            return all(matches(part, text) for part in parts)
        case Either(parts):
            return any(matches(part, text) for part in parts)
        case Without(part):
            return not matches(part, text)
        case Everything():
            return True
        case Prefix(beginning):
            return any(word.startswith(beginning) for word in text.words)
        case Published(since, until):
            return (since is None or since <= text.published_ms) and (until is None or text.published_ms <= until)


def occurrences(phrase: Sequence[str], places: Positions) -> set[int]:
    """Return the places at which a phrase begins."""
    begins = set(places.get(phrase[0], ()))
    for offset, term in enumerate(phrase[1:], start=1):
        if not begins:
            break
        begins.intersection_update([place - offset for place in places.get(term, ())])
    return begins

"""What a query means: its words become the terms of a language, and a text has them or has not.

A query is read in the language of each article it is held against, so that "Häuser" finds "Haus" in a German article and
"houses" finds "house" in an English one, whatever language the query itself is in.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, TypeAlias

from newswire.text.analysis import UNSTEMMED, bare, is_stop_word, joined_terms, name_term, other_terms, stem
from newswire.text.compounds import Unit
from newswire.text.query import All, Any_, Everything, Not, Nothing, Prefix, Published, Query, Words
from newswire.text.word_forms import other_forms, telling_words, without_elision

Place: TypeAlias = Literal["text", "joined", "title", "author", "category", "topic", "publisher", "language"]
"""Where terms are looked for; "joined" is the text where words that are written as one are joined to one."""


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
class Variants(Either):
    """The same in several spellings: the score of an article is that of the one that fits it best."""


@dataclass(frozen=True, slots=True)
class Without:
    """The part does not match."""

    part: "Analysed"


Analysed: TypeAlias = Phrase | Prefix | Published | Both | Either | Without | Everything | Nothing


@lru_cache(maxsize=2048)
def analysed(query: Query, language: str) -> Analysed:
    """Return what a query asks of articles in a language of `newswire.text.analysis.language_of`.

    Words that carry no meaning of their own in that language go from among loose words, unless no other would be left.
    """
    match query:
        case Words(field=None | "title"):
            return _any_of(_in_text(query, language))
        case Words():
            return _any_of(_in_values(query))
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


def _any_of(phrases: Iterable[Phrase]) -> Analysed:
    variants = tuple(dict.fromkeys(phrases))
    return variants[0] if len(variants) == 1 else Variants(variants)


def _in_text(query: Words, language: str) -> Iterator[Phrase]:
    """Go through the phrases of text or title that are what was typed, in one spelling or another."""
    place: Place = query.field or "text"
    units = [without_elision(unit, language) for unit in query.units]
    words = query.words
    if len(units) == 1 and not query.quoted:
        words = telling_words(query.units[0], language)
    terms = tuple(stem(word, language) for word in words)
    strict = any(unit.strict for unit in units)
    if terms and not strict:
        yield Phrase(terms, place)
    if len(units) == 1:
        yield from (Phrase((name_term(name, language),), place) for name in units[0].sought)
        if len(words) == 1 and not strict:
            yield from (Phrase((term,), place) for term in other_terms(words[0], language))
        return
    joined = tuple(term for unit in units for term in joined_terms(unit, language))
    if joined != terms and all(map(str.isalnum, joined)):
        yield Phrase(joined, place)
    yield Phrase(joined, "joined" if place == "text" else place)
    spelled_out = tuple((other_terms(word, language) or [stem(word, language)])[0] for word in words)
    if spelled_out != terms and not strict:
        yield Phrase(spelled_out, place)


def _in_values(query: Words) -> Iterator[Phrase]:
    """Go through the phrases in values of a field that are what was typed; these are not stemmed."""
    place: Place = query.field or "text"
    if query.words and not any(unit.strict for unit in query.units):
        yield Phrase(tuple(map(bare, query.words)), place)
        yield Phrase(tuple(bare(_spelled_out(word)) for word in query.words), place)
    if len(query.units) == 1:
        yield from (Phrase((bare(name),), place) for name in query.units[0].sought)
    else:
        yield Phrase(tuple(bare(word) for unit in query.units for word in _joined(unit)), place)


def _joined(unit: Unit) -> tuple[str, ...]:
    return unit.words if unit.joined is None else (unit.joined,)


def _spelled_out(word: str) -> str:
    return (other_forms(word, UNSTEMMED) or [word])[0]


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
        case Phrase(place="text" | "joined" | "title"):
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


def number_pairs(places: Positions) -> set[str]:
    """Return each number of a text with the term before it and with the one after it, a space between them.

    Such a pair is far rarer than its terms: ``covid 19``.
    """
    numbers = {place: term for term, found in places.items() if term.isdigit() for place in found}
    if not numbers:
        return set()
    beside = {place + step for place in numbers for step in (-1, 1)}
    around = {place: term for term, found in places.items() for place in beside.intersection(found)}
    before = {f"{around[place - 1]} {number}" for place, number in numbers.items() if place - 1 in around}
    return before | {f"{number} {around[place + 1]}" for place, number in numbers.items() if place + 1 in around}


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
        case Nothing():
            return False
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

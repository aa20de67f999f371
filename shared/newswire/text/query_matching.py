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

TextField: TypeAlias = Literal["text", "joined", "title", "author", "category", "topic", "publisher", "language"]
"""Where terms are looked for; "joined" is the text where words that are written as one are joined to one."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Terms one after the other in the whole text, the title, or a value of a field; mostly a single one.

    Values of fields other than the title are not stemmed: their terms are words without accents.
    """

    terms: tuple[str, ...]
    field: TextField = "text"


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
    field: TextField = query.field or "text"
    units = [without_elision(unit, language) for unit in query.units]
    words = query.words
    if len(units) == 1 and not query.quoted:
        words = telling_words(query.units[0], language)
    terms = tuple(stem(word, language) for word in words)
    strict = any(unit.strict for unit in units)
    if terms and not strict:
        yield Phrase(terms, field)
    if len(units) == 1:
        yield from (Phrase((name_term(name, language),), field) for name in units[0].sought)
        if len(words) == 1 and not strict:
            yield from (Phrase((term,), field) for term in other_terms(words[0], language))
        return
    joined = tuple(term for unit in units for term in joined_terms(unit, language))
    if joined != terms and all(map(str.isalnum, joined)):
        yield Phrase(joined, field)
    yield Phrase(joined, "joined" if field == "text" else field)
    spelled_out = tuple((other_terms(word, language) or [stem(word, language)])[0] for word in words)
    if spelled_out != terms and not strict:
        yield Phrase(spelled_out, field)


def _in_values(query: Words) -> Iterator[Phrase]:
    """Go through the phrases in values of a field that are what was typed; these are not stemmed."""
    field: TextField = query.field or "text"
    if query.words and not any(unit.strict for unit in query.units):
        yield Phrase(tuple(map(bare, query.words)), field)
        yield Phrase(tuple(bare(_spelled_out(word)) for word in query.words), field)
    if len(query.units) == 1:
        yield from (Phrase((bare(name),), field) for name in query.units[0].sought)
    else:
        yield Phrase(tuple(bare(word) for unit in query.units for word in _joined(unit)), field)


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
        case Phrase(field="text" | "joined" | "title"):
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
"""Each term of a text, and where it stands, in order."""


class Searched(Protocol):
    """A text that a query is held against."""

    def positions_in(self, field: TextField) -> Positions:
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
    """Return at which positions of a sequence each term stands, in order."""
    term_positions: dict[str, list[int]] = {}
    for position, term in enumerate(found):
        term_positions.setdefault(term, []).append(position)
    return term_positions


def number_pairs(term_positions: Positions) -> set[str]:
    """Return each number of a text with the term before it and with the one after it, a space between them.

    Such a pair is far rarer than its terms: ``covid 19``.
    """
    numbers = {position: term for term, found in term_positions.items() if term.isdigit() for position in found}
    if not numbers:
        return set()
    beside = {position + step for position in numbers for step in (-1, 1)}
    around = {position: term for term, found in term_positions.items() for position in beside.intersection(found)}
    before = {f"{around[position - 1]} {number}" for position, number in numbers.items() if position - 1 in around}
    return before | {
        f"{number} {around[position + 1]}" for position, number in numbers.items() if position + 1 in around
    }


def matches(query: Analysed, text: Searched) -> bool:
    """Tell whether a text matches."""
    if isinstance(query, Phrase):  # nearly always; a pattern takes several times as long
        return bool(occurrences(query.terms, text.positions_in(query.field)))
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


def occurrences(phrase: Sequence[str], term_positions: Positions) -> set[int]:
    """Return the positions at which a phrase begins."""
    begins = set(term_positions.get(phrase[0], ()))
    for offset, term in enumerate(phrase[1:], start=1):
        if not begins:
            break
        begins.intersection_update([position - offset for position in term_positions.get(term, ())])
    return begins

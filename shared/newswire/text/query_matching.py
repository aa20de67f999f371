"""Interprets a query: its words become the terms of a language, and a text matches them or not.

A query is interpreted in the language of each article, so that "Häuser" finds "Haus" in a German article and "houses" finds "house"
in an English one, whatever the language of the query.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, TypeAlias

from newswire.text.analysis import UNSTEMMED, bare, is_stop_word, joined_terms, name_term, other_terms, stem
from newswire.text.compounds import Unit
from newswire.text.query import All, Any_, Everything, Not, Nothing, Prefix, Published, Query, Words
from newswire.text.word_forms import content_words, other_forms, without_elision

TextField: TypeAlias = Literal["text", "joined", "title", "author", "category", "topic", "publisher", "language"]
"""Where terms are searched for; "joined" is the text with words that are written as one joined."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Consecutive terms in the whole text, the title, or a value of a field; mostly a single term.

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
    """Several spellings of the same; the spelling that fits an article best determines the score."""


@dataclass(frozen=True, slots=True)
class Without:
    """The part does not match."""

    part: "Analysed"


Analysed: TypeAlias = Phrase | Prefix | Published | Both | Either | Without | Everything | Nothing


@lru_cache(maxsize=2048)
def analysed(query: Query, language: str) -> Analysed:
    """Return what a query searches for in articles of a language of `newswire.text.analysis.language_of`.

    Stop words of that language are removed, except from quotes, and unless no other words would be left.
    """
    match query:
        case Words(field=None | "title"):
            return _any_of(_in_text(query, language))
        case Words():
            return _any_of(_in_values(query))
        case All(parts):
            content = [part for part in parts if not _is_stop_word(part, language)]
            chosen = content if any(map(_has_positive_part, content)) else parts
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
    """Yield the phrases in text or title that match the typed words, in each spelling."""
    field: TextField = query.field or "text"
    units = [without_elision(unit, language) for unit in query.units]
    words = query.words
    if len(units) == 1 and not query.quoted:
        words = content_words(query.units[0], language)
    terms = tuple(stem(word, language) for word in words)
    strict = any(unit.strict for unit in units)
    if terms and not strict:
        yield Phrase(terms, field)
    if len(units) == 1:
        yield from (Phrase((name_term(name, language),), field) for name in units[0].query_terms)
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
    """Yield the phrases in field values that match the typed words; these are not stemmed."""
    field: TextField = query.field or "text"
    if query.words and not any(unit.strict for unit in query.units):
        yield Phrase(tuple(map(bare, query.words)), field)
        yield Phrase(tuple(bare(_spelled_out(word)) for word in query.words), field)
    if len(query.units) == 1:
        yield from (Phrase((bare(name),), field) for name in query.units[0].query_terms)
    else:
        yield Phrase(tuple(bare(word) for unit in query.units for word in _joined(unit)), field)


def _joined(unit: Unit) -> tuple[str, ...]:
    return unit.words if unit.joined is None else (unit.joined,)


def _spelled_out(word: str) -> str:
    return (other_forms(word, UNSTEMMED) or [word])[0]


def _is_stop_word(query: Query, language: str) -> bool:
    return (
        isinstance(query, Words)
        and not query.quoted
        and query.field is None
        and len(query.words) == 1
        and is_stop_word(query.words[0], language)
    )


def _has_positive_part(query: Query) -> bool:
    """Return whether a query contains anything besides exclusions."""
    match query:
        case Not():
            return False
        case All(parts) | Any_(parts):
            return any(map(_has_positive_part, parts))
        case _:
            return True


def positive_phrases(query: Analysed) -> list[Phrase]:
    """Return the words and phrases of text and title that a result should contain, in order, without negated ones."""
    match query:
        case Phrase(field="text" | "joined" | "title"):
            return [query]
        case Both(parts) | Either(parts):
            return [phrase for part in parts for phrase in positive_phrases(part)]
        case _:
            return []


def beginnings(query: Analysed) -> Iterator[str]:
    """Yield the prefixes that a result should contain."""
    match query:
        case Prefix(beginning):
            yield beginning
        case Both(parts) | Either(parts):
            for part in parts:
                yield from beginnings(part)
        case _:
            return


Positions: TypeAlias = Mapping[str, Sequence[int]]
"""Each term of a text, with its positions in ascending order."""


class Searched(Protocol):
    """A text that is matched with a query."""

    def positions_in(self, field: TextField) -> Positions:
        """Return the terms of the whole text or of a field."""
        ...

    @property
    def words(self) -> Collection[str]:
        """The words of the whole text, without accents."""
        ...

    @property
    def published_ms(self) -> int:
        """The time of publication, in ms since 1970."""
        ...


def positions(found: Sequence[str]) -> dict[str, list[int]]:
    """Return the positions of each term of a sequence, in ascending order."""
    term_positions: dict[str, list[int]] = {}
    for position, term in enumerate(found):
        term_positions.setdefault(term, []).append(position)
    return term_positions


def matches(query: Analysed, text: Searched) -> bool:
    """Return whether a text matches."""
    if isinstance(query, Phrase):  # the usual case; a `match` statement takes several times as long
        return _contains(text.positions_in(query.field), query.terms)
    if isinstance(query, Either):  # mostly spellings of a phrase
        return any(matches(part, text) for part in query.parts)
    match query:
        case Both(parts):
            return all(matches(part, text) for part in parts)
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


def _contains(term_positions: Positions, phrase: Sequence[str]) -> bool:
    """Return whether a text contains a phrase."""
    for term in phrase:
        if term not in term_positions:
            return False
    return len(phrase) == 1 or bool(occurrences(phrase, term_positions))


def occurrences(phrase: Sequence[str], term_positions: Positions) -> set[int]:
    """Return the positions at which a phrase begins."""
    begins = set(term_positions.get(phrase[0], ()))
    for offset, term in enumerate(phrase[1:], start=1):
        if not begins:
            break
        begins.intersection_update([position - offset for position in term_positions.get(term, ())])
    return begins

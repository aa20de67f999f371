"""Which words of a text are looked for, and where they stand: what highlights are made from."""

import re
from collections.abc import Iterator, Set
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from newswire.text.compounds import prepared, units
from newswire.text.stems import DEFAULT, MAX_KEPT_LENGTH, joined_terms, name_term, pieces_in, terms_in
from newswire.text.tokenization import bare, word_pattern, written
from newswire.text.word_forms import without_elision


class Token(NamedTuple):
    """A word of a text: where it stands in it, and the terms it yields."""

    start: int
    end: int
    place: int
    """That of its first term among all terms of the text."""
    terms: tuple[str, ...]


def tokens(text: str, wanted: Set[str], language: str = DEFAULT, beginnings: tuple[str, ...] = ()) -> list[Token]:
    """Return those words of a text that yield one of the wanted terms or begin in one of the given ways, in their order."""
    terms_of = terms_in(language)
    matches = list(word_pattern(text).finditer(text))
    found = list(map(itemgetter(1), matches))
    chosen = _chosen(set(found), wanted, language, beginnings)
    if not chosen:
        return []
    places = accumulate(map(len, map(terms_of.__getitem__, found)), initial=0)
    return [
        Token(match.start(1), match.end(1), place, chosen[word])
        for match, word, place in zip(matches, found, places, strict=False)
        if word in chosen
    ]


def loose_tokens(text: str, wanted: Set[str], language: str = DEFAULT, beginnings: tuple[str, ...] = ()) -> list[Token]:
    """Return the same words as `tokens`, sooner, but with no true place: for who does not ask which words stand together.

    An English word and its stem have their first letter in common, and all letters of the stem but the last two (a test holds
    that against a dictionary), so in a text of plain letters only words that begin like one that is wanted have to be looked
    at. The longer the beginning, the more of a text goes by unseen.
    """
    if language != DEFAULT or not text.isascii():
        return tokens(text, wanted, language, beginnings)
    if any(len(term) <= 3 or term[0].isdigit() for term in wanted) and _WORD_AND_NUMBER.search(text):
        return tokens(text, wanted, language, beginnings)
    patterns = _beginning_with(frozenset((*(term[: max(1, len(term) - 2)] for term in wanted), *beginnings)))
    if patterns is None or (patterns.possessives and _POSSESSIVES.search(text)):
        return tokens(text, wanted, language, beginnings)
    lowered = text.lower()
    spans = {match.span() for pattern in patterns.words for match in pattern.finditer(lowered)}
    found = {span: lowered[slice(*span)] for span in sorted(spans)}
    chosen = _chosen(set(found.values()), wanted, language, beginnings)
    return [
        Token(start, end, place, chosen[word])
        for place, ((start, end), word) in enumerate(found.items())
        if word in chosen
    ]


_WORD_AND_NUMBER = re.compile("[0-9](?:(?<=[A-Za-z][0-9])|(?=[A-Za-z]))")
"""A word and a number written together: the second is not where a word begins."""
_POSSESSIVES = re.compile("['`][sS]['`]")
"""Possessives one upon the other: only whoever reads on from the first word knows which is which."""


class _Patterns(NamedTuple):
    """What finds, in a text of plain small letters, all words that begin in certain ways."""

    words: tuple["re.Pattern[str]", ...]
    possessives: bool
    """Whether one of them may find a word that is but the end of a possessive."""


@lru_cache(maxsize=4096)
def _beginning_with(beginnings: frozenset[str]) -> _Patterns | None:
    """Return what finds words with these beginnings; None where one is not of plain letters."""
    if not all(map(str.isascii, beginnings)):
        return None
    shortest = [
        each for each in beginnings if not any(each != other and each.startswith(other) for other in beginnings)
    ]
    # The beginning comes first in the pattern, for then it is looked for as such, and what stands before it only where it is.
    literals = [
        re.compile(rf"{re.escape(each)}(?<![0-9a-z]{re.escape(each)})[0-9a-z]*+") for each in shortest if each != "s"
    ]
    if "s" in shortest:
        literals.append(re.compile(r"s(?<![0-9a-z]s)(?!(?<=[0-9a-z]['`]s)(?![0-9a-z]))[0-9a-z]*+"))
    return _Patterns(tuple(literals), "s" in shortest)


def _chosen(
    found: Set[str], wanted: Set[str], language: str, beginnings: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Return the words of which one is looked for, and the terms that each of them yields."""
    terms_of = terms_in(language)
    chosen: dict[str, tuple[str, ...]] = {}
    for word in found:
        terms_here = terms_of[word]
        if not wanted.isdisjoint(terms_here):
            chosen[word] = terms_here
        elif not word.isascii() and not wanted.isdisjoint(alternative := _other_terms(word, language)):
            chosen[word] = alternative
        elif beginnings and any(bare(part).startswith(beginnings) for part in written(word)):
            chosen[word] = terms_here
    return chosen


@lru_cache(maxsize=20_000)
def _other_terms(word: str, language: str) -> tuple[str, ...]:
    """Return the terms of other forms of a word, and of the word without accents."""
    return pieces_in(language)[word].others


_ReadUnit: TypeAlias = tuple[int, int, tuple[str, ...], tuple[str, ...]]
"""A unit of a chunk: where it begins and ends, its terms joined, and the terms of its names."""
_CHUNK = re.compile(r"\S+")


def joined_tokens(text: str, wanted: Set[str], language: str = DEFAULT, *, phrases: bool = True) -> list[Token]:
    """Return what is looked for where words that are written as one are joined to one.

    A place is that among these joined terms. A name that is none of them (``u.s.``) has a place of its own, next to nothing.
    Without ``phrases``, only what has other names than its words is returned.
    """
    prepared_text = prepared(text)
    pieces_of = pieces_in(language)
    chunks = prepared_text.split()
    if not phrases and all(wanted.isdisjoint(piece.names) for piece in pieces_of.named(set(chunks))):
        return []
    found = list(map(pieces_of.__getitem__, chunks))
    tokens_found: list[Token] = []
    place = 0
    for match, piece in zip(_CHUNK.finditer(prepared_text), found, strict=True):
        if (phrases and not wanted.isdisjoint(piece.joined or piece.terms)) or not wanted.isdisjoint(piece.names):
            tokens_found += _in_chunk(match[0], match.start(), place, wanted, language)
        place += len(piece.terms if piece.joined is None else piece.joined)
    return tokens_found


def _in_chunk(chunk: str, start: int, place: int, wanted: Set[str], language: str) -> Iterator[Token]:
    for unit_start, unit_end, joined, all_names in _read_chunk(chunk, language):
        names = [name for name in all_names if name in wanted]
        if not wanted.isdisjoint(joined):
            yield Token(start + unit_start, start + unit_end, place, joined)
        for number, name in enumerate(name for name in names if name not in joined):
            yield Token(start + unit_start, start + unit_end, -2 * (start + unit_start + number + 1), (name,))
        place += len(joined)


def _read_chunk(chunk: str, language: str) -> tuple[_ReadUnit, ...]:
    return _kept_chunk(chunk, language) if len(chunk) <= MAX_KEPT_LENGTH else tuple(_units_read(chunk, language))


@lru_cache(maxsize=20_000)
def _kept_chunk(chunk: str, language: str) -> tuple[_ReadUnit, ...]:
    return tuple(_units_read(chunk, language))


def _units_read(chunk: str, language: str) -> Iterator[_ReadUnit]:
    for unit in units(chunk):
        own = without_elision(unit, language)
        yield unit.start, unit.end, joined_terms(own, language), tuple(name_term(each, language) for each in own.names)

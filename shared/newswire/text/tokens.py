"""Finds the words of a text that match a query, and their positions: the input of highlights."""

import re
from collections.abc import Iterator, Set
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from newswire.text.compounds import prepared, units
from newswire.text.stems import DEFAULT, MAX_KEPT_LENGTH, joined_terms, name_term, pieces_in, stem, terms_in
from newswire.text.tokenization import bare, word_pattern, written
from newswire.text.word_forms import without_elision


class Token(NamedTuple):
    """A word of a text: its position, and its terms."""

    start: int
    end: int
    position: int
    """The position of its first term among all terms of the text."""
    terms: tuple[str, ...]


def tokens(text: str, wanted: Set[str], language: str = DEFAULT, beginnings: tuple[str, ...] = ()) -> list[Token]:
    """Return the words of a text with one of the wanted terms or prefixes, in order."""
    terms_of = terms_in(language)
    matches = list(word_pattern(text).finditer(text))
    found = list(map(itemgetter(1), matches))
    chosen = _chosen(set(found), wanted, language, beginnings)
    if not chosen:
        return []
    positions = accumulate(map(len, map(terms_of.__getitem__, found)), initial=0)
    return [
        Token(match.start(1), match.end(1), position, chosen[word])
        for match, word, position in zip(matches, found, positions, strict=False)
        if word in chosen
    ]


def loose_tokens(text: str, wanted: Set[str], language: str = DEFAULT, beginnings: tuple[str, ...] = ()) -> list[Token]:
    """Return the same words as `tokens`, but faster and without valid positions: for callers that need no phrases.

    An English word and its stem share the first letter, and all letters of the stem except the last two (a test checks that
    against a dictionary). So in a text of plain letters only words with the beginning of a wanted term have to be analysed.
    """
    if language != DEFAULT or not text.isascii():
        return tokens(text, wanted, language, beginnings)
    patterns = _patterns_for(frozenset(wanted), beginnings)
    if (
        patterns is None
        or (patterns.numbers and _WORD_AND_NUMBER.search(text))
        or (patterns.possessives and _POSSESSIVES.search(text))
    ):
        return tokens(text, wanted, language, beginnings)
    lowered = text.lower()
    found = [(match.start(), match[0]) for pattern in patterns.words for match in pattern.finditer(lowered)]
    if not found:
        return []
    if len(patterns.words) > 1:
        found.sort()
    chosen = _chosen({word for _, word in found}, wanted, language, beginnings)
    return [
        Token(start, start + len(word), position, chosen[word])
        for position, (start, word) in enumerate(found)
        if word in chosen
    ]


_WORD_AND_NUMBER = re.compile("[0-9](?:(?<=[A-Za-z][0-9])|(?=[A-Za-z]))")
"""A word and a number written together: the number is not the beginning of a word."""
_POSSESSIVES = re.compile("['`][sS]['`]")
"""Consecutive possessives: they can only be told apart by reading from the first word on."""


class _Patterns(NamedTuple):
    """Patterns that find, in a text of plain lower-case letters, all words with certain prefixes."""

    words: tuple["re.Pattern[str]", ...]
    possessives: bool
    """Whether a pattern may find a word that is only the end of a possessive."""
    numbers: bool
    """Whether a wanted word may be written together with a number."""


@lru_cache(maxsize=4096)
def _patterns_for(wanted: frozenset[str], beginnings: tuple[str, ...]) -> _Patterns | None:
    """Return the patterns that find words with these terms or prefixes; None if one is not made of plain letters."""
    prefixes = {*(term[: max(1, len(term) - 2)] for term in wanted), *beginnings}
    if not all(map(str.isascii, prefixes)):
        return None
    shortest = [each for each in prefixes if not any(each != other and each.startswith(other) for other in prefixes)]
    # The prefix comes first in the pattern, so that the regular-expression engine searches for it, and checks what precedes
    # it only at matches.
    literals = [
        re.compile(rf"{re.escape(each)}(?<![0-9a-z]{re.escape(each)})[0-9a-z]*+") for each in shortest if each != "s"
    ]
    if "s" in shortest:
        literals.append(re.compile(r"s(?<![0-9a-z]s)(?!(?<=[0-9a-z]['`]s)(?![0-9a-z]))[0-9a-z]*+"))
    numbers = any(len(term) <= 3 or term[0].isdigit() for term in (*wanted, *beginnings))
    return _Patterns(tuple(literals), "s" in shortest, numbers)


def _chosen(
    found: Set[str], wanted: Set[str], language: str, beginnings: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Return the words that are wanted, with the terms of each."""
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
"""A unit of a chunk: start and end, its joined terms, and the terms of its names."""
_CHUNK = re.compile(r"\S+")


def joined_tokens(text: str, wanted: Set[str], language: str = DEFAULT, *, phrases: bool = True) -> list[Token]:
    """Return the matches where words that are written as one are joined.

    Positions are those among the joined terms. A name that is none of them (``u.s.``) has a position that is next to nothing.
    Without ``phrases``, only units that have names besides their words are returned.
    """
    if not phrases and not _may_be_joined(text, wanted, language):
        return []
    prepared_text = prepared(text)
    pieces_of = pieces_in(language)
    chunks = prepared_text.split()
    if not phrases and all(wanted.isdisjoint(piece.names) for piece in pieces_of.named(set(chunks))):
        return []
    found = list(map(pieces_of.__getitem__, chunks))
    tokens_found: list[Token] = []
    position = 0
    for match, piece in zip(_CHUNK.finditer(prepared_text), found, strict=True):
        if (phrases and not wanted.isdisjoint(piece.joined or piece.terms)) or not wanted.isdisjoint(piece.names):
            tokens_found += _in_chunk(match[0], match.start(), position, wanted, language)
        position += len(piece.terms if piece.joined is None else piece.joined)
    return tokens_found


_JOINING_SIGNS = "-'`."
"""The ASCII signs between words that are read as one word of letters."""
_SIGN = r"(?:[-.]|['`](?!s(?![0-9a-z])))"
"""One of these signs that does not begin a possessive."""
_RUN_OF_WORDS = re.compile(rf"[0-9a-z]+(?:{_SIGN}[0-9a-z]+)+")
_BETWEEN_WORDS = re.compile(f"[{re.escape(_JOINING_SIGNS)}]")
SHORTEST_JOINED = 3
"""Fewer letters are also those of other names (``R & D``)."""


def _may_be_joined(text: str, wanted: Set[str], language: str) -> bool:
    """Return False only if no words of a text, joined, are a wanted term: a fraction of the cost of reading the text.

    Joined words begin like the term (`loose_tokens`), possibly with signs between the letters; there the words are joined that
    follow after signs.
    """
    if language != DEFAULT or not text.isascii():
        return True
    beginnings = _beginnings_of_joined(frozenset(wanted))
    if beginnings is None:
        return True
    if not ("." in text or "-" in text or "'" in text or "`" in text):
        return False
    lowered = text.lower()
    for beginning in beginnings:
        for match in beginning.finditer(lowered):
            run = _RUN_OF_WORDS.match(lowered, match.start())
            if run is not None and not wanted.isdisjoint(_joined_from_the_first(run[0], language)):
                return True
    return False


def _joined_from_the_first(run: str, language: str) -> Iterator[str]:
    """Yield the terms of the first words of a run, joined: the first two, the first three, and so on."""
    joined, *others = _BETWEEN_WORDS.split(run)
    for other in others:
        joined += other
        if len(joined) > MAX_KEPT_LENGTH:
            return  # longer than any name
        yield stem(joined, language)


@lru_cache(maxsize=4096)
def _beginnings_of_joined(wanted: frozenset[str]) -> "tuple[re.Pattern[str], ...] | None":
    """Return the patterns that find the beginnings of joined words with these terms in a lower-case text; None: unknown."""
    if not all(term.isascii() and term.isalpha() and len(term) >= SHORTEST_JOINED for term in wanted):
        return None
    sign = f"[{re.escape(_JOINING_SIGNS)}]?"
    # The first letter comes first, so that the regular-expression engine searches for it; only it is consumed, because the next
    # occurrence may begin with the second word of this one.
    return tuple(
        re.compile(rf"{each[0]}(?<![0-9a-z]{each[0]})(?={sign}{sign.join(each[1:])})")
        for each in {term[:-2] for term in wanted}
    )


def _in_chunk(chunk: str, start: int, position: int, wanted: Set[str], language: str) -> Iterator[Token]:
    for unit_start, unit_end, joined, all_names in _read_chunk(chunk, language):
        names = [name for name in all_names if name in wanted]
        if not wanted.isdisjoint(joined):
            yield Token(start + unit_start, start + unit_end, position, joined)
        for number, name in enumerate(name for name in names if name not in joined):
            yield Token(start + unit_start, start + unit_end, -2 * (start + unit_start + number + 1), (name,))
        position += len(joined)


def _read_chunk(chunk: str, language: str) -> tuple[_ReadUnit, ...]:
    return _kept_chunk(chunk, language) if len(chunk) <= MAX_KEPT_LENGTH else tuple(_units_read(chunk, language))


@lru_cache(maxsize=20_000)
def _kept_chunk(chunk: str, language: str) -> tuple[_ReadUnit, ...]:
    return tuple(_units_read(chunk, language))


def _units_read(chunk: str, language: str) -> Iterator[_ReadUnit]:
    for unit in units(chunk):
        own = without_elision(unit, language)
        yield unit.start, unit.end, joined_terms(own, language), tuple(name_term(each, language) for each in own.names)

"""The terms of words and short pieces of text in each language, cached: most words of an article have occurred before."""

from collections.abc import Callable, Iterable, Iterator, Set
from functools import cache, lru_cache
from itertools import chain
from typing import Final, NamedTuple

import Stemmer

from newswire.text.compounds import Unit, is_abbreviation, prepared, units
from newswire.text.stopwords import STOP_WORDS
from newswire.text.tokenization import (
    MAX_TERM_LENGTH,
    bare,
    is_plain,
    is_plain_paired,
    starts_paired,
    word_pattern,
    written,
)
from newswire.text.word_forms import other_forms, without_elision

DEFAULT = "en"
"""The language assumed for texts without one."""
UNSTEMMED = "none"
"""Texts in a language without a stemmer."""
ALGORITHMS = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
"""Languages with a stemmer, and the stemmer's name in Snowball."""
# Latin words in texts of scripts that are split into pairs are mostly English.
_SAME_AS = dict.fromkeys(("und", "mul", "ja", "zh", "ko", "th", "lo", "km", "my"), DEFAULT) | {"nb": "no", "nn": "no"}

MAX_KEPT_LENGTH = 60
"""Maximum length of cached words and pieces, in characters."""
MAX_KEPT, MAX_KEPT_OF_OTHERS = 200_000, 50_000
"""Maximum number of cached entries for the default language, and for each other one."""


def language_of(tag: str) -> str:
    """Return how a text with this BCP 47 tag is analysed: one of `ALGORITHMS`, or `UNSTEMMED`."""
    primary = tag.partition("-")[0].lower()
    known = _SAME_AS.get(primary, primary or DEFAULT)
    return known if known in ALGORITHMS else UNSTEMMED


@cache
def _stemmer(language: str) -> Callable[[str], str]:
    """Return the function that makes the term of a written word.

    English words lose their accents before stemming, because they are often written without. In other languages accents
    distinguish endings, so they are removed afterwards; `_others` finds words that are typed without accents.
    """
    algorithm = ALGORITHMS.get(language)
    stem = Stemmer.Stemmer(algorithm, 0).stemWord if algorithm else str

    def term(word: str) -> str:
        if word.isascii():
            return bare(stem(word))
        if is_plain_paired(word):
            return word
        if starts_paired(word):
            return bare(word)
        return str(stem(bare(word))) if language == DEFAULT else bare(stem(word))

    return term


@lru_cache(maxsize=20_000)
def stem(word: str, language: str) -> str:
    """Return the term of a word of `words` in a language of `language_of`."""
    return _stemmer(language)(word)


@lru_cache(maxsize=20_000)
def name_term(name: str, language: str) -> str:
    """Return the term of a unit's name: stemmed like a word, unless it contains signs."""
    return stem(name, language) if name.isalnum() else bare(name)


def is_stop_word(word: str, language: str) -> bool:
    """Return whether a word of `words` is a stop word in its language or in English, which readers of all languages type."""
    return word in STOP_WORDS.get(language, ()) or word in STOP_WORDS[DEFAULT]


class _Terms(dict[str, tuple[str, ...]]):
    """The terms of the words seen so far in one language. A dict, because its look-up is cheaper than any call."""

    def __init__(self, language: str) -> None:
        self._stem = _stemmer(language)
        self._max = MAX_KEPT if language == DEFAULT else MAX_KEPT_OF_OTHERS

    def __missing__(self, word: str) -> tuple[str, ...]:
        found = tuple(map(self._stem, written(word)))
        if len(word) <= MAX_KEPT_LENGTH:
            if len(self) >= self._max:
                self.clear()
            self[word] = found
        return found


terms_in: Callable[[str], _Terms] = cache(_Terms)
"""Return the terms of words in a language."""


_OPENING: Final = '("'
_CLOSING: Final = '.,;:!?)"'
"""Signs around a word that are not part of a name."""


def _lone_word(chunk: str) -> str:
    """Return the single word, as written, of a piece without names or signs. Nearly every piece is like that.

    The result is that of `units`, in a tenth of the time; it is empty if `units` has to be called.
    """
    word = chunk.lstrip(_OPENING).rstrip(_CLOSING)
    if not word.isalpha():
        return word[:MAX_TERM_LENGTH] if word.isascii() and word.isdigit() else ""
    if word.isascii():
        return "" if is_abbreviation(word) else word.lower()[:MAX_TERM_LENGTH]
    return found[0] if is_plain(word) and len(found := written(word)) == 1 else ""


class Piece(NamedTuple):
    """The terms of a piece of text without spaces in one language."""

    terms: tuple[str, ...]
    joined: tuple[str, ...] | None
    """The terms with words that are written as one joined; None: the same."""
    names: tuple[str, ...]
    """Further terms by which it is found."""
    others: tuple[str, ...]
    """The terms of other forms of its words, and of the words without accents."""

    @property
    def is_plain(self) -> bool:
        """Whether it has no terms besides its own."""
        return not (self.names or self.others)


class _Pieces(dict[str, Piece]):
    """The terms of the pieces of text seen so far in one language."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._term = _stemmer(language)
        self._named: dict[str, Piece] = {}
        self.single_terms: dict[str, str] = {}
        """The terms of the pieces that are one term and nothing else: nearly all."""
        self._max = MAX_KEPT if language == DEFAULT else MAX_KEPT_OF_OTHERS

    def __missing__(self, chunk: str) -> Piece:
        found = self._made(chunk)
        if len(chunk) <= MAX_KEPT_LENGTH:
            if len(self) >= self._max:
                self.clear()
                self._named.clear()
                self.single_terms.clear()
            self[chunk] = found
            if found.names:
                self._named[chunk] = found
            elif len(found.terms) == 1 and found.joined is None and not found.others:
                self.single_terms[chunk] = found.terms[0]
        return found

    def named(self, chunks: set[str]) -> Iterator[Piece]:
        """Yield those of many pieces that have names besides their words."""
        # `chunks.difference(self)` would visit every piece seen so far, not only these.
        for chunk in [chunk for chunk in chunks if chunk not in self]:
            if (piece := self[chunk]).names:
                yield piece
        for chunk in self._named.keys() & chunks:
            yield self._named[chunk]

    def _made(self, chunk: str) -> Piece:
        if word := _lone_word(chunk):
            return Piece((self._term(word),), None, (), tuple(dict.fromkeys(_others(word, self._language))))
        language, term = self._language, self._term
        found = [without_elision(unit, language) for unit in units(chunk)]
        # A text without spaces is one piece with all of its words, most of which occur repeatedly.
        term_of = {word: term(word) for word in dict.fromkeys(chain.from_iterable(unit.words for unit in found))}
        terms = tuple(term_of[word] for unit in found for word in unit.words)
        joined = tuple(
            chain.from_iterable(
                map(term_of.__getitem__, unit.words) if unit.joined is None else joined_terms(unit, language)
                for unit in found
            )
        )
        names = tuple(name_term(name, language) for unit in found for name in unit.names)
        others = (other for word in term_of for other in _others(word, language))
        return Piece(terms, joined if joined != terms else None, names, tuple(dict.fromkeys(others)))


pieces_in: Callable[[str], _Pieces] = cache(_Pieces)
"""Return the terms of pieces of text in a language."""


def joined_terms(unit: Unit, language: str) -> tuple[str, ...]:
    """Return the terms of a unit with words that are written as one joined."""
    if unit.joined is not None:
        return (name_term(unit.joined, language),)
    return tuple(stem(word, language) for word in unit.words)


def _others(word: str, language: str) -> Iterator[str]:
    """Yield further terms of a word: its other forms, and the word without its accents."""
    if word.isascii() or is_plain_paired(word) or is_stop_word(word, language):
        return
    unaccented = bare(word)
    forms = [form for form in other_forms(word, language) if form != unaccented]
    if language not in (DEFAULT, UNSTEMMED):  # in English the term itself has no accents
        forms.append(unaccented)
    if not forms or forms == [word]:
        return
    own = stem(word, language)
    for form in forms:
        if (other := stem(form, language)) != own:
            yield other


def other_terms(word: str, language: str) -> list[str]:
    """Return the terms of the other forms of a word in a query."""
    own = stem(word, language)
    forms = other_forms(word, language) if not word.isascii() else []
    return [other for other in dict.fromkeys(stem(form, language) for form in forms) if other != own]


class _BareWords(dict[str, tuple[str, ...]]):
    """The words of the pieces of text seen so far, without accents, and those that are written as one."""

    def __init__(self) -> None:
        self.single_words: dict[str, str] = {}
        """The words of the pieces that are one word and nothing else: nearly all."""

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        word = _lone_word(chunk)
        found = (
            (bare(word),)
            if word
            else tuple(
                bare(word)
                for unit in units(chunk)
                for word in (*unit.words, *(name for name in unit.names if name.isalnum()))
            )
        )
        if len(chunk) <= MAX_KEPT_LENGTH:
            if len(self) >= MAX_KEPT:
                self.clear()
                self.single_words.clear()
            self[chunk] = found
            if len(found) == 1:
                self.single_words[chunk] = found[0]
        return found


_bare_words_of = _BareWords()


def pieces(text: str) -> list[str]:
    """Return the pieces between the spaces of a text: a unit is always within one piece."""
    return prepared(text).split()


def words(text: str) -> list[str]:
    """Return the words of a text as written, in lower case and with accents; `stem` makes terms of them."""
    return list(chain.from_iterable(map(written, word_pattern(text).findall(text))))


def bare_words(text: str) -> list[str]:
    """Return the words of a text in lower case and without accents."""
    return [bare(word) for word in words(text)]


def findable_words(text: str) -> list[str]:
    """Return the words of a text in lower case and without accents, and the joined form of words that are written as one."""
    return findable_words_in(pieces(text))


def findable_words_in(found: Iterable[str]) -> list[str]:
    """Return the same for pieces of a text."""
    return list(chain.from_iterable(map(_bare_words_of.__getitem__, found)))


def findable_words_of(found: Set[str]) -> set[str]:
    """Return the same, each word once."""
    single = list(map(_bare_words_of.single_words.get, found))
    every = set(single)
    if None in every:
        for chunk, word in zip(found, single, strict=True):
            if word is None:
                every.update(_bare_words_of[chunk])
        every.remove(None)
    return every  # type: ignore[return-value]  # None is removed


def terms(text: str, language: str = DEFAULT) -> list[str]:
    """Return the terms of a text, in order."""
    return list(chain.from_iterable(map(terms_in(language).__getitem__, word_pattern(text).findall(text))))

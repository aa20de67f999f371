"""The one text analysis: search, its two indexes and the subscription matcher all see a text as these terms.

Tokens are runs of Unicode letters, digits and their marks; apostrophes split them and a trailing possessive goes. Each is
lower-cased, stemmed by the Snowball stemmer of the article's language, and its accents are removed. Texts in scripts without
spaces between words are cut into overlapping pairs of letters. Both engines are given the finished terms, separated by spaces,
so that they cannot disagree.
"""

import re
from collections.abc import Callable, Set
from functools import cache, lru_cache
from itertools import accumulate, chain, pairwise
from operator import itemgetter
from typing import Any, NamedTuple
from unicodedata import normalize

import regex
import Stemmer

from newswire.article import Article
from newswire.folding import fold
from newswire.stopwords import STOP_WORDS

DEFAULT = "en"
"""The language that a text without one is read in."""
UNSTEMMED = "none"
"""That of texts in a language for which there is no stemmer."""
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
"""The languages that are stemmed, and what Snowball calls each."""
# What is written in Latin letters within scripts that are cut into pairs is mostly English.
_SAME_AS = dict.fromkeys(("und", "mul", "ja", "zh", "ko", "th", "lo", "km", "my"), DEFAULT) | {"nb": "no", "nn": "no"}

SEPARATOR = "\ue000"
"""A term that no text yields, put between fields so that no phrase reaches from one into the next."""

LONGEST_TERM = 255
"""Engines cut or drop very long terms, each at a length of its own; none comes near it when all are cut here."""

# Unicode counts these apostrophes as letters.
_APOSTROPHE_LETTERS = r"\u02b9\u02bb-\u02bf\ua78b\ua78c"
_LETTER = rf"[[\p{{L}}\p{{N}}]--[{_APOSTROPHE_LETTERS}]]"
# Soft hyphens and joiners say how a word is drawn, not what it is.
_INVISIBLE = r"\u00ad\u200c\u200d\u2060"
_INNER = rf"[[\p{{L}}\p{{N}}\p{{M}}{_INVISIBLE}]--[{_APOSTROPHE_LETTERS}]]"
_APOSTROPHE_SIGNS = "'’‘‛`´′"
_APOSTROPHE = rf"[{_APOSTROPHE_LETTERS}＇{_APOSTROPHE_SIGNS}]"
_POSSESSIVE = rf"{_APOSTROPHE}[sS](?!{_INNER})"
_WORD = regex.compile(rf"({_LETTER}{_INNER}*+)(?:{_POSSESSIVE})?", regex.V1)
_UNSEEN = regex.compile(rf"[\p{{Me}}{_INVISIBLE}]", regex.V1)
# Most texts hold none of the marks, invisible signs and odd apostrophes that take a Unicode property to tell. On such a text,
# the standard library's letters and digits are the same words in less than half the time.
_PLAIN = re.compile("[\x00-\xac\xae-\u024f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf]*+")
_PLAIN_WORD = re.compile(rf"([^\W_]++)(?:[{_APOSTROPHE_SIGNS}][sS](?![^\W_]))?")
# Scripts that are written without spaces between words, and Korean, whose words carry their particles: cut into pairs.
_PAIRED = r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_PART = regex.compile(rf"({_PAIRED}\p{{M}}*+)+|(?:(?!{_PAIRED}).)+", regex.V1)
_HAS_PAIRED = regex.compile(_PAIRED, regex.V1)
_LETTER_AND_MARKS = regex.compile(r"\P{M}\p{M}*+", regex.V1)


class Token(NamedTuple):
    """A word of a text: where it stands in it, and the terms it yields."""

    start: int
    end: int
    place: int
    """That of its first term among all terms of the text."""
    terms: tuple[str, ...]


def language_of(tag: str) -> str:
    """Return how a text with this BCP 47 tag is analysed: one of `ALGORITHMS`, or `UNSTEMMED`."""
    primary = tag.partition("-")[0].lower()
    known = _SAME_AS.get(primary, primary or DEFAULT)
    return known if known in ALGORITHMS else UNSTEMMED


class _Terms(dict[str, tuple[str, ...]]):
    """The terms of each word seen so far in one language. A dict, for no call is cheaper than its look-up."""

    longest = 40

    def __init__(self, language: str) -> None:
        self._stem = _stemmer(language)
        self._most = 200_000 if language == DEFAULT else 50_000

    def __missing__(self, word: str) -> tuple[str, ...]:
        found = tuple(map(self._stem, _written(word)))
        if len(word) <= self.longest:
            if len(self) >= self._most:
                self.clear()
            self[word] = found
        return found


def _written(word: str) -> list[str]:
    """Lower the case of a word; what compatibility takes apart (a fraction, say) becomes several, and so do some scripts."""
    if word.isascii():
        return [word.lower()[:LONGEST_TERM]]
    found: list[str] = []
    for part in _WORD.findall(_UNSEEN.sub("", normalize("NFKC", normalize("NFKC", _UNSEEN.sub("", word)).casefold()))):
        if part.isascii() or not _HAS_PAIRED.search(part):
            found.append(part[:LONGEST_TERM])
        else:
            for run in _PART.finditer(part):
                found += _pairs(run[0]) if _HAS_PAIRED.match(run[0]) else [run[0][:LONGEST_TERM]]
    return found


def _pairs(run: str) -> list[str]:
    letters = [letter[: LONGEST_TERM // 2] for letter in _LETTER_AND_MARKS.findall(run)]
    return [first + second for first, second in pairwise(letters)] or letters


@cache
def _stemmer(language: str) -> Callable[[str], str]:
    """Return what makes the term of a written word.

    English words lose their accents first, for they are as often written without. Elsewhere accents tell endings apart, so
    they go last; who types none is served by `_bare_terms`.
    """
    algorithm = ALGORITHMS.get(language)
    stem = Stemmer.Stemmer(algorithm, 0).stemWord if algorithm else str

    def term(word: str) -> str:
        if _HAS_PAIRED.match(word):
            return bare(word)
        return str(stem(bare(word))) if language == DEFAULT else bare(stem(word))

    return term


def bare(word: str) -> str:
    """Return a written word without its accents."""
    return word if word.isascii() else "".join(fold(word).split())


_terms_in: Callable[[str], _Terms] = cache(_Terms)


class _Written(dict[str, tuple[str, ...]]):
    """What `_written` makes of each word seen so far, without accents."""

    def __missing__(self, word: str) -> tuple[str, ...]:
        found = tuple(map(bare, _written(word)))
        if len(word) <= _Terms.longest:
            if len(self) >= 200_000:
                self.clear()
            self[word] = found
        return found


_bare_words_of = _Written()


def words(text: str) -> list[str]:
    """Return the words of a text as they are written, in lower case and with their accents; `stem` makes terms of them."""
    return list(chain.from_iterable(map(_written, _pattern(text).findall(text))))


def bare_words(text: str) -> list[str]:
    """Return the words of a text in lower case and without accents."""
    return list(chain.from_iterable(map(_bare_words_of.__getitem__, _pattern(text).findall(text))))


@lru_cache(maxsize=20_000)
def stem(word: str, language: str) -> str:
    """Return the term of a word of `words` in a language of `language_of`."""
    return _stemmer(language)(word)


def is_stop_word(word: str, language: str) -> bool:
    """Tell whether a word of `words` carries no meaning of its own in a language, or in English, which readers of all type."""
    return word in STOP_WORDS.get(language, ()) or word in STOP_WORDS[DEFAULT]


def tokens(text: str, wanted: Set[str], language: str = DEFAULT, beginnings: tuple[str, ...] = ()) -> list[Token]:
    """Return those words of a text that yield one of the wanted terms or begin in one of the given ways, in their order."""
    terms_of = _terms_in(language)
    matches = list(_pattern(text).finditer(text))
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
    terms_of = _terms_in(language)
    chosen: dict[str, tuple[str, ...]] = {}
    for word in found:
        terms_here = terms_of[word]
        if not wanted.isdisjoint(terms_here):
            chosen[word] = terms_here
        elif not word.isascii() and not wanted.isdisjoint(alternative := _bare_terms(word, language)):
            chosen[word] = alternative
        elif beginnings and any(bare(part).startswith(beginnings) for part in _written(word)):
            chosen[word] = terms_here
    return chosen


def terms(text: str, language: str = DEFAULT) -> list[str]:
    """Return the terms of a text in their order."""
    return list(chain.from_iterable(map(_terms_in(language).__getitem__, _pattern(text).findall(text))))


def _bare_terms(word: str, language: str) -> tuple[str, ...]:
    """Return the terms by which a word with accents is found by those who type none, where they are others than its own."""
    if language in (DEFAULT, UNSTEMMED):
        return ()
    written = _written(word)
    others = tuple(stem(bare(part), language) for part in written)
    return others if others != _terms_in(language)[word] else ()


def _pattern(text: str) -> Any:
    return _PLAIN_WORD if _PLAIN.fullmatch(text) else _WORD


class ArticleTerms(NamedTuple):
    """All that an article is found by, read in one go."""

    text: list[str]
    """The terms of title, summary, body, authors and topics, kept apart."""
    title: list[str]
    words: set[str]
    """The words as they are written, without accents: what ``prefix*`` looks at."""


def analysed_article(article: Article) -> ArticleTerms:
    """Return the terms of an article in its language, and its words."""
    language = language_of(article.language)
    found = _found(_texts(article))
    return ArticleTerms(_joined(found, language), _joined(found[:1], language), _bare(found))


def title_terms(article: Article) -> list[str]:
    """Return the terms of the title alone."""
    return _joined(_found([article.title]), language_of(article.language))


def article_terms(article: Article) -> list[str]:
    """Return the terms by which an article is found: title, summary, body, authors and topics, kept apart."""
    return _joined(_found(_texts(article)), language_of(article.language))


def article_words(article: Article) -> set[str]:
    """Return the words of an article as they are written, without accents: what ``prefix*`` looks at."""
    return _bare(_found(_texts(article)))


def _found(texts: list[str]) -> list[list[str]]:
    return [_pattern(text).findall(text) if text else [] for text in texts]


def _bare(found: list[list[str]]) -> set[str]:
    return set(chain.from_iterable(map(_bare_words_of.__getitem__, set(chain.from_iterable(found)))))


def _texts(article: Article) -> list[str]:
    return [article.title, article.summary or "", article.text, *article.author_names, *article.topics]


def _joined(texts: list[list[str]], language: str) -> list[str]:
    terms_of = _terms_in(language)
    found: list[str] = []
    for text in texts:
        if text:
            found += chain.from_iterable(map(terms_of.__getitem__, text))
            found.append(SEPARATOR)
    accented: set[str] = set()
    if language not in (DEFAULT, UNSTEMMED):
        accented.update(word for text in texts for word in text if not word.isascii())
    for word in sorted(accented):
        found += _bare_terms(word, language)
    return found if accented else found[:-1]

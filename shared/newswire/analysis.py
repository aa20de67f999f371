"""The one text analysis: search, its two indexes and the subscription matcher all see a text as these terms.

Tokens are runs of Unicode letters, digits and their marks; apostrophes split them and a trailing possessive goes.
Each is folded (`newswire.folding.fold`) and stemmed (Snowball English). Both engines are given the finished terms,
separated by spaces, so that they cannot disagree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import regex
import Stemmer

from newswire.article import Article
from newswire.folding import fold

SEPARATOR = "\ue000"
"""A term that no text yields, put between fields so that no phrase reaches from one into the next."""

_WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{N}\p{M}]*")
_POSSESSIVE = regex.compile(r"(?<=[\p{L}\p{N}\p{M}])['’ʼ＇]s(?![\p{L}\p{N}\p{M}])", regex.IGNORECASE)
_STEMMER = Stemmer.Stemmer("english", 0)

_ENGLISH = """
a about after again against all am an and any are as at be because been before being below between both but by
can did do does doing down during each few for from further had has have having he her here hers him his how i
if in into is it its me more most my no nor not of off on once only or other our ours out over own same she so
some such than that the their theirs them then there these they this those through to too under until up very
was we were what when where which while who whom why will with you your yours
"""


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text: where it stands in it, and the terms it yields."""

    start: int
    end: int
    terms: tuple[str, ...]


@lru_cache(maxsize=200_000)
def _terms_of_word(word: str) -> tuple[str, ...]:
    folded = fold(word)
    parts = _WORD.findall(folded)
    return tuple(_STEMMER.stemWord(part) for part in parts)


def _words(text: str) -> Iterator[tuple[int, int]]:
    possessives = {match.start() + 1 for match in _POSSESSIVE.finditer(text)}
    for match in _WORD.finditer(text):
        if match.start() not in possessives:
            yield match.span()


STOP_WORDS = frozenset(term for word in _ENGLISH.split() for term in _terms_of_word(word))
"""English words that carry no meaning of their own, as terms."""


def tokens(text: str) -> list[Token]:
    """Return the words of a text with their places in it."""
    return [Token(start, end, _terms_of_word(text[start:end])) for start, end in _words(text)]


def terms(text: str) -> list[str]:
    """Return the terms of a text in their order."""
    return [term for start, end in _words(text) for term in _terms_of_word(text[start:end])]


def title_terms(article: Article) -> list[str]:
    """Return the terms of the title alone."""
    return terms(article.title)


def article_terms(article: Article) -> list[str]:
    """Return the terms by which an article is found: title, summary, body, authors and topics, kept apart."""
    fields = [article.title, article.summary or "", article.text, *article.author_names, *article.topics]
    found: list[str] = []
    for text in fields:
        if text:
            found += terms(text)
            found.append(SEPARATOR)
    return found[:-1]

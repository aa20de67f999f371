"""The one text analysis: search, its two indexes and the subscription matcher all see a text as these terms.

Tokens are runs of Unicode letters, digits and their marks; apostrophes split them and a trailing possessive goes. Each is
folded (`newswire.folding.fold`) and stemmed (Snowball English). Both engines are given the finished terms, separated by
spaces, so that they cannot disagree.
"""

import re
from collections.abc import Set
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any, NamedTuple

import regex
import Stemmer

from newswire.article import Article
from newswire.folding import fold

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
_STEMMER = Stemmer.Stemmer("english", 0)

_STOP_WORDS = frozenset(
    """
    a about after again against all am an and any are as at be because been before being below between both but by can did
    do does doing down during each few for from further had has have having he her here hers him his how i if in into is it
    its me more most my no nor not of off on once only or other our ours out over own same she so some such than that the
    their theirs them then there these they this those through to too under until up very was we were what when where which
    while who whom why will with you your yours
    """.split()
)


class Token(NamedTuple):
    """A word of a text: where it stands in it, and the terms it yields."""

    start: int
    end: int
    place: int
    """That of its first term among all terms of the text."""
    terms: tuple[str, ...]


class _Words(dict[str, tuple[str, ...]]):
    """The terms of each word seen so far. A dict, for no call is cheaper than its look-up."""

    most = 200_000
    longest = 40

    def __missing__(self, word: str) -> tuple[str, ...]:
        found = tuple(_STEMMER.stemWord(part[:LONGEST_TERM]) for part in _unstemmed(word))
        if len(word) <= self.longest:
            if len(self) >= self.most:
                self.clear()
            self[word] = found
        return found


def _unstemmed(word: str) -> list[str]:
    """Fold a word; what folding takes apart (a fraction, say) becomes several."""
    if word.isascii():
        return [fold(word)]
    return _WORD.findall(_UNSEEN.sub("", fold(_UNSEEN.sub("", word))))


_terms_of = _Words()

STOP_WORDS = frozenset(term for word in _STOP_WORDS for term in _terms_of[word])
"""The terms of English words that carry no meaning of their own. To judge a word, use `is_stop_word`: "owned" and "own"
have one term."""


def is_stop_word(text: str) -> bool:
    """Tell whether a text is one English word that carries no meaning of its own."""
    words = [part for word in _WORD.findall(text) for part in _unstemmed(word)]
    return len(words) == 1 and words[0] in _STOP_WORDS


def tokens(text: str, wanted: Set[str]) -> list[Token]:
    """Return those words of a text that yield one of the wanted terms, in their order."""
    matches = list(_pattern(text).finditer(text))
    words = list(map(itemgetter(1), matches))
    chosen = {word for word in set(words) if not wanted.isdisjoint(_terms_of[word])}
    if not chosen:
        return []
    places = accumulate(map(len, map(_terms_of.__getitem__, words)), initial=0)
    return [
        Token(match.start(1), match.end(1), place, _terms_of[word])
        for match, word, place in zip(matches, words, places, strict=False)
        if word in chosen
    ]


def terms(text: str) -> list[str]:
    """Return the terms of a text in their order."""
    return list(chain.from_iterable(map(_terms_of.__getitem__, _pattern(text).findall(text))))


def _pattern(text: str) -> Any:
    return _PLAIN_WORD if _PLAIN.fullmatch(text) else _WORD


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

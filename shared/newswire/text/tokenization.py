"""Where the words of a text are, and how each is written: in lower case, with its accents, not yet stemmed.

Words are runs of Unicode letters, digits and their marks; apostrophes split them and a trailing possessive is dropped. Texts in
scripts without spaces between words are cut into overlapping pairs of letters. A number and the word of two letters or more that
it is written to (``covid19``, ``20km``) are two words; `newswire.text.compounds` also knows them as one.
"""

import re
from itertools import pairwise
from operator import add
from typing import Any
from unicodedata import decimal, is_normalized, normalize

import regex

from newswire.text.folding import fold

MAX_TERM_LENGTH = 255
"""Engines cut or drop very long terms, each at its own length; cut here, none comes near it."""

# Unicode counts these apostrophes as letters.
_APOSTROPHE_LETTERS = r"\u02b9\u02bb-\u02bf\ua78b\ua78c"
_LETTER = rf"[[\p{{L}}\p{{N}}]--[{_APOSTROPHE_LETTERS}]]"
# Soft hyphens and joiners say how a word is drawn, not what it is.
_INVISIBLE = r"\u00ad\u200c\u200d\u2060"
_INNER = rf"[[\p{{L}}\p{{N}}\p{{M}}{_INVISIBLE}]--[{_APOSTROPHE_LETTERS}]]"
APOSTROPHE_SIGNS = "'’‘‛`´′"
_APOSTROPHE = rf"[{_APOSTROPHE_LETTERS}＇{APOSTROPHE_SIGNS}]"
_POSSESSIVE = rf"{_APOSTROPHE}[sS](?!{_INNER})"
_WORD = regex.compile(rf"({_LETTER}{_INNER}*+)(?:{_POSSESSIVE})?", regex.V1)
_UNSEEN = regex.compile(rf"[\p{{Me}}{_INVISIBLE}]", regex.V1)
# Most texts hold none of the marks, invisible signs and odd apostrophes that take a Unicode property to tell. On such a text,
# the standard library's letters and digits are the same words in less than half the time.
_PLAIN = re.compile("[\x00-\xac\xae-\u024f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf]*+")
_PLAIN_WORD = re.compile(rf"([^\W_]++)(?:[{APOSTROPHE_SIGNS}][sS](?![^\W_]))?")
# Scripts that are written without spaces between words, and Korean, whose words carry their particles: cut into pairs.
_PAIRED = r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
# The bulk of such texts: letters without case, marks or compatible forms, none of which composes with the next. They are cut
# without a look at their properties; the mark of a long vowel is not among them.
_PLAIN_PAIRED = re.compile("[\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]++")
_PART = regex.compile(rf"({_PAIRED}\p{{M}}*+)+|(?:(?!{_PAIRED}).)+", regex.V1)
_HAS_PAIRED = regex.compile(_PAIRED, regex.V1)
_LETTER_AND_MARKS = regex.compile(r"\P{M}\p{M}*+", regex.V1)
# Japanese writes a word of more than three katakana with and without a long vowel at its end.
_LONG_VOWEL_AT_END = regex.compile(r"(?<=[\p{Katakana}ー]{3})ー+(?![\p{Katakana}ー])", regex.V1)
_OTHER_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", regex.V1)
_WORD_AND_NUMBER = regex.compile(r"(?:(\p{L}[\p{L}\p{M}]+)([0-9]+)|([0-9]+)(\p{L}[\p{L}\p{M}]+))", regex.V1)
_NUMBER_ENDINGS = frozenset(("s", "st", "nd", "rd", "th", "er", "e", "o", "a"))
"""What makes an ordinal or a decade of a number: no word of its own."""


def word_pattern(text: str) -> Any:
    """Return the pattern that finds the words of a text as group 1; the whole match holds their possessive as well."""
    return _PLAIN_WORD if _PLAIN.fullmatch(text) else _WORD


def is_plain(text: str) -> bool:
    """Tell whether a text holds none of the marks, invisible signs and odd apostrophes that take a Unicode property to tell."""
    return _PLAIN.fullmatch(text) is not None


def is_paired(word: str) -> bool:
    """Tell whether a word is, at least in part, in a script that is cut into pairs of letters."""
    return not word.isascii() and _HAS_PAIRED.search(word) is not None


def starts_paired(word: str) -> bool:
    """Tell whether a word begins in a script that is cut into pairs of letters."""
    return _HAS_PAIRED.match(word) is not None


def is_plain_paired(word: str) -> bool:
    """Tell whether a word is nothing but Han, kana or Hangul that has one form only: it has no other terms than itself."""
    return _PLAIN_PAIRED.fullmatch(word) is not None


def written(word: str) -> list[str]:
    """Lower the case of a word; what compatibility takes apart (a fraction, say) becomes several, and so do some scripts."""
    if word.isascii():
        lower = word.lower()[:MAX_TERM_LENGTH]
        return [lower] if lower.isalpha() or lower.isdigit() else _without_number(lower)
    if is_plain_paired(word):
        return list(map(add, word, word[1:])) or [word]
    if word.isalpha() and _PLAIN.fullmatch(word) and is_normalized("NFKC", word):
        lower = word.casefold()
        if lower.isalpha() and is_normalized("NFKC", lower):
            return [lower[:MAX_TERM_LENGTH]]
    found: list[str] = []
    for part in _WORD.findall(compatible(word)):
        if part.isascii() or not _HAS_PAIRED.search(part):
            found += _without_number(part[:MAX_TERM_LENGTH])
        else:
            for run in _PART.finditer(_LONG_VOWEL_AT_END.sub("", part)):
                found += _pairs(run[0]) if _HAS_PAIRED.match(run[0]) else _without_number(run[0][:MAX_TERM_LENGTH])
    return found


def compatible(text: str) -> str:
    """Return text in lower case, in Unicode's compatible form, with European digits and without what is not seen."""
    folded = _UNSEEN.sub("", normalize("NFKC", normalize("NFKC", _UNSEEN.sub("", text)).casefold()))
    return _OTHER_DIGIT.sub(lambda digit: str(decimal(digit[0])), folded)


def _without_number(word: str) -> list[str]:
    parts = _WORD_AND_NUMBER.fullmatch(word)
    if parts is None or (parts[4] in _NUMBER_ENDINGS):
        return [word]
    return [part for part in parts.groups() if part]


def _pairs(run: str) -> list[str]:
    letters = [letter[: MAX_TERM_LENGTH // 2] for letter in _LETTER_AND_MARKS.findall(run)]
    return [first + second for first, second in pairwise(letters)] or letters


def bare(word: str) -> str:
    """Return a written word without its accents."""
    return word if word.isascii() else "".join(fold(word).split())

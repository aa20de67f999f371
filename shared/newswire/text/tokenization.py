"""Finds the words of a text, in lower case, with accents, not yet stemmed.

Words are runs of Unicode letters, digits and their marks; apostrophes split them, and a trailing possessive is dropped. Texts in
scripts without spaces between words are split into overlapping pairs of letters. A number and a word of two letters or more that
are written together (``covid19``, ``20km``) are two words; `newswire.text.compounds` also treats them as one.
"""

import re
from itertools import pairwise
from operator import add
from typing import Any
from unicodedata import decimal, is_normalized, normalize

import regex

from newswire.text.folding import fold

MAX_TERM_LENGTH = 255
"""Search engines cut or drop very long terms, each at a length of its own; cut here, terms stay below all these lengths."""

# Unicode counts these apostrophes as letters.
_APOSTROPHE_LETTERS = r"\u02b9\u02bb-\u02bf\ua78b\ua78c"
_LETTER = rf"[[\p{{L}}\p{{N}}]--[{_APOSTROPHE_LETTERS}]]"
# Soft hyphens and joiners affect how a word is displayed, not its meaning.
_INVISIBLE = r"\u00ad\u200c\u200d\u2060"
_INNER = rf"[[\p{{L}}\p{{N}}\p{{M}}{_INVISIBLE}]--[{_APOSTROPHE_LETTERS}]]"
APOSTROPHE_SIGNS = "'’‘‛`´′"
_APOSTROPHE = rf"[{_APOSTROPHE_LETTERS}＇{APOSTROPHE_SIGNS}]"
_POSSESSIVE = rf"{_APOSTROPHE}[sS](?!{_INNER})"
_WORD = regex.compile(rf"({_LETTER}{_INNER}*+)(?:{_POSSESSIVE})?", regex.V1)
_UNSEEN = regex.compile(rf"[\p{{Me}}{_INVISIBLE}]", regex.V1)
# Most texts contain no marks, invisible characters or unusual apostrophes, which need Unicode properties to be detected. For such
# texts, the letters and digits of the standard library give the same words in less than half the time.
_PLAIN = re.compile("[\x00-\xac\xae-\u024f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf]*+")
_PLAIN_WORD = re.compile(rf"([^\W_]++)(?:[{APOSTROPHE_SIGNS}][sS](?![^\W_]))?")
# Scripts without spaces between words, and Korean, whose words include particles: split into pairs.
_PAIRED = r"[\p{Han}\p{Hiragana}\p{Katakana}ー\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
# Most characters of such texts: letters without case, marks or compatibility forms that do not compose. They are split without
# checking their properties; the mark of a long vowel is not among them.
_PLAIN_PAIRED = re.compile("[\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]++")
_PART = regex.compile(rf"({_PAIRED}\p{{M}}*+)+|(?:(?!{_PAIRED}).)+", regex.V1)
_HAS_PAIRED = regex.compile(_PAIRED, regex.V1)
_LETTER_AND_MARKS = regex.compile(r"\P{M}\p{M}*+", regex.V1)
# Japanese writes words of more than three katakana with and without a long vowel at the end.
_LONG_VOWEL_AT_END = regex.compile(r"(?<=[\p{Katakana}ー]{3})ー+(?![\p{Katakana}ー])", regex.V1)
_OTHER_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", regex.V1)
_WORD_AND_NUMBER = regex.compile(r"(?:(\p{L}[\p{L}\p{M}]+)([0-9]+)|([0-9]+)(\p{L}[\p{L}\p{M}]+))", regex.V1)
_NUMBER_ENDINGS = frozenset(("s", "st", "nd", "rd", "th", "er", "e", "o", "a"))
"""Endings of ordinals and decades, which are not words of their own."""


def word_pattern(text: str) -> Any:
    """Return the pattern that finds the words of a text as group 1; the whole match includes their possessive."""
    return _PLAIN_WORD if _PLAIN.fullmatch(text) else _WORD


def is_plain(text: str) -> bool:
    """Return whether a text contains no marks, invisible characters or unusual apostrophes, which need Unicode properties."""
    return _PLAIN.fullmatch(text) is not None


def is_paired(word: str) -> bool:
    """Return whether a word is, at least in part, in a script that is split into pairs of letters."""
    return not word.isascii() and _HAS_PAIRED.search(word) is not None


def starts_paired(word: str) -> bool:
    """Return whether a word begins in a script that is split into pairs of letters."""
    return _HAS_PAIRED.match(word) is not None


def is_plain_paired(word: str) -> bool:
    """Return whether a word consists of Han, kana or Hangul with one form only, so that it has no other terms than itself."""
    return _PLAIN_PAIRED.fullmatch(word) is not None


def written(word: str) -> list[str]:
    """Return a word in lower case. Compatibility decomposition (of a fraction) and some scripts make it several words."""
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
    """Return text in lower case, in compatibility form, with European digits and without invisible characters."""
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

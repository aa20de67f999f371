"""Text comparison: filters, facets and labels treat two spellings as equal if they fold to the same text."""

import re
import unicodedata
from functools import lru_cache

MAX_FOLDED_LABELS = 8192
"""The labels whose folded forms are kept in memory, 100 characters each at most."""

# Letters that Unicode does not decompose, but that readers type without stroke or ligature.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"})
# Accents, Hebrew points and Arabic vowel signs. Marks of other scripts (Thai, Devanagari, kana …) distinguish letters, as does
# the breve of й.
_ACCENTS = re.compile(
    "(?<![\u0438\u0443])\u0306|"
    # Invisible characters (Default_Ignorable_Code_Point), except the tags that distinguish the emoji of flags.
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8"
    "\U000e0001\U000e0100-\U000e01ef"
    "\u0300-\u0305\u0307-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u1ab0-\u1aff\u1dc0-\u1dff\ufe00-\ufe0f\ufe20-\ufe2f]"
)
# Common Han, kana and Hangul: they have no case, accents or compatibility forms, and do not compose.
_SAME_WHEN_FOLDED = re.compile("[\u3041-\u3096\u30a1-\u30fc\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]*+")


def fold(text: str) -> str:
    """Return a text after NFKC, case folding, and removal of accents, invisible characters and repeated white space."""
    if text.isascii():
        return " ".join(text.lower().split())
    if _SAME_WHEN_FOLDED.fullmatch(text):
        return text
    if _LATIN.fullmatch(text):
        return " ".join(text.translate(_FOLDED_LATIN).split())
    return " ".join(_folded(text).split())


@lru_cache(maxsize=MAX_FOLDED_LABELS)
def fold_label(label: str) -> str:
    """Return `fold` of a short text that occurs in many articles, such as a topic."""
    return fold(label)


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = _ACCENTS.sub("", folded)
    return unicodedata.normalize("NFKC", bare).translate(_LETTERS)


_LATIN = re.compile("[\x00-\u024f]*+")
_FOLDED_LATIN = {code: _folded(chr(code)) for code in range(0x250)}
"""Latin letters that do not combine with the next one, so that they can be folded one by one."""

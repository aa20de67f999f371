"""The one text comparison: filters, facets and taxonomy see two spellings as equal when they fold to the same."""

import unicodedata

# Letters that Unicode does not decompose, yet readers type without their stroke or ligature.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"})


def fold(text: str) -> str:
    """Return text after NFKC, case folding, removal of accents and of repeated white space."""
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(char for char in folded if unicodedata.category(char) != "Mn")
    return " ".join(unicodedata.normalize("NFKC", bare).translate(_LETTERS).split())

"""Which characters a text of a client may contain, by the kind of its field.

There are three kinds. A *label* (categories, topics, names, identifiers) is compared and displayed, so two that look the same must
be the same; a *headline* is one line for readers; *prose* may have several lines. None may contain control characters or overrides
of the writing direction. The rules for labels follow UAX #31, section 2.3, and UTS #39, section 5.4.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

MAX_MARKS: Final = 5
"""Maximum of combining marks per character: a pointed and accented Hebrew letter has five."""

_PLAIN: Final = re.compile(r"[ -~]*")
_WHITE: Final = re.compile(r"[\t\n\r]")
_FLAG: Final = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""The emoji of a region's flag: a black flag, the region in tag characters, the end tag."""
_OVERRIDES: Final = frozenset("\u202d\u202e")
_BIDI_OPEN: Final = {"\u202a": "\u202c", "\u202b": "\u202c", "\u2066": "\u2069", "\u2067": "\u2069", "\u2068": "\u2069"}
_BIDI_CLOSE: Final = frozenset(_BIDI_OPEN.values())
_FORBIDDEN: Final = frozenset(
    [*_OVERRIDES, "\u2028", "\u2029", *map(chr, range(0x206A, 0x2070)), *map(chr, range(0xFFF9, 0xFFFC)), "\U000e0001"]
    + [chr(code) for code in range(0xE0020, 0xE0080)]
)
"""Overrides, line separators, deprecated and annotation format characters, tag characters outside a flag."""
_VISIBLE_FORMATS: Final = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""Visible format characters of Arabic, Syriac and Kaithi: signs around a number."""
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Invisible letters, marks and a symbol."""
_JOINERS: Final = frozenset("\u200c\u200d")
_MONGOLIAN_VARIATIONS: Final = frozenset("\u180b\u180c\u180d\u180e\u180f")
_CURSIVE: Final = frozenset(
    [
        "ARABIC",
        "SYRIAC",
        "MANDAIC",
        "MONGOLIAN",
        "NKO",
        "PHAGS-PA",
        "MANICHAEAN",
        "PSALTER",
        "ADLAM",
        "HANIFI",
        "SOGDIAN",
    ]
)
_WITHOUT_SPACES: Final = frozenset(["KHMER", "LAO", "THAI", "MYANMAR", "TIBETAN", "JAVANESE", "BALINESE", "TAI", "NEW"])
"""First words of the Unicode names of letters in scripts that separate words by a zero-width space, if at all."""


def label_violation(text: str) -> str | None:
    """Return what a label must not contain and this one does, or None.

    Joiners, zero-width spaces and variation selectors are allowed only where a script or an emoji needs them;
    `newswire.text.folding.fold` ignores them in comparisons.
    """
    if _PLAIN.fullmatch(text):
        return None
    rest = _FLAG.sub("\U0001f3f4", text)
    for at, char in enumerate(rest):
        if not _is_allowed_in_label(rest, at, char):
            return named(char)
    return _marks_violation(rest)


def headline_violation(text: str) -> str | None:
    """Return what a headline must not contain and this one does, or None. The caller folds white space."""
    if _PLAIN.fullmatch(text):
        return None
    rest = _FLAG.sub("\U0001f3f4", text)
    return _text_violation(rest) or _marks_violation(rest, leading=True)


def prose_violation(text: str) -> str | None:
    """Return what prose must not contain and this text does, or None."""
    if _PLAIN.fullmatch(text):
        return None
    return _text_violation(_WHITE.sub(" ", _FLAG.sub("\U0001f3f4", text)).replace("\u2028", " ").replace("\u2029", " "))


def clean_label(text: str) -> str:
    """Return a label without the characters that it must not contain."""
    return _dropping(_FLAG.sub("\U0001f3f4", text), label_violation, _is_allowed_in_label)


def clean_headline(text: str) -> str:
    """Return a headline without the characters that it must not contain."""
    return _dropping(text, headline_violation, _is_allowed_in_text)


def clean_prose(text: str) -> str:
    """Return prose without the characters that it must not contain."""
    return _dropping(
        text, prose_violation, lambda part, at, char: char in "\t\n\r" or _is_allowed_in_text(part, at, char)
    )


def _dropping(text: str, unfit: Callable[[str], str | None], fits: Callable[[str, int, str], bool]) -> str:
    if not unfit(text):
        return text
    rest = "".join(char for at, char in enumerate(text) if fits(text, at, char))
    if unfit(rest):  # marks, or a character that depends on one that was removed
        rest = "".join(char for char in rest if unicodedata.category(char) not in ("Mn", "Me", "Cf"))
    return rest


def _is_allowed_in_text(_text: str, _at: int, char: str) -> bool:
    never = _is_control(char) or char in _FORBIDDEN or _is_noncharacter(char)
    return not never and char not in _BIDI_OPEN and char not in _BIDI_CLOSE


def has_visible_text(text: str) -> bool:
    """Return whether any character of a text is visible."""
    return any(
        (unicodedata.category(char)[0] not in "ZCM" and char not in _INVISIBLE) or char in _VISIBLE_FORMATS
        for char in text
    )


def named(char: str) -> str:
    """Return the code point and name of a character for an error message, without the character itself."""
    return f"U+{ord(char):04X} {unicodedata.name(char, 'control character' if _is_control(char) else '')}".rstrip()


def escaped(text: str) -> str:
    """Return a text for a terminal: characters that move the cursor, send commands or change the writing direction are escaped."""
    return "".join(char if char.isprintable() or char in _JOINERS else _escape(char) for char in text)


def _escape(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _text_violation(text: str) -> str | None:
    open_: list[str] = []
    for char in text:
        if _is_control(char) or char in _FORBIDDEN or _is_noncharacter(char):
            return named(char)
        if char in _BIDI_OPEN:
            open_.append(_BIDI_OPEN[char])
        elif char in _BIDI_CLOSE and (not open_ or open_.pop() != char):
            return f"{named(char)} without a start"
    return "a bidirectional embedding or isolate without an end" if open_ else None


def _is_allowed_in_label(text: str, at: int, char: str) -> bool:
    if char in _JOINERS:
        return _joiner_is_needed(text, at, char)
    if char in _MONGOLIAN_VARIATIONS:
        return _script_before(text, at) == "MONGOLIAN"
    if char == "\u200b":
        return _script_before(text, at) in _WITHOUT_SPACES and _script_after(text, at) in _WITHOUT_SPACES
    if "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        return _selects_variation(text, at, char)
    if char in _INVISIBLE:
        return False
    category = unicodedata.category(char)
    if category == "Cn":
        return not _is_noncharacter(char)  # this version of Unicode may not define it yet
    return (category[0] != "C" and category not in ("Zl", "Zp")) or char in _VISIBLE_FORMATS


def _joiner_is_needed(text: str, at: int, char: str) -> bool:
    """Return whether a joiner follows a virama, joins cursive letters, or joins emoji (as in RFC 5892, appendix A)."""
    if at == 0:
        return False
    before, after = text[at - 1], text[at + 1 : at + 2]
    if unicodedata.combining(before) == 9 or (after and unicodedata.combining(after) == 9):
        return True
    if _script_before(text, at) in _CURSIVE:
        return _script_after(text, at) in _CURSIVE or (char == "\u200d" and after in ("", " "))
    if char == "\u200d" and after:
        return unicodedata.category(before) in ("So", "Sk", "Mn") and unicodedata.category(after) == "So"
    return False


def _selects_variation(text: str, at: int, char: str) -> bool:
    base = text[at - 1] if at else " "
    if char >= "\U000e0100":
        return unicodedata.name(base, "").startswith("CJK ")
    if char in "\ufe0e\ufe0f":
        return unicodedata.category(base) in ("So", "Sm", "Sk", "Po", "Pd", "Nd")
    return (
        unicodedata.name(base, "").startswith(("CJK ", "MYANMAR ", "PHAGS-PA ")) or unicodedata.category(base) == "Sm"
    )


def _script_before(text: str, at: int) -> str:
    return next((_script(char) for char in reversed(text[:at]) if unicodedata.category(char) != "Mn"), "")


def _script_after(text: str, at: int) -> str:
    return next((_script(char) for char in text[at + 1 :] if unicodedata.category(char) != "Mn"), "")


def _script(char: str) -> str:
    return unicodedata.name(char, "").partition(" ")[0] if unicodedata.category(char)[0] in "LM" else ""


def _marks_violation(text: str, *, leading: bool = False) -> str | None:
    """Return what is wrong with combining marks: too many on one character, one repeated, or one without a base character."""
    run, before = 0, " "
    for char in unicodedata.normalize("NFD", text):
        # Tibetan subjoined letters have the category of marks, but are letters to readers.
        if unicodedata.category(char) not in ("Mn", "Me") or "\u0f90" <= char <= "\u0fbc":
            run, before = 0, char
            continue
        if char == before:
            return f"{named(char)} twice on one character"
        if before == " " and not leading:
            return f"{named(char)} without a base character"
        run, before = run + 1, char
        if run > MAX_MARKS:
            return f"more than {MAX_MARKS} combining marks on one character"
    return None


def _is_control(char: str) -> bool:
    return char < " " or "\x7f" <= char <= "\x9f"


def _is_noncharacter(char: str) -> bool:
    code = ord(char)
    return 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE

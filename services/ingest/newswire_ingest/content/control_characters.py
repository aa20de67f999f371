"""Control characters and noncharacters, which HTML must not contain, and XML mostly cannot.

Texts have them by accident: word processors separate lines by U+000B, and where Windows-1252 was taken for ISO-8859-1, quotation
marks, dashes and the ellipsis became U+0080 to U+009F. Browsers read ``&#146;`` as the apostrophe that was meant.
"""

import re
from typing import Final

_WINDOWS: Final = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_SPACES: Final = {**dict.fromkeys((0x0B, 0x0C), "\n"), **dict.fromkeys(range(0x1C, 0x20), " ")}
"""Those that separate words, also in the plain text."""
_ASCII: Final = {**dict.fromkeys((*range(0x09), *range(0x0E, 0x1C), 0x7F), ""), **_SPACES}
_REPLACED: Final = {chr(code): replacement for code, replacement in (_ASCII | _WINDOWS).items()}
_OF_WINDOWS: Final = re.compile("[\x80-\x9f]")
_INVALID: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(f"{chr(plane | 0xFFFE)}{chr(plane | 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)


def with_windows_characters(text: str) -> str:
    """Return a text with the characters of Windows-1252 in place of U+0080 to U+009F."""
    return text if text.isascii() else _OF_WINDOWS.sub(_replacement, text)


def without_control_characters(text: str) -> str:
    """Return a text that HTML may contain: lines, spaces and Windows-1252 as they were meant, without the other characters."""
    if text.isascii():
        return text.translate(_ASCII)
    if text.replace("\n", "").isprintable():  # nearly all are, and a search takes three times as long
        return text
    return _INVALID.sub(_replacement, text)


def _replacement(found: re.Match[str]) -> str:
    return _REPLACED.get(found[0], "")

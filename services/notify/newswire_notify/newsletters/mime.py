"""MIME encodings: parts in quoted-printable or base64 (RFC 2045), and header values in encoded words (RFC 2047)."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

_ASCII = bytes(range(127))
_DOT, _FROM = re.compile(rb"^\.(?=.{0,73}$)", re.MULTILINE), re.compile(rb"^From (?=.{0,69}$)", re.MULTILINE)
"""At the beginning of a line that has room for an encoded character."""
_WORD_BYTES = 39
"""Bytes of text in an encoded word, so that a line with the name of its header has at most 76 characters (RFC 2047, section 2)."""
_SOFT_BREAK = b"=\r\n"
"""A line break that is not part of the text (RFC 2045, section 6.7, rule 5)."""


class PartTemplate:
    """A part of a mail, with its headers. It is encoded once; what the markers stand for is put in for each reader.

    Quoted-printable, or base64 where that is shorter.
    """

    def __init__(self, kind: str, text: str, markers: Sequence[str] = ()) -> None:
        """``markers``: ASCII texts that stand for others."""
        self._text = text.replace("\r\n", "\n").replace("\r", "\n")
        raw = self._text.encode()
        self._base64 = len(raw.translate(None, _ASCII)) * 6 > len(raw)
        encoding = b"base64" if self._base64 else b"quoted-printable"
        self._head = b"Content-Type: " + kind.encode() + b"; charset=utf-8\r\n"
        self._head += b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n"
        self._pieces = [] if self._base64 else _pieces(self._text, markers)

    def filled(self, values: Mapping[str, str], inserted: Mapping[str, bytes]) -> list[bytes]:
        """Return the pieces of the part of one reader. ``inserted``: the values as `insertion` returns them."""
        if self._base64:
            text = self._text
            for marker, value in values.items():
                text = text.replace(marker, value)
            content = base64.encodebytes(text.encode().replace(b"\n", b"\r\n")).replace(b"\n", b"\r\n")
            return [self._head, content]
        return [self._head, *[inserted[piece] if isinstance(piece, str) else piece for piece in self._pieces], b"\r\n"]


def insertion(value: str) -> bytes:
    """Return a text in quoted-printable, as it is put in between pieces."""
    return _SOFT_BREAK + quoted_printable(value.encode()) + _SOFT_BREAK


def _pieces(text: str, markers: Sequence[str]) -> list[bytes | str]:
    """Return the encoded text between markers, and the markers. A line ends softly before and after each marker."""
    if not markers:
        return [quoted_printable(text.encode())]
    found = re.split("(" + "|".join(map(re.escape, markers)) + ")", text)
    return [piece if at % 2 else quoted_printable(piece.encode()) for at, piece in enumerate(found)]


def quoted_printable(raw: bytes) -> bytes:
    """Return a text in quoted-printable; its lines end with LF before, and with CRLF after."""
    quoted = binascii.b2a_qp(raw, istext=True)
    # A line that is one dot ends the mail in SMTP, and "From " begins a new one in mailboxes.
    if b"\n." in quoted or quoted.startswith(b"."):
        quoted = _DOT.sub(b"=2E", quoted)
    if b"From " in quoted:
        quoted = _FROM.sub(b"=46rom ", quoted)
    return quoted.replace(b"\n", b"\r\n")


def encoded_words(text: str) -> str:
    """Return the value of an unstructured header: as it is where it is short ASCII, else as encoded words (RFC 2047)."""
    line = " ".join(text.split())
    if line.isascii() and line.isprintable() and len(line) <= 900 and "=?" not in line:
        return _folded(line)
    words = [f"=?utf-8?B?{base64.b64encode(chunk).decode()}?=" for chunk in _chunks(line)]
    return "\r\n ".join(words)


def phrase(name: str) -> str:
    """Return a display name as a quoted string, or as encoded words where it is not ASCII (RFC 5322, section 3.2.5)."""
    line = " ".join(name.split())
    if line.isascii() and line.isprintable() and "=?" not in line:  # some programs decode words within quotes
        return _folded('"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return encoded_words(line)


def _folded(line: str) -> str:
    """Fold a header at spaces before the 78th character."""
    lines, current = [], ""
    for word in line.split(" "):
        if current and len(current) + len(word) > 65:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}" if current else word
    return "\r\n ".join([*lines, current])


def _chunks(text: str) -> list[bytes]:
    """Cut a text into pieces of UTF-8, none of which ends within a character."""
    found, current = [], b""
    for char in text:
        encoded = char.encode()
        if len(current) + len(encoded) > _WORD_BYTES:
            found.append(current)
            current = b""
        current += encoded
    return [*found, current]

"""Prepares XML text for a parser: decoded, without text before the root, and with a harmless DOCTYPE.

Line numbers are kept.
"""

import html.entities
import io
import re
from collections.abc import Iterator
from itertools import chain

from newswire_ingest.importing.decoding import CHUNK, REPAIRED_BYTE, decoded, encoding_of
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.models import UnreadableSourceError

PROLOGUE = 4 * CHUNK
"""The root must begin within this many characters."""
_ROOT = re.compile(r"<(?:[\w.-]+:)?(?:rss|RDF|feed|nitf|\w+Item|newsMessage)\b")
_BEGIN = re.compile(rf"<!DOCTYPE\s|<!--|{_ROOT.pattern}")
_DECLARATION = re.compile(r"<\?xml\s[^<>]{0,1000}>")
_DOCTYPE = re.compile(r"(?>\s+|<!--.*?-->|<\?.*?\?>)*+<!DOCTYPE\s+([^\s\[>]+)([^\[>]*)(\[.*?\]\s*)?>", re.DOTALL)
_ENTITY = re.compile(r"""<!ENTITY\s+([\w.-]+)\s+(["'])(?:[^&%"'<]|&#x?[0-9A-Fa-f]+;){0,20}\2\s*>""")


class XmlNeedsRepairError(Exception):
    """Strict parsing has reached text that needs repair."""


def xml_text(source: InputFile) -> tuple[Iterator[str], list[str]]:
    """Yield the text of a document in parts, and return notes on the whole.

    Raises:
        UnreadableSourceError: it declares entities that HTML does not know.
    """
    head = source.head()
    with source.open() as stream:
        encoding, notes = encoding_of(stream, head, source.charset)
    parts = _parts(source, encoding)
    beginning = ""
    for part in parts:
        beginning += part
        if len(beginning) >= PROLOGUE:
            break
    beginning, left_out = _without_junk(beginning)
    if left_out:
        notes.append("text before the XML: omitted")
    return chain([_harmless(beginning)], parts), notes


class Utf8(io.RawIOBase):
    """A text in parts as a UTF-8 stream for the strict parser; raises `XmlNeedsRepairError` at a repaired byte."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._left = b""

    def readable(self) -> bool:
        """Return True, as the parser requires."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into the buffer."""
        if not self._left:
            part = next(self._parts, "")
            if REPAIRED_BYTE in part:
                raise XmlNeedsRepairError
            self._left = part.encode("utf-8", "replace")
        given = self._left[: len(buffer)]
        self._left = self._left[len(given) :]
        buffer[: len(given)] = given
        return len(given)


def _parts(source: InputFile, encoding: str) -> Iterator[str]:
    with source.open() as stream:
        yield from decoded(stream, encoding)


def _without_junk(text: str) -> tuple[str, bool]:
    """Remove what precedes the document: blank lines, warnings of a server. Their lines are still counted."""
    root = _ROOT.search(text)
    begin = _DECLARATION.search(text, 0, root.start() if root else len(text)) or _BEGIN.search(text)
    start = begin.start() if begin else max(text.find("<"), 0)
    junk, text = text[:start], text[start:]
    lines = junk.count("\n")
    if declaration := _DECLARATION.match(text):
        lines += declaration[0].count("\n")
        text = text[declaration.end() :]
    return "\n" * lines + text, bool(junk.strip("\ufeff \t\r\n"))


def _harmless(text: str) -> str:
    """Reduce a DOCTYPE to its name; then HTML's named characters are references, not errors."""
    found = _DOCTYPE.match(text)
    if found is None:
        if "<!ENTITY" in text[:CHUNK].partition("<![CDATA[")[0] and "<!DOCTYPE" in text[:CHUNK]:
            raise UnreadableSourceError("declares its own entities, which are not supported")
        return text
    declared = found[3] or ""
    names = [entity[1] for entity in _ENTITY.finditer(declared)]
    known = all(f"{name};" in html.entities.html5 for name in names)
    if not known or declared.count("<!ENTITY") != len(names):
        raise UnreadableSourceError(
            "declares its own entities, which are not supported", text[: found.start(1)].count("\n") + 1
        )
    return f'<!DOCTYPE {found[1]} SYSTEM "none">' + "\n" * found[0].count("\n") + text[found.end() :]

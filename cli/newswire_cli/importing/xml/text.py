"""XML as text, ready for a parser: decoded, without what stands before its root, its DOCTYPE harmless.

Lines keep their numbers.
"""

import html.entities
import io
import re
from collections.abc import Iterator
from itertools import chain

from newswire_cli.importing.decoding import CHUNK, REPAIRED_BYTE, decoded, encoding_of
from newswire_cli.importing.input_files import InputFile
from newswire_cli.importing.models import UnreadableSourceError

PROLOGUE = 4 * CHUNK
"""Characters within which the root has to begin."""
_ROOT = re.compile(r"<(?:[\w.-]+:)?(?:rss|RDF|feed|nitf|\w+Item|newsMessage)\b")
_BEGIN = re.compile(rf"<!DOCTYPE\s|<!--|{_ROOT.pattern}")
_DECLARATION = re.compile(r"<\?xml\s[^<>]{0,1000}>")
_DOCTYPE = re.compile(r"(?>\s+|<!--.*?-->|<\?.*?\?>)*+<!DOCTYPE\s+([^\s\[>]+)([^\[>]*)(\[.*?\]\s*)?>", re.DOTALL)
_ENTITY = re.compile(r"""<!ENTITY\s+([\w.-]+)\s+(["'])(?:[^&%"'<]|&#x?[0-9A-Fa-f]+;){0,20}\2\s*>""")


class XmlNeedsRepairError(Exception):
    """A strict reading has come to what only a repairing one may read."""


def xml_text(source: InputFile) -> tuple[Iterator[str], list[str]]:
    """Return a document's text in parts, and what there is to remark on the whole.

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
        notes.append("what stands before the XML is left out")
    return chain([_harmless(beginning)], parts), notes


class Utf8(io.RawIOBase):
    """Text in parts as a stream of UTF-8, for the strict parser; ends with `XmlNeedsRepairError` where a byte was repaired."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._left = b""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Give the next bytes."""
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
    """Cut off what stands before the document: blank lines, a server's warnings; its lines go on counting."""
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
    """Keep no more of a DOCTYPE than that there is one: then HTML's named characters are references, not errors."""
    found = _DOCTYPE.match(text)
    if found is None:
        if "<!ENTITY" in text[:CHUNK].partition("<![CDATA[")[0] and "<!DOCTYPE" in text[:CHUNK]:
            raise UnreadableSourceError("declares entities of its own, which are not read")
        return text
    declared = found[3] or ""
    names = [entity[1] for entity in _ENTITY.finditer(declared)]
    known = all(f"{name};" in html.entities.html5 for name in names)
    if not known or declared.count("<!ENTITY") != len(names):
        raise UnreadableSourceError(
            "declares entities of its own, which are not read", text[: found.start(1)].count("\n") + 1
        )
    return f'<!DOCTYPE {found[1]} SYSTEM "none">' + "\n" * found[0].count("\n") + text[found.end() :]

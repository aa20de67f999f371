"""Splits a document at its items without parsing it, so that a broken item does not affect the others."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

MAX_ITEM_CHARACTERS = 8_000_000
"""For one item, or for the text before the first item; the API accepts articles of up to 1 MiB."""
MAX_TAG_CHARACTERS = 100
"""For the name of an item's tag, without attributes."""
_COMMENT, _CDATA = "<!--", "<![CDATA["
_QUOTED_END = "<![CDATA[>"
"""The text after the end of a CDATA section that quotes such an end."""


class Kind(Enum):
    """The kind of a piece of a document."""

    HEAD = auto()
    """All text before the first item; the first piece, once."""
    ITEM = auto()
    CUT_OFF = auto()
    """An item within which the document ends."""
    TOO_LARGE = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document, and the line on which it begins."""

    kind: Kind
    text: str
    line: int


def pieces(parts: Iterator[str], names: tuple[str, ...]) -> Iterator[Piece]:
    """Split a document at the elements with one of these local names: the first one found, with its prefix, is used throughout."""
    return _Splitter(parts, names).pieces()


class _Splitter:
    """Scans the text once; text is dropped from memory as soon as its piece is complete."""

    def __init__(self, parts: Iterator[str], names: tuple[str, ...]) -> None:
        self._parts = parts
        self._buffer = ""
        self._line = 1
        self._nowhere: dict[str, int] = {}
        self._look_for(rf"(?:[\w.-]+:)?(?:{'|'.join(names)})")

    def pieces(self) -> Iterator[Piece]:
        """Yield the head and the items."""
        opened = self._next(0, kept=True)
        end = len(self._buffer) if opened is None else opened.start()
        yield Piece(Kind.HEAD, self._buffer[:end], self._line)
        self._drop(end)
        opened = self._next(0)
        while opened is not None:
            self._look_for(re.escape(opened[2]))
            self._drop(opened.start())
            yield self._item(opened[0])
            opened = self._next(0)

    def _look_for(self, name: str) -> None:
        self._token = re.compile(rf"<!--|<!\[CDATA\[|<(/?)({name})(?=[\s/>])")
        self._boundary = re.compile(rf"</{name}\s*>|<{name}(?=[\s>])")

    def _item(self, begin: str) -> Piece:
        """Return the item at the beginning of the buffer, and remove it from the buffer."""
        line = self._line
        end, behind, whole = self._extent(len(begin))
        text = self._buffer[:end]
        self._drop(behind)
        if len(text) >= MAX_ITEM_CHARACTERS and not whole:
            self._skip()
            return Piece(Kind.TOO_LARGE, "", line)
        return Piece(Kind.ITEM if whole else Kind.CUT_OFF, text, line)

    def _extent(self, opened: int) -> tuple[int, int, bool]:
        """Return where an item ends, where the text continues after it, and whether the document extends that far."""
        end = self._end_of_tag(opened)
        if self._buffer[end - 2 : end] == "/>":
            return end, end, True
        token = self._next(end, kept=True, inside=True)
        if token is None:
            return len(self._buffer), len(self._buffer), False
        if not token[1]:  # the next item begins
            return token.start(), token.start(), True
        behind = self._end_of_end_tag(token.end())
        broken = self._buffer[behind - 1] != ">"
        return token.start() if broken else behind, behind, True

    def _skip(self) -> None:
        """Skip to the next item without keeping the text before it."""
        token = self._next(0, inside=True)
        if token is not None:
            self._drop(token.end() if token[1] else token.start())

    def _next(self, at: int, *, kept: bool = False, inside: bool = False) -> "re.Match[str] | None":
        """Return the next start tag of an item, or its end tag (`inside`), outside comments and CDATA.

        Return None at the end of the document. Searched text is dropped, or kept (`kept`); then also None if that becomes too much.
        """
        while True:
            token = self._token.search(self._buffer, at)
            if token is None:
                at = max(len(self._buffer) - MAX_TAG_CHARACTERS, at)
                if not kept:
                    self._drop(at)
                    at = 0
                if (kept and len(self._buffer) >= MAX_ITEM_CHARACTERS) or not self._more():
                    return None
            elif token[0] == _COMMENT:
                at = self._find("-->", token.end()) or token.end()
            elif token[0] == _CDATA:
                at = self._after_cdata(token.end())
            elif token[1] and not inside:
                at = token.end()
            else:
                return token

    def _after_cdata(self, start: int) -> int:
        """Return where CDATA ends; an unclosed section ends before the end of its item, or before the next item."""
        end = self._find("]]>", start)
        limit = len(self._buffer) if end is None else self._buffer.rfind(_CDATA, start, end)
        if limit >= 0 and (boundary := self._boundary.search(self._buffer, start, limit)):
            quoted = end is not None and self._buffer.startswith(_QUOTED_END, end)
            if boundary[0].startswith("</") or not quoted:
                return boundary.start()
        return start if end is None else end

    def _find(self, needle: str, start: int) -> int | None:
        """Return the position after the needle; None if it does not occur within the size of the largest item."""
        at = max(start, self._nowhere.get(needle, 0))
        while (found := self._buffer.find(needle, at)) < 0:
            at = max(len(self._buffer) - len(needle), at)
            self._nowhere[needle] = at
            if len(self._buffer) >= MAX_ITEM_CHARACTERS or not self._more():
                return None
        return found + len(needle)

    def _end_of_tag(self, start: int) -> int:
        pattern = re.compile(r"""(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>""")
        while (found := pattern.match(self._buffer, start)) is None:
            if len(self._buffer) >= min(MAX_ITEM_CHARACTERS, start + 100_000) or not self._more():
                loose = self._buffer.find(">", start)
                return len(self._buffer) if loose < 0 else loose + 1
        return found.end()

    def _end_of_end_tag(self, start: int) -> int:
        """Return where an end tag ends; a broken one ends before the next tag."""
        end = self._end_of_tag(start)
        following = self._buffer.find("<", start, end)
        return end if following < 0 else following

    def _more(self) -> bool:
        part = next(self._parts, None)
        if part is None:
            return False
        self._buffer += part
        return True

    def _drop(self, end: int) -> None:
        self._line += self._buffer.count("\n", 0, end)
        self._buffer = self._buffer[end:]
        self._nowhere = {needle: at - end for needle, at in self._nowhere.items() if at > end}

"""Recognises HTML that the sanitiser would return unchanged, which most articles are, without parsing it.

That is well-formed markup of a few elements without attributes, nested as the HTML parser nests them, in which no character has
to be escaped. The parser then builds exactly the elements that are written, all of them are allowed, and the serializer
writes them as they were. Everything else is left to the parser, so what is not recognised costs time, not safety.
"""

import re
from typing import Final

_TEXT_BLOCKS: Final = frozenset("p h2 h3 h4".split())
"""They contain text and inline elements only."""
_INLINE: Final = frozenset("em strong b i code sub sup".split())
"""They contain text only."""
_LISTS: Final = frozenset(("ul", "ol"))
_FLOW: Final = frozenset(("", "blockquote", "li"))
"""They contain text, and elements of every kind except list items; ``""`` is the body itself."""
_PARENTS: Final = {
    **dict.fromkeys(_TEXT_BLOCKS | _LISTS | {"blockquote"}, _FLOW),
    **dict.fromkeys(_INLINE, _FLOW | _TEXT_BLOCKS),
    "li": _LISTS,
}
"""The elements in which each may begin."""
_PARAGRAPH: Final = ["p", "/p"]
_TAG: Final = re.compile("<(/?[a-z0-9]++)>")
_NOT_PLAIN: Final = ("=", "&", "\xa0", "\r", "\x00")
"""A sign of attributes, which makes it known at once that most other articles are not plain; and the characters, besides those of
tags, that the parser or the serializer replaces.
"""
_BYTE_ORDER_MARK: Final = "\ufeff"
MAX_DEPTH: Final = 16
"""Deeper markup is left to the parser."""


def split_plain_markup(sent: str) -> tuple[list[str], list[str]] | None:
    """Return the texts and the tags between them, without their brackets, or None if the sanitiser may change this HTML.

    Text without any tag is None too: the sanitiser does not parse it, and its line breaks are kept.
    """
    if "<" not in sent or any(map(sent.__contains__, _NOT_PLAIN)) or sent.startswith(_BYTE_ORDER_MARK):
        return None
    parts = _TAG.split(sent)  # text, tag, text, tag … text
    texts, tags = parts[::2], parts[1::2]
    between = "".join(texts)
    if "<" in between or ">" in between or not _is_nested(tags):
        return None
    return texts, tags


def _is_nested(tags: list[str]) -> bool:
    """Return whether each element begins where it may, and ends before the one around it."""
    if tags == _PARAGRAPH * (len(tags) // 2):
        return True
    open_ = [""]
    for tag in tags:
        if tag[0] == "/":
            if tag[1:] != open_.pop():
                return False
        elif tag != "br":
            if open_[-1] not in _PARENTS.get(tag, ()) or len(open_) > MAX_DEPTH:
                return False
            open_.append(tag)
    return len(open_) == 1

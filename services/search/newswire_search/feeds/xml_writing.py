"""Writes XML that is well-formed for any text."""

import re
from typing import Any

from lxml import etree

_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""Characters that XML 1.0 cannot represent, not even escaped (section 2.2)."""


def add(parent: etree._Element, tag: str, text: str | None = None, **attributes: Any) -> etree._Element:
    """Add an element; attributes that are None are omitted."""
    element = etree.SubElement(parent, tag)
    if text is not None:
        element.text = clean(text)
    for name, value in attributes.items():
        if value is not None:
            element.set(name, clean(str(value)))
    return element


def clean(text: str) -> str:
    """Return a text without the characters that XML cannot represent."""
    return text if text.isprintable() else _NOT_XML.sub("", text)  # nearly all are, which is faster to tell


def to_bytes(root: etree._Element) -> bytes:
    """Return a document in UTF-8, with its declaration."""
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)

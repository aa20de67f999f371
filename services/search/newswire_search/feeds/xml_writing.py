"""Writes XML that is well-formed for any text: as a tree, or, for long documents, as text, which takes a tenth of the time."""

import re
from collections.abc import Mapping
from typing import Any

from lxml import etree

_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""Characters that XML 1.0 cannot represent, not even escaped (section 2.2)."""

_IN_ATTRIBUTES = {ord('"'): "&quot;", ord("\n"): "&#10;", ord("\t"): "&#9;"}
"""A parser makes line feeds and tabs spaces there (section 3.3.3)."""


def add(parent: etree._Element, tag: str, text: str | None = None, **attributes: Any) -> etree._Element:
    """Add an element; attributes that are None are omitted."""
    element = etree.SubElement(parent, tag)
    if text is not None:
        element.text = clean(text)
    for name, value in attributes.items():
        if value is not None:
            element.set(name, clean(str(value)))
    return element


def element(tag: str, text: str | None = None, /, **attributes: Any) -> str:
    """Return an element as text; attributes that are None are omitted."""
    content = f">{_escaped(clean(text))}</{tag}>" if text is not None else "/>"
    return f"<{tag}{_attributes(attributes)}{content}"


def start_tag(tag: str, attributes: Mapping[str, Any]) -> str:
    """Return the start tag of an element; attributes that are None are omitted."""
    return f"<{tag}{_attributes(attributes)}>"


def document(root: str) -> bytes:
    """Return a root element in UTF-8, with the declaration."""
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{root}".encode()


def _attributes(attributes: Mapping[str, Any]) -> str:
    written = [
        f' {name}="{_escaped(clean(str(value))).translate(_IN_ATTRIBUTES)}"'
        for name, value in attributes.items()
        if value is not None
    ]
    return "".join(written)


def _escaped(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        escaped.replace("\r", "&#13;") if "\r" in escaped else escaped
    )  # a parser makes it a line feed (section 2.11)


def clean(text: str) -> str:
    """Return a text without the characters that XML cannot represent."""
    return text if text.isprintable() else _NOT_XML.sub("", text)  # nearly all are, which is faster to tell


def to_bytes(root: etree._Element) -> bytes:
    """Return a document in UTF-8, with its declaration."""
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)

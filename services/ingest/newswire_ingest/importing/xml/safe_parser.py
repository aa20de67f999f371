"""Parses XML from untrusted sources: no entity is expanded, nothing is fetched, and the parser bounds depth and lengths."""

import html
from typing import Any

from lxml import etree

from newswire_ingest.importing.models import UnreadableSourceError

SAFE: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
}


def name_characters(element: etree._Element) -> None:
    """Replace HTML's named entities (``&nbsp;``) by their characters; their DTD is not fetched."""
    for entity in list(element.iter(etree.Entity)):
        character = html.unescape(entity.text or "")
        if character == entity.text:
            raise UnreadableSourceError(f"the entity {entity.text} is unknown", line_of(entity))
        _replace(entity, character + (entity.tail or ""))


def line_of(element: etree._Element) -> int | None:
    """Return the line on which an element begins."""
    line: Any = element.sourceline
    return int(line) if line else None


def local_name(element: etree._Element) -> str:
    """Return an element's name without its namespace, or without an undeclared prefix; "" for a comment."""
    return element.tag.rpartition("}")[2].rpartition(":")[2] if isinstance(element.tag, str) else ""


def text(element: etree._Element | None) -> str:
    """Return all text in an element, on one line; "" if there is none."""
    return "" if element is None else " ".join("".join(map(str, element.itertext())).split())


def broken(error: etree.XMLSyntaxError) -> UnreadableSourceError:
    """Return an error with the parser's message, without the names of its internal options."""
    message = (
        (error.msg or "cannot be read").split(", use XML_PARSE")[0].split(", try XML_PARSE")[0].split(", see xml")[0]
    )
    return UnreadableSourceError(f"broken XML: {message.strip()}", error.lineno)


def _replace(entity: etree._Element, characters: str) -> None:
    parent, before = entity.getparent(), entity.getprevious()
    if parent is None:
        return
    if before is None:
        parent.text = (parent.text or "") + characters
    else:
        before.tail = (before.tail or "") + characters
    entity.tail = None
    parent.remove(entity)

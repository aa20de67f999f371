"""XML from strangers: no entity is expanded, nothing is fetched, depth and lengths are bounded by the parser."""

import html
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import Any

from lxml import etree

from newswire_cli.importing.sources import Source
from newswire_cli.importing.stories import Unreadable

SAFE: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
}


def parse(source: Source) -> etree._Element:
    """Return the root of a document of bounded size.

    Raises:
        Unreadable: it is broken, or declares entities.
    """
    return document(source.whole())


def document(content: bytes) -> etree._Element:
    """Return the root of a document at hand."""
    try:
        root = etree.fromstring(content, etree.XMLParser(**SAFE))
    except etree.XMLSyntaxError as error:
        raise broken(error) from None
    _refuse_entities(root)
    name_characters(root)
    return root


def elements(stream: BufferedReader, roots: Sequence[str], tags: Sequence[str]) -> Iterator[etree._Element]:
    """Go through the elements with these tags as the parser completes them; each is emptied when the next is asked for.

    So memory stays that of one element, however long the document.
    """
    try:
        for event, element in etree.iterparse(stream, events=("start", "end"), tag=(*roots, *tags), **SAFE):
            if event == "start":
                if element.getparent() is None:
                    _refuse_entities(element)
                continue
            if element.getparent() is None:
                continue
            name_characters(element)
            yield element
            element.clear(keep_tail=False)
            parent = element.getparent()
            while parent is not None and element.getprevious() is not None:
                del parent[0]
    except etree.XMLSyntaxError as error:
        raise broken(error) from None


def name_characters(element: etree._Element) -> None:
    """Put characters in the place of HTML's named entities (``&nbsp;``), whose DTD is not fetched."""
    for entity in list(element.iter(etree.Entity)):
        character = html.unescape(entity.text or "")
        if character == entity.text:
            raise Unreadable(f"the entity {entity.text} is not known", line_of(entity))
        _replace(entity, character + (entity.tail or ""))


def line_of(element: etree._Element) -> int | None:
    """Return the line on which an element begins."""
    line: Any = element.sourceline
    return int(line) if line else None


def text(element: etree._Element | None) -> str:
    """Return all text in an element, on one line; "" for none."""
    return "" if element is None else " ".join("".join(map(str, element.itertext())).split())


def broken(error: etree.XMLSyntaxError) -> Unreadable:
    """Say what the parser found, without its own switches' names."""
    said = (error.msg or "cannot be read").split(", use XML_PARSE")[0].split(", try XML_PARSE")[0].split(", see xml")[0]
    return Unreadable(f"broken XML: {said.strip()}", error.lineno)


def _refuse_entities(root: etree._Element) -> None:
    declared: Any = root.getroottree().docinfo.internalDTD
    if declared is not None and next(declared.iterentities(), None) is not None:
        raise Unreadable("declares entities of its own, which are not read", line_of(root))


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

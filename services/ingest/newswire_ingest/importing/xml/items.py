"""Yields the items of a document one at a time: parsed strictly up to the first error, repaired from there on.

An item that cannot be repaired becomes a `FailedItem` with line and reason; the items after it are read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.models import FailedItem, UnreadableSourceError
from newswire_ingest.importing.xml.repair import cleaned, with_whole_fields, with_whole_tags
from newswire_ingest.importing.xml.safe_parser import SAFE, broken, line_of, name_characters
from newswire_ingest.importing.xml.split import MAX_ITEM_CHARACTERS, Kind, Piece, pieces
from newswire_ingest.importing.xml.text import Utf8, XmlNeedsRepairError, xml_text

MAX_CONTEXT = 50
"""Maximum depth of an item; attributes of its ancestors matter, such as ``xml:base``."""
_START_TAG = re.compile(
    r"""<(?![?!/])([A-Za-z_][\w.:-]*)((?:[\s/](?:[^<>"']|"[^"]*"|'[^']*')*+)?)>|</([A-Za-z_][\w.:-]*)"""
)
_SKIPPED = re.compile(r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)", re.DOTALL)
_PREFIXES = re.compile(r"</?([A-Za-z_][\w.-]*):[A-Za-z_]|\s([A-Za-z_][\w.-]*):[\w.-]+\s*=\s*[\"']")
_DECLARED = re.compile(r"\sxmlns:([\w.-]+)\s*=")
_HOLDER = "newswire-item"
_USUAL = {
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "wp": "http://wordpress.org/export/1.2/",
    "excerpt": "http://wordpress.org/export/1.2/excerpt/",
    "media": "http://search.yahoo.com/mrss/",
    "itunes": "http://www.itunes.com/dtds/podcast-1.0.dtd",
    "atom": "http://www.w3.org/2005/Atom",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "feedburner": "http://rssnamespace.org/feedburner/ext/1.0",
    "xhtml": "http://www.w3.org/1999/xhtml",
    "xlink": "http://www.w3.org/1999/xlink",
}
"""The usual namespaces of prefixes that are not declared."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item, the line on which it begins, and notes on repairs."""

    element: etree._Element
    line: int | None
    notes: tuple[str, ...] = ()
    broken_text: str = ""
    """The source text of an item that was repaired."""


def items(source: InputFile, names: tuple[str, ...]) -> Iterator[Item | FailedItem]:
    """Yield the elements with these local names. Each element is emptied when the next one is requested."""
    parts, notes = xml_text(source)
    number = 0
    try:
        for element in _strictly(parts, names):
            number += 1
            yield Item(element, line_of(element), tuple(notes))
            notes = []
    except XmlNeedsRepairError:
        yield from _repaired(source, names, number, None)
    except etree.XMLSyntaxError as error:
        yield from _repaired(source, names, number, error)


def context(source: InputFile, names: tuple[str, ...]) -> etree._Element | None:
    """Return the root of a document up to the first item."""
    parts, _ = xml_text(source)
    head = next(pieces(parts, names)).text
    text = with_whole_tags(cleaned(head)[0])
    opened = _open_tags(text)
    closing = "".join(f"</{name}>" for name, _ in reversed(opened))
    if opened:
        name, attributes = opened[0]
        text = text.replace(f"<{name}{attributes}>", f"<{name}{attributes}{_declarations(text)}>", 1)
    try:
        root: Any = etree.fromstring((text + closing).encode(), etree.XMLParser(**SAFE, recover=True))
    except etree.XMLSyntaxError:
        return None  # nothing can be recovered
    return None if root is None else root


def _strictly(parts: Iterator[str], names: tuple[str, ...]) -> Iterator[etree._Element]:
    tags = [f"{{*}}{name}" for name in names]
    for _, element in etree.iterparse(Utf8(parts), events=("end",), tag=tags, **SAFE):
        if element.getparent() is None or any(True for _ in element.iterancestors(*tags)):
            continue
        if _has_undeclared_prefix(element):
            raise XmlNeedsRepairError
        name_characters(element)
        yield element
        element.clear(keep_tail=False)
        parent = element.getparent()
        while parent is not None and element.getprevious() is not None:
            del parent[0]


def _repaired(
    source: InputFile, names: tuple[str, ...], number: int, error: etree.XMLSyntaxError | None
) -> Iterator[Item | FailedItem]:
    """Yield the items after the first `number`, each parsed separately; `error` is what stopped the strict parser."""
    parts, notes = xml_text(source)
    end = ["", ""]
    divided = pieces(_keep_last_parts(parts, end), names)
    opened = _open_tags(cleaned(next(divided).text)[0])[:MAX_CONTEXT]
    if number:
        notes = []
    index, piece = -1, None
    for index, piece in enumerate(divided):
        if index < number:
            continue
        if piece.kind is Kind.CUT_OFF:
            yield FailedItem(source.name, piece.line, "broken XML: the file ends within this item")
        elif piece.kind is Kind.TOO_LARGE:
            yield FailedItem(
                source.name, piece.line, f"is larger than {MAX_ITEM_CHARACTERS // 1_000_000} million characters"
            )
        else:
            yield _item(source.name, piece, opened, notes)
            notes = []
    if index < 0:
        raise broken(error) if error is not None else UnreadableSourceError("broken XML: contains no items")
    cut_off = piece is not None and piece.kind is Kind.CUT_OFF
    if opened and not cut_off and f"</{opened[0][0]}" not in "".join(end):
        yield FailedItem(
            source.name, None, "broken XML: the file ends before its end tag; items after the last one are missing"
        )


def _keep_last_parts(parts: Iterator[str], end: list[str]) -> Iterator[str]:
    """Keep the last two parts."""
    for part in parts:
        end[:] = [end[1], part]
        yield part


def _item(file: str, piece: Piece, opened: list[tuple[str, str]], notes: list[str]) -> Item | FailedItem:
    try:
        element, repairs = _parsed(piece.text, opened)
    except etree.XMLSyntaxError as error:
        reason = broken(error)
        return FailedItem(file, piece.line, reason.reason)
    except UnreadableSourceError as error:
        return FailedItem(file, piece.line, error.reason)
    repaired = tuple(f"repaired: {repair}" for repair in repairs)
    return Item(element, piece.line, (*notes, *repaired), piece.text if repairs else "")


def _parsed(text: str, opened: list[tuple[str, str]]) -> tuple[etree._Element, list[str]]:
    """Parse one item inside the start tags of its ancestors, with as few repairs as possible."""
    before = "".join(f"<{name}{attributes}>" for name, attributes in opened)

    def parse(fragment: str, *, recover: bool = False) -> etree._Element:
        return _within(fragment, before, opened, recover=recover)

    def parses(fragment: str) -> bool:
        try:
            parse(fragment)
        except etree.XMLSyntaxError:
            return False
        return True

    text, notes = cleaned(text)
    if missing := sorted(_prefixes(before + text)):
        notes.append(f"the prefix {', '.join(missing)} is not declared: its usual namespace is used")
    name = re.match(r"<([\w.:-]+)", text)
    if name and not re.search(rf"</{re.escape(name[1])}\s*>\s*\Z|/>\s*\Z", text):
        text, notes = f"{text}</{name[1]}>", [*notes, "an item that is not closed ends before the next"]
    if parses(text):
        return parse(text), notes
    whole = with_whole_tags(text)
    if whole != text and parses(whole):
        return parse(whole), [*notes, "attributes"]
    whole, repairs = with_whole_fields(whole, parses)
    if parses(whole):
        return parse(whole), [*notes, *repairs]
    return parse(whole, recover=True), [*notes, *repairs, "tags that do not match"]


def _within(fragment: str, before: str, opened: list[tuple[str, str]], *, recover: bool) -> etree._Element:
    after = "".join(f"</{name}>" for name, _ in reversed(opened))
    text = f"<context{_declarations(before + fragment)}>{before}<{_HOLDER}>{fragment}</{_HOLDER}>{after}</context>"
    root: Any = etree.fromstring(text.encode(), etree.XMLParser(**SAFE, recover=recover))
    holder = None if root is None else next(root.iter(f"{{*}}{_HOLDER}"), None)
    element = None if holder is None else next(holder.iterchildren(etree.Element), None)
    if element is None:
        raise UnreadableSourceError("broken XML: contains no readable element")
    name_characters(element)
    return element


def _open_tags(head: str) -> list[tuple[str, str]]:
    """Return the start tags, with attributes, that are open at the end of a text."""
    opened: list[tuple[str, str]] = []
    for found in _START_TAG.finditer(_SKIPPED.sub("", head)):
        name, attributes, closed = found.groups()
        if closed:
            if any(closed == name for name, _ in opened):
                while opened.pop()[0] != closed:
                    pass
        elif not attributes.rstrip().endswith("/"):
            opened.append((name, attributes))
    return opened


def _prefixes(text: str) -> set[str]:
    """Return the prefixes that are used but not declared."""
    tags = _SKIPPED.sub("", text)
    return {first or second for first, second in _PREFIXES.findall(tags)} - {"xml", "xmlns", *_DECLARED.findall(tags)}


def _declarations(text: str) -> str:
    missing = sorted(_prefixes(text))
    return "".join(f' xmlns:{prefix}="{_USUAL.get(prefix, f"urn:undeclared:{prefix}")}"' for prefix in missing)


def _has_undeclared_prefix(element: etree._Element) -> bool:
    return any(
        isinstance(each.tag, str) and (_prefixed(each.tag) or any(_prefixed(name) for name in each.attrib))
        for each in element.iter()
    )


def _prefixed(name: Any) -> bool:
    return ":" in name and "{" not in name

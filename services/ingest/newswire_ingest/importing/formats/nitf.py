"""Reads NITF 3.x, the IPTC's News Industry Text Format, with or without its namespace."""

import html
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from lxml import etree

from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.markup import authors_of
from newswire_ingest.importing.models import SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.xml.document import parse
from newswire_ingest.importing.xml.safe_parser import line_of, local_name, text

_KEPT = frozenset(
    "p ol ul li dl dt dd table caption thead tbody tfoot tr th td pre br hr em sub sup blockquote".split()
)
_RENAMED = {"hl1": "h2", "hl2": "h3", "bq": "blockquote", "block": "div", "media": "figure"}
_LEFT_OUT = frozenset("media-metadata media-object media-producer nitf-table-metadata custom-table".split())


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read one article; its path in the folder is its ``external_id`` if it has no id."""
    root, notes = parse(source)
    if reason := _not_public(root):
        yield SkippedItem(source.name, line_of(root), reason)
        return
    identity = _attribute(root, "doc-id", "id-string")
    if not identity:
        identity = PurePath(source.relative).with_suffix("").as_posix()
        notes = (*notes, "has no doc-id with an id-string: its path identifies it")
    draft = content(root) | {"published_at": _dates(root), "external_id": identity}
    if _status(root) == "embargoed":
        draft["embargo_until"] = _attribute(root, "date.release", "norm")
    yield SourceArticle(
        source.name, line_of(root), draft, notes, expires=_attribute(root, "date.expire", "norm") or None
    )


def _not_public(root: etree._Element) -> str:
    status = _status(root)
    if status == "embargoed" and _attribute(root, "date.release", "norm"):
        return ""
    return "" if status == "usable" else f"is not published but '{status[:40]}'"


def _status(root: etree._Element) -> str:
    return _attribute(root, "docdata", "management-status") or "usable"


def _dates(root: etree._Element) -> list[str]:
    """Return all candidates for the date, best first."""
    stated = [
        ("date.release", "norm"),
        ("date.issue", "norm"),
        ("pubdata", "date.publication"),
        ("story.date", "norm"),
    ]
    found = [_attribute(root, name, attribute) for name, attribute in stated]
    return [date for date in found if date]


def content(root: etree._Element) -> dict[str, Any]:
    """Return the members of an article from an ``nitf`` element, also from one inside a NewsML-G2 item.

    Notes to editors are omitted wherever they occur.
    """
    for note in list(_all(root, "note")):
        _remove(note)
    whole = _child(root, "body")
    head, inside = _child(whole, "body.head"), _child(whole, "body.content")
    byline = _first(head, "byline")
    topics = [found for element in _all(root, "keyword") if (found := element.get("key"))]
    topics += [
        found
        for element in _all(root, "tobject.subject")
        if (found := element.get("tobject.subject.matter") or element.get("tobject.subject.type"))
    ]
    urgency = _attribute(root, "urgency", "ed-urg")
    return {
        "title": text(_first(head, "hl1")) or text(_first(root, "title")),
        "body": _html(inside) if inside is not None else _html_without_parts(whole),
        "summary": text(_first(head, "abstract")) or text(_first(head, "hl2")),
        "authors": _authors(byline),
        "category": _attribute(root, "pubdata", "position.section"),
        "topics": topics,
        "language": root.get("{http://www.w3.org/XML/1998/namespace}lang", ""),
        "urgency": urgency,
        "image": _image(inside),
        "metadata": {
            name: value
            for name, value in (
                ("located", text(_first(_first(head, "dateline"), "location"))),
                ("copyright", _attribute(root, "doc.copyright", "holder")),
            )
            if value
        },
    }


def _authors(byline: etree._Element | None) -> list[str]:
    if byline is None:
        return []
    if people := [text(person) for person in _all(byline, "person")]:
        return people
    byline_text = text(byline)
    for title in _all(byline, "byttl"):
        byline_text = byline_text.replace(text(title), "")
    return authors_of(byline_text)


def _image(inside: etree._Element | None) -> dict[str, str] | None:
    for media in _all(inside, "media"):
        reference = _first(media, "media-reference")
        address = reference.get("source", "") if reference is not None else ""
        if media.get("media-type") == "image" and address.startswith(("http://", "https://")):
            found = {
                "url": address,
                "alt": reference.get("alternate-text", "") if reference is not None else "",
                "caption": text(_first(media, "media-caption")),
                "credit": text(_first(media, "media-producer")),
            }
            return {name: value for name, value in found.items() if value}
    return None


def _html(element: etree._Element) -> str:
    """Return the HTML inside an element; the parser has limited its depth."""
    parts = [html.escape(element.text or "", quote=False)]
    for child in element:
        name = local_name(child)
        if name and name not in _LEFT_OUT:
            parts.append(_tagged(child, name))
        parts.append(html.escape(child.tail or "", quote=False))
    return "".join(parts).strip()


def _html_without_parts(body: etree._Element | None) -> str:
    """Return the HTML of a body whose text is not in a ``body.content``."""
    if body is None:
        return ""
    for name in ("body.head", "body.end"):
        for part in list(body.iterchildren("{*}" + name)):
            _remove(part)
    return _html(body)


def _tagged(element: etree._Element, name: str) -> str:
    inside = _html(element)
    if name == "a" and (target := element.get("href")):
        return f'<a href="{html.escape(target)}">{inside}</a>'
    if name == "media-reference":
        address, alt = element.get("source", ""), element.get("alternate-text", "")
        return f'<img src="{html.escape(address)}" alt="{html.escape(alt)}">' if address else ""
    if name == "media-caption":
        return f"<figcaption>{inside}</figcaption>"
    tag = _RENAMED.get(name) or (name if name in _KEPT else "")
    if tag in ("br", "hr"):
        return f"<{tag}>"
    return f"<{tag}>{inside}</{tag}>" if tag else inside


def _remove(element: etree._Element) -> None:
    """Remove an element, but keep the text that follows it."""
    parent, before, tail = element.getparent(), element.getprevious(), element.tail or ""
    if parent is None:
        return
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(element)


def _child(element: etree._Element | None, name: str) -> etree._Element | None:
    return None if element is None else next(element.iterchildren("{*}" + name), None)


def _all(element: etree._Element | None, name: str) -> Iterator[etree._Element]:
    return iter(()) if element is None else element.iter("{*}" + name)


def _first(element: etree._Element | None, name: str) -> etree._Element | None:
    return next(_all(element, name), None)


def _attribute(root: etree._Element, name: str, attribute: str) -> str:
    return next((value for element in _all(root, name) if (value := element.get(attribute))), "").strip()

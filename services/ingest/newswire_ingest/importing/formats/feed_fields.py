"""Reads the elements of a feed and its items, regardless of the prefix or version of their namespace."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin

from lxml import etree

from newswire_ingest.importing.markup import inner, is_markup, paragraphs, plain, text_as_html
from newswire_ingest.importing.xml.safe_parser import local_name, text

_NAMESPACES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/elements/1.0/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
    "http://purl.org/rss/1.0/modules/content/": "content",
    "http://www.w3.org/2005/atom": "atom",
    "http://purl.org/atom/ns#": "atom",
    "http://purl.org/atom/ns": "atom",
    "http://search.yahoo.com/mrss/": "media",
    "http://search.yahoo.com/mrss": "media",
    "http://video.search.yahoo.com/mrss/": "media",
    "http://video.search.yahoo.com/mrss": "media",
    "http://www.itunes.com/dtds/podcast-1.0.dtd": "itunes",
    "http://example.com/dtds/podcast-1.0.dtd": "itunes",
    "http://www.google.com/schemas/play-podcasts/1.0": "itunes",
    "http://www.w3.org/1999/xhtml": "xhtml",
    "http://rssnamespace.org/feedburner/ext/1.0": "feedburner",
    "http://purl.org/rss/1.0/": "",
    "http://my.netscape.com/rdf/simple/0.9/": "",
    "http://channel.netscape.com/rdf/simple/0.9/": "",
}
_XML = "{http://www.w3.org/XML/1998/namespace}"
_ELEMENT_CONTENT = re.compile(r"(?i)</(?:p|div|a|ul|ol|li|b|i|em|strong|blockquote|h\d)\s*>|<br\s*/?>|<img\b")


@dataclass(frozen=True, slots=True)
class Text:
    """The text of an element: as HTML, and as plain text on one line."""

    html: str
    plain: str
    element: etree._Element
    note: str = ""


class Fields:
    """The children of one element, by prefix and name such as "dc:creator"; those of the feed's own namespace have no prefix."""

    def __init__(self, element: etree._Element) -> None:
        self.element = element
        self._members: dict[str, list[etree._Element]] = {}
        own = _namespace(element)
        for child in element.iterchildren(etree.Element):
            name, namespace = local_name(child), _namespace(child)
            prefix = "" if namespace in ("", own) else _NAMESPACES.get(namespace, "?")
            self._members.setdefault(f"{prefix}:{name}" if prefix else name, []).append(child)

    def all(self, *names: str) -> Iterator[etree._Element]:
        """Yield the children with these names, in the order of the names."""
        for name in names:
            yield from self._members.get(name, ())

    def first(self, *names: str) -> etree._Element | None:
        """Return the first child, in the order of the names."""
        return next(self.all(*names), None)

    def text(self, *names: str) -> str:
        """Return the first text that is not empty, on one line."""
        return next((content for member in self.all(*names) if (content := text(member))), "")

    def texts(self, *names: str) -> list[str]:
        """Return each distinct text once."""
        return list(dict.fromkeys(content for member in self.all(*names) if (content := text(member))))


def is_atom(element: etree._Element) -> bool:
    """Return whether an element belongs to Atom, which declares the type of its texts."""
    return local_name(element) in ("entry", "feed")


def attribute(element: etree._Element, name: str) -> str:
    """Return an attribute, with or without a namespace; "" for none."""
    return next(
        (str(value).strip() for key, value in element.attrib.items() if str(key).rpartition("}")[2] == name), ""
    )


def language_of(element: etree._Element | None) -> str:
    """Return the nearest ``xml:lang``."""
    while element is not None:
        if content := element.get(f"{_XML}lang"):
            return content
        element = element.getparent()
    return ""


def base_of(element: etree._Element, document: str) -> str:
    """Return the base of relative addresses in an element (XML Base), in a document with the given address."""
    bases = [found for each in (element, *element.iterancestors()) if (found := each.get(f"{_XML}base"))]
    for base in reversed(bases):
        document = absolute(base.strip(), document)
    return document


def absolute(address: str, base: str) -> str:
    """Resolve an address; one that cannot be resolved is returned unchanged."""
    try:
        return urljoin(base, address)
    except ValueError:
        return address


def rss_text(element: etree._Element) -> Text:
    """Read an RSS element; RSS does not say whether its text is HTML or plain, so it is detected."""
    if len(element) and next(element.iterchildren(etree.Element), None) is not None:
        written = inner(element)
        return Text(written, plain(written), element)
    content = "".join(map(str, element.itertext())).strip()
    return Text(content if is_markup(content) else text_as_html(content), plain(content), element)


def atom_text(element: etree._Element, *, body: bool = True) -> Text:
    """Read an Atom 1.0 or 0.3 text by its type. Text without a type is plain, except a body that looks like HTML."""
    kind, mode = element.get("type", "").lower().partition(";")[0].strip(), element.get("mode", "")
    content = "".join(map(str, element.itertext()))
    if mode == "base64":
        try:
            content = base64.b64decode(content).decode("utf-8", "replace")
        except binascii.Error:
            return Text("", "", element, "content that is not valid base64: omitted")
    child = next(element.iterchildren(etree.Element), None)
    if child is not None and not kind.startswith("image/"):
        written = inner(child if local_name(child) in ("div", "body") and len(element) == 1 else element)
        return Text(written, plain(written), element)
    if kind in ("html", "text/html", "xhtml", "application/xhtml+xml"):
        return Text(content.strip() if is_markup(content) else text_as_html(content), plain(content), element)
    if kind in ("", "text", "text/plain") or kind.startswith("text/"):
        if body and not kind and _ELEMENT_CONTENT.search(content):
            return Text(
                content.strip(), plain(content), element, "content without a type looks like HTML and is read as HTML"
            )
        return Text(paragraphs(content), " ".join(content.split()), element)
    return Text("", "", element, f"content of type {kind}: omitted" if content.strip() else "")


def _namespace(element: etree._Element) -> str:
    tag = element.tag
    return tag[1:].partition("}")[0].lower() if isinstance(tag, str) and tag.startswith("{") else ""

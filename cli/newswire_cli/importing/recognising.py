"""Which format a file has, told from its content; a Markdown file without front matter only from its name."""

import codecs
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import PurePath
from typing import Any

from lxml import etree

from newswire_cli.formats import FormatName
from newswire_cli.importing.safe_xml import SAFE, broken, line_of
from newswire_cli.importing.sources import HEAD, Source
from newswire_cli.importing.stories import Found, Unreadable

Read = Callable[[Source], Iterator[Found]]

_MODULES = {
    FormatName.WORDPRESS: "wordpress",
    FormatName.FEED: "feeds",
    FormatName.NINJS: "ninjs",
    FormatName.NITF: "nitf",
    FormatName.NEWSML: "newsml",
    FormatName.MARKDOWN: "markdown",
    FormatName.HTML: "webpage",
    FormatName.NDJSON: "ndjson",
}
_NEWSML = frozenset("newsItem newsMessage packageItem conceptItem knowledgeItem planningItem catalogItem".split())
_NINJS = re.compile(
    rb'"(?:headlines?|bodies|body_(?:html|xhtml|text|main|richtext)|version_?created|pubstatus|standard)"\s*:',
    re.IGNORECASE,
)
_URI = re.compile(rb'"uri"\s*:')
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|article|main|title|meta|div|p)\b", re.IGNORECASE)
_DECLARED_HTML = re.compile(rb"<html\b", re.IGNORECASE)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (b"%PDF", "a PDF"),
    (b"BZh", "packed with bzip2: unpack it first"),
)


def reader(name: FormatName) -> Read:
    """Return the reader of a format."""
    read: Read = import_module(f"newswire_cli.importing.{_MODULES[name]}").read
    return read


def recognise(source: Source) -> FormatName:
    """Return the format of a file.

    Raises:
        Unreadable: it has none of the formats, or its first bytes are broken.
    """
    head = source.head()
    if head.startswith(_UTF16):
        head = head.decode("utf-16", "replace").encode()
    head = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not head:
        raise Unreadable("is empty")
    for magic, what in _OTHERS:
        if head.startswith(magic):
            raise Unreadable(f"is {what}")
    if b"\x00" in head:
        raise Unreadable("is a binary file")
    if head.startswith(b"<"):
        return _of_markup(head)
    if head.startswith((b"{", b"[")):
        return FormatName.NINJS if _URI.search(head) and _NINJS.search(head) else FormatName.NDJSON
    suffix = PurePath(source.name.removesuffix(".gz").removesuffix(".zst")).suffix.lower()
    if re.match(rb"(?:---|\+\+\+)[ \t]*\r?\n", head) or suffix in (".md", ".markdown"):
        return FormatName.MARKDOWN
    raise Unreadable("has none of the formats that are read; --format names one where it is not recognised")


def _of_markup(head: bytes) -> FormatName:
    if re.match(rb"(?i)<!doctype\s+html", head):
        return FormatName.HTML
    parser = etree.XMLPullParser(events=("start",), **SAFE)
    problem = None
    try:
        parser.feed(head)
    except etree.XMLSyntaxError as error:
        problem = error
    root: Any = next((element for _, element in parser.read_events()), None)
    if root is None:
        if (_DECLARED_HTML if head.startswith(b"<?xml") else _HTML).search(head):
            return FormatName.HTML
        raise (
            broken(problem)
            if problem
            else Unreadable(f"is XML whose first element does not begin within {HEAD:,} bytes")
        )
    return _of_root(etree.QName(root).localname, root)


def _of_root(name: str, root: etree._Element) -> FormatName:
    if name == "rss":
        exported = any("wordpress.org/export/" in address for address in root.nsmap.values())
        return FormatName.WORDPRESS if exported else FormatName.FEED
    if name in ("feed", "RDF"):
        return FormatName.FEED
    if name == "nitf":
        return FormatName.NITF
    if name in _NEWSML:
        return FormatName.NEWSML
    if name.lower() in ("html", "head", "body", "article", "main", "div", "p"):
        return FormatName.HTML
    raise Unreadable(f"is XML whose root <{name}> belongs to none of the formats that are read", line_of(root))

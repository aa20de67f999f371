"""Detects the format of a file from its content; only Markdown without front matter is detected by its name."""

import codecs
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import PurePath
from typing import Any

from lxml import etree

from newswire_ingest.importing.decoding import byte_order_mark
from newswire_ingest.importing.format_names import FormatName
from newswire_ingest.importing.input_files import HEAD_BYTES, InputFile
from newswire_ingest.importing.models import SourceItem, UnreadableSourceError
from newswire_ingest.importing.xml.safe_parser import SAFE, broken, line_of, local_name
from newswire_ingest.importing.xml.text import xml_text

Read = Callable[[InputFile], Iterator[SourceItem]]

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
_URI = re.compile(rb'"(?:uri|guid)"\s*:')
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|article|main|title|meta|div|p)\b", re.IGNORECASE)
_XML = re.compile(rb"(?:[^<]|<(?:br|b|/b)\b[^>]*>){0,4000}+(?:<\?xml\s|<rss\b|<feed\b|<rdf:RDF\b)")
_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z]\w*)(?=[\s/>])")
_PAGE = re.compile(r"(?i)<(?:html|head|body)\b")
_BEFORE_PAGES = ("script", "style", "meta", "link", "title", "noscript", "span", "section")
_COMMENTS = re.compile(r"<!--.*?-->", re.DOTALL)
_WORDPRESS = re.compile(r"wordpress\.org/export/\d|<wp:wxr_version\b")
_JSON_FEED = re.compile(rb'"version"\s*:\s*"https?:\\?/\\?/(?:www\.)?jsonfeed\.org\\?/version')
_OTHERS = (
    (
        re.compile(rb"(?s)PK\x03\x04.{26}(?:\[Content_Types\]\.xml|_rels/\.rels|mimetypeapplication/vnd\.oasis)"),
        "is a document of Office: save it as HTML",
    ),
    (re.compile(rb"PK\x03\x04"), "is a ZIP archive: unpack it first"),
    (re.compile(rb"%PDF"), "is a PDF"),
    (re.compile(rb"BZh"), "is packed with bzip2: unpack it first"),
    (
        re.compile(rb'\{\s*"(?:db"\s*:\s*\[|meta"\s*:\s*\{\s*"exported_on")'),
        "is an export of Ghost, which is not supported: import its feed, or its posts as HTML",
    ),
)


def format_reader(name: FormatName) -> Read:
    """Return the reader of a format."""
    read: Read = import_module(f"newswire_ingest.importing.formats.{_MODULES[name]}").read
    return read


def detect_format(source: InputFile) -> FormatName:
    """Detect the format of a file.

    Raises:
        UnreadableSourceError: no format matches, or the first bytes are corrupted.
    """
    head = source.head()
    if marked := byte_order_mark(head):
        encoding, length = marked
        head = head[length:].decode(encoding, "ignore").encode()
    head = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not head:
        raise UnreadableSourceError("is empty")
    for magic, reason in _OTHERS:
        if magic.match(head):
            raise UnreadableSourceError(reason)
    suffix = PurePath(source.name.removesuffix(".gz").removesuffix(".zst")).suffix.lower()
    marked_down = re.match(rb"(?:---|\+\+\+)[ \t]*\r?\n", head) or suffix in (".md", ".markdown")
    if head.startswith(b"<") or (not marked_down and not head.startswith((b"{", b"[")) and _XML.match(head)):
        return _detect_markup(source, head)
    if b"\x00" in head:
        raise UnreadableSourceError("is a binary file")
    if head.startswith((b"{", b"[")):
        if _JSON_FEED.search(head):
            return FormatName.FEED
        return FormatName.NINJS if _URI.search(head) and _NINJS.search(head) else FormatName.NDJSON
    if marked_down:
        return FormatName.MARKDOWN
    raise UnreadableSourceError("has no supported format; --format selects one if detection fails")


def _detect_markup(source: InputFile, head: bytes) -> FormatName:
    if re.match(rb"(?i)<!doctype\s+html", head):
        return FormatName.HTML
    parts, _ = xml_text(source)
    text = next(parts)
    parser = etree.XMLPullParser(events=("start",), **SAFE)
    problem = None
    try:
        parser.feed(text)
    except etree.XMLSyntaxError as error:
        problem = error
    root: Any = next((element for _, element in parser.read_events()), None)
    if root is not None:
        name = local_name(root)
        page = name.lower() in _BEFORE_PAGES and _PAGE.search(text)
        return FormatName.HTML if page else _detect_by_root(name, line_of(root), text)
    if not _XML.match(head) and _HTML.search(head):
        return FormatName.HTML
    if found := _ROOT.search(_COMMENTS.sub("", text)):
        return _detect_by_root(found[1], None, text)
    raise (
        broken(problem)
        if problem
        else UnreadableSourceError(f"is XML whose first element does not begin within {HEAD_BYTES:,} bytes")
    )


def _detect_by_root(name: str, line: int | None, text: str) -> FormatName:
    if name.lower() == "rss":
        return FormatName.WORDPRESS if _WORDPRESS.search(text) else FormatName.FEED
    if name in ("feed", "RDF"):
        return FormatName.FEED
    if name == "nitf":
        return FormatName.NITF
    if name in _NEWSML:
        return FormatName.NEWSML
    if name.lower() in ("html", "head", "body", "article", "main", "div", "p"):
        return FormatName.HTML
    raise UnreadableSourceError(f"is XML whose root <{name}> belongs to no supported format", line)

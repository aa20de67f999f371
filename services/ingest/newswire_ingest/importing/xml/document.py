"""Parses an XML document of bounded size into a tree; a broken document is repaired if no content is lost by that."""

import re
from collections import Counter
from collections.abc import Iterator

from lxml import etree

from newswire_ingest.importing.decoding import REPAIRED_BYTE
from newswire_ingest.importing.end_tags import replaced
from newswire_ingest.importing.input_files import MAX_DOCUMENT_BYTES, InputFile
from newswire_ingest.importing.models import UnreadableSourceError
from newswire_ingest.importing.xml.repair import cleaned, with_whole_tags
from newswire_ingest.importing.xml.safe_parser import SAFE, broken, name_characters
from newswire_ingest.importing.xml.text import xml_text

_COMMENT, _COMMENT_END = re.compile("<!--"), re.compile("-->")
_TAG = re.compile(r"<[^<>]*>|&[#\w]+;")
_WORD = re.compile(r"\w+")


def parse(source: InputFile) -> tuple[etree._Element, tuple[str, ...]]:
    """Return the root of a document, and notes on repairs.

    Raises:
        UnreadableSourceError: the document is beyond repair, truncated, too large, or declares entities.
    """
    parts, notes = xml_text(source)
    text = "".join(_bounded(parts))
    root, repairs = _parsed(text)
    name_characters(root)
    return root, (*notes, *(f"repaired: {repair}" for repair in repairs))


def _parsed(text: str) -> tuple[etree._Element, list[str]]:
    first: etree.XMLSyntaxError | None = None
    if REPAIRED_BYTE not in text:
        try:
            return _strictly(text), []
        except etree.XMLSyntaxError as error:
            first = error
    clean, notes = cleaned(text)
    for repaired, repairs in ((clean, notes), (with_whole_tags(clean), [*notes, "attributes"])):
        try:
            return _strictly(repaired), repairs
        except etree.XMLSyntaxError as error:
            first = first or error
    too_deep = first is not None and "depth" in str(first).lower()
    if not too_deep and (root := _recovered(clean)) is not None:
        return root, [*notes, "markup"]
    raise broken(first) if first else UnreadableSourceError("broken XML")


def _recovered(text: str) -> etree._Element | None:
    """Return the root as a lenient parser reads it, if no word of the text is lost; else None."""
    try:
        root = etree.fromstring(text.encode(), etree.XMLParser(**{**SAFE, "recover": True}))
    except etree.XMLSyntaxError:
        return None
    if root is None:
        return None
    without_comments = replaced(text, _COMMENT, _COMMENT_END, lambda *_: " ")
    written = Counter(_WORD.findall(_TAG.sub(" ", without_comments)))
    return root if not written - Counter(_WORD.findall(" ".join(map(str, root.itertext())))) else None


def _strictly(text: str) -> etree._Element:
    return etree.fromstring(text.encode(), etree.XMLParser(**SAFE))


def _bounded(parts: Iterator[str]) -> Iterator[str]:
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_DOCUMENT_BYTES:
            raise UnreadableSourceError(
                f"is larger than {MAX_DOCUMENT_BYTES // 1_000_000} MB, the maximum for one document"
            )
        yield part

"""Converts plain text to HTML, and HTML to plain text."""

import html
import re
from copy import deepcopy

from lxml import etree
from lxml import html as lxml_html

_TAGS = (
    "a abbr article b blockquote br code dd div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img li ol p pre q section"
    " small span strong sub sup table tbody td th thead tr u ul"
).replace(" ", "|")
_MARKUP = re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_BLANK_LINE = re.compile(r"\n[ \t\r\f\v]*\n\s*")
_TAG_LIKE = re.compile(r"<[A-Za-z/!]|&[#A-Za-z]")
_BY = re.compile(r"(?i)^\s*(?:posted\s+|written\s+)?by\b[:\s]*")
_AND = re.compile(r"\s+(?:and|&)\s+|\s*;\s*")


def is_markup(text: str) -> bool:
    """Return whether a text is HTML: it contains a tag that HTML knows. ``<ABC>`` in a stock report is not a tag."""
    return bool(_MARKUP.search(text))


def paragraphs(text: str) -> str:
    """Convert plain text whose paragraphs are separated by blank lines to HTML."""
    found = (part.strip() for part in _BLANK_LINE.split(text.replace("\r\n", "\n")))
    return "".join(f"<p>{html.escape(part, quote=False)}</p>" for part in found if part)


def text_as_html(text: str) -> str:
    """Convert text without tags, but possibly with character references, to HTML."""
    return paragraphs(html.unescape(text) if _TAG_LIKE.search(text) else text)


def plain(markup: str) -> str:
    """Return the text of an HTML fragment on one line."""
    if not _TAG_LIKE.search(markup):
        return " ".join(markup.split())
    if not is_markup(markup):
        return " ".join(html.unescape(markup).split())
    spaced = re.sub(r"(?i)<(?:br|/p|/div|/li|/h\d)\b", r" \g<0>", markup)
    parsed = lxml_html.fragment_fromstring(spaced, create_parent="div")
    etree.strip_elements(parsed, "script", "style", etree.Comment, with_tail=False)
    return " ".join(str(parsed.text_content()).split())


def inner(element: etree._Element) -> str:
    """Return the HTML inside an element, without XML namespaces."""
    element = deepcopy(element)
    for each in element.iter():
        if isinstance(each.tag, str) and "}" in each.tag:
            each.tag = each.tag.rpartition("}")[2]
    etree.cleanup_namespaces(element)
    children = (etree.tostring(child, encoding="unicode", method="html") for child in element)
    return (html.escape(element.text or "", quote=False) + "".join(children)).strip()


def authors_of(byline: str) -> list[str]:
    """Return the names in a byline such as "By Ida Roth and Tom Berg"; commas separate names only if an "and" follows."""
    names = _AND.split(_BY.sub("", " ".join(byline.split())))
    if len(names) > 1:
        names = [name for part in names for name in part.split(",")]
    return [name for part in names if (name := part.strip(" ,."))]

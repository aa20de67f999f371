"""Sanitises article HTML with an allow-list, and converts it to plain text.

Allowed are paragraphs and divisions (``p div br hr``), headings (``h2 h3 h4``; others become the nearest of these), lists
(``ul ol li dl dt dd``), ``blockquote``, links (``a href`` to http, https or mailto; ``rel`` is added), emphasis and code
(``em strong b i code pre sup sub``), pictures (``figure figcaption``, ``img src alt width height`` from http or https) and tables
(``table caption thead tbody tfoot tr th td`` with ``colspan rowspan scope``). Anything else is unwrapped: its text stays.
Elements that are never text (scripts, styles, frames, form controls) are removed with their content. Relative URLs are resolved
if the URL of the article is known.
"""

import html
import re
from typing import Any, Final

import nh3

_HEADINGS: Final = {"h1": "h2", "h5": "h4", "h6": "h4"}
_DIVISIONS: Final = (
    "section",
    "article",
    "main",
    "header",
    "footer",
    "aside",
    "nav",
    "address",
    "center",
    "details",
    "summary",
    "fieldset",
    "legend",
    "form",
    "dialog",
    "hgroup",
    "search",
    "menu",
    "dir",
    "option",
    "optgroup",
)
"""Blocks: without a separator in their place, the last word of one and the first of the next would become one word."""
_ALLOWED: Final = frozenset(
    "p div br hr h2 h3 h4 ul ol li dl dt dd blockquote a em strong b i code pre sup sub figure figcaption img"
    " table caption thead tbody tfoot tr th td".split()
)
_WITHOUT_CONTENT: Final = frozenset(
    "script style iframe object embed noscript template textarea select button svg math title head".split()
)
_ATTRIBUTES: Final = {
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_RENAMED: Final = {**_HEADINGS, **dict.fromkeys(_DIVISIONS, "div")}
_BLOCKS: Final = frozenset("p div hr h2 h3 h4 ul ol dl blockquote pre figure figcaption table caption".split())
_LINES: Final = frozenset("br li dt dd tr".split())
_ABSOLUTE: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:")
_MAYBE_RELATIVE: Final = re.compile(r"""(?i)(href|src)\s*=\s*["']?(?!https?:|mailto:)""")
_LINKS: Final = {"href": re.compile(r"(?i)(https?://|mailto:)"), "src": re.compile(r"(?i)https?://")}
_RENAME: Final = re.compile(f"<(/?)({'|'.join(_RENAMED)})>")
_TAG: Final = re.compile(r'<(/?[a-z0-9]++)(?:[^>"]++|"[^"]*+")*+>')
_SEPARATORS: Final = {
    **dict.fromkeys((mark + name for name in _BLOCKS for mark in ("", "/")), "\n\n"),
    **dict.fromkeys((*_LINES, "/br"), "\n"),
    **dict.fromkeys(("/td", "/th"), " "),
}
"""The plain text in place of a tag."""
_PARAGRAPH_TAGS: Final = frozenset(tag for tag, separator in _SEPARATORS.items() if separator == "\n\n")
_BLANK_LINES: Final = re.compile(r"\n\n\n+")
_ASCII_SPACES: Final = "\t\v\f\r\x1c\x1d\x1e\x1f"
_SPACES: Final = (
    _ASCII_SPACES + "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""All at which `str.split` splits, except the space and the line break."""


def _attribute(_element: str, name: str, value: str) -> str | None:
    allowed = _LINKS.get(name)
    return None if allowed and not allowed.match(value) else value


def _attribute_or_relative(element: str, name: str, value: str) -> str | None:
    return _attribute(element, name, value) if _ABSOLUTE.match(value) else value


_OPTIONS: Final[dict[str, Any]] = {
    "tags": set(_ALLOWED | _RENAMED.keys()),
    "clean_content_tags": set(_WITHOUT_CONTENT),
    "attributes": _ATTRIBUTES,
    "url_schemes": {"http", "https", "mailto"},
    "link_rel": "noopener noreferrer",
    "strip_comments": True,
}
_cleaner = nh3.Cleaner(**_OPTIONS, attribute_filter=_attribute)


def sanitise(sent: str, address: str | None = None) -> str:
    """Return HTML that contains only allowed markup.

    Relative links and pictures are resolved against the URL of the article (RFC 3986, section 5), and removed if there is none.
    """
    if "<" not in sent and "&" not in sent:
        return html.escape(sent, quote=False)
    cleaner = _resolving(address) if address and _MAYBE_RELATIVE.search(sent) else _cleaner
    clean = cleaner.clean(sent)
    if "<pre>\n" in clean:  # a parser ignores the first line break of a pre, and the serializer does not write it again
        clean = clean.replace("<pre>\n", "<pre>\n\n")
    return _RENAME.sub(lambda tag: f"<{tag[1]}{_RENAMED[tag[2]]}>", clean)


def _resolving(address: str) -> nh3.Cleaner:
    try:
        return nh3.Cleaner(
            **_OPTIONS, attribute_filter=_attribute_or_relative, url_relative=("rewrite_with_base", address)
        )
    except ValueError:  # not a base that the sanitiser accepts
        return _cleaner


def plain_text(clean: str) -> str:
    """Return the text of sanitised HTML: blocks are separated by a blank line, list items and rows by a line break."""
    if "<" not in clean:
        return _tidy(_unescaped(clean))
    parts = _TAG.split(clean)  # text, tag, text, tag … text
    return joined_text(parts[::2], parts[1::2])


def joined_text(texts: list[str], tags: list[str]) -> str:
    """Return the text of sanitised HTML that was split into texts and the tags between them, as ``p`` and ``/p``."""
    if _PARAGRAPH_TAGS.issuperset(tags) and _is_tidy("".join(texts)):
        return "\n\n".join([line for text in texts if (line := text.strip(" "))])
    parts = [""] * (2 * len(texts) - 1)
    parts[::2] = _unwrapped(texts, tags) if any("\n" in text for text in texts) else texts
    parts[1::2] = [_SEPARATORS.get(tag, "") for tag in tags]
    return _tidy(_unescaped("".join(parts)))


def word_count(text: str) -> int:
    """Count the words in the result of `plain_text`: they are separated by one space, one line break or one blank line."""
    lines = text.split("\n")
    return text.count(" ") + len(lines) - lines.count("")


def _unwrapped(texts: list[str], tags: list[str]) -> list[str]:
    """Return texts without line breaks that are only white space, which are those outside ``pre``."""
    preformatted = 0
    for at, tag in enumerate([*tags, ""]):
        if not preformatted or not tag:
            texts[at] = texts[at].replace("\n", " ")
        preformatted += (tag == "pre") - (tag == "/pre")
    return texts


def _unescaped(text: str) -> str:
    """Return text without references. The sanitiser writes only four of them; searching for all takes a hundred times as long."""
    if "&" not in text:
        return text
    short = text.replace("&nbsp;", "\xa0").replace("&lt;", "<").replace("&gt;", ">")
    return short.replace("&amp;", "&") if short.count("&") == short.count("&amp;") else html.unescape(text)


def _is_tidy(text: str) -> bool:
    """Return whether a text is one line with single spaces and without references: nothing in it has to be replaced."""
    return not ("\n" in text or "&" in text or _has_other_spaces(text))


def _has_other_spaces(text: str) -> bool:
    """Return whether a text has white space other than line breaks and single spaces."""
    return "  " in text or any(map(text.__contains__, _ASCII_SPACES if text.isascii() else _SPACES))


def _tidy(text: str) -> str:
    """Return text with one space between words and at most one blank line between lines.

    Most texts have single spaces only: finding that out takes half the time of splitting them into words.
    """
    parts = text.split("\n")
    lines = (
        [" ".join(line.split()) for line in parts] if _has_other_spaces(text) else [line.strip(" ") for line in parts]
    )
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")

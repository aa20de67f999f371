"""Limits on the structure of article HTML, checked before it is parsed.

A standard-conforming HTML parser takes time that grows with the square of the nesting, of the attributes of one tag, and
of the formatting elements left open (WHATWG HTML, sections 13.2.4.3 and 13.2.6.4.7: they are opened again in each block, so even
its output grows so). One pass over the tags computes how deep the parser would get and how many elements it would
create. It follows the parser closely enough for realistic markup; whatever it misjudges is stopped by the CPU limit of
`newswire_ingest.content.body_sanitiser`.
"""

import html
import re
from functools import lru_cache
from typing import Final

from newswire_ingest.content.open_elements import MAX_DEPTH, MAX_ELEMENTS, MAX_MISPLACED, MarkupLimitError, OpenElements
from newswire_ingest.content.text_runs import TextRuns

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "MAX_LINKS",
    "MAX_MISPLACED",
    "MAX_PAGE_TAGS",
    "MAX_REFERENCES",
    "MAX_TAGS",
    "MAX_UNDIVIDED",
    "MarkupLimitError",
    "check",
]

MAX_TAGS = 60_000
"""Start tags, end tags and comments: every ``<``."""
MAX_ATTRIBUTES = 100
"""Of one tag."""
MAX_LINKS = 10_000
"""Links and images: the URL of each is parsed and resolved."""
MAX_PAGE_TAGS = 10
"""``html`` and ``body`` tags: the attributes of all of them end on one element."""
MAX_REFERENCES = 10_000
"""Ampersands, but for character references beyond ASCII: those are decoded beforehand."""
MAX_UNDIVIDED = 1_000
"""No-break spaces and ampersands in the attributes of one tag, and no-break spaces in an element of text only, such as ``xmp``."""

_SPACE: Final = r"[\t\n\f\r ]"
_ATTRIBUTE: Final = (
    rf"(?:[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"
    rf"(?:{_SPACE}*+={_SPACE}*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >\"'][^\t\n\f\r >]*+)?+)?+)"
)
# Each alternative runs to its end or to the end of the text, and never back: no text is read twice.
_MARKUP: Final = re.compile(
    rf"<(?:(?P<end>/?)(?P<name>[A-Za-z][^\t\n\f\r />]*+)(?P<attributes>{_ATTRIBUTE}*+)[\t\n\f\r ]*+(?P<closed>/?)[\t\n\f\r /]*+"
    r"(?:>|\Z)|!--(?:-?>|.*?(?:--!?>|\Z))|[!?/][^>]*+(?:>|\Z))",
    re.DOTALL,
)
_ONE_ATTRIBUTE: Final = re.compile(_ATTRIBUTE)
_PAGE: Final = frozenset(("html", "body"))
_LINKS: Final = frozenset(("a", "img"))
_BETWEEN_ATTRIBUTES: Final = " \t\n\f\r/\"'"
_REFERENCE: Final = re.compile(r"&(?:#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6})|[A-Za-z][A-Za-z0-9]{1,31});")

_TEXT_ONLY: Final[dict[str, re.Pattern[str] | None]] = {
    "plaintext": None,
    **{
        name: re.compile(f"</{name}(?=[\\t\\n\\f\\r />])", re.IGNORECASE)
        for name in "script style textarea title xmp iframe noembed noframes noscript".split()
    },
}
"""Elements whose content is text up to their end tag, and where that is; ``plaintext`` has none."""
_KEPT_TEXT_ONLY: Final = frozenset("plaintext xmp noembed noframes".split())
"""Those whose text stays."""


def check(body: str) -> str:
    """Check the structure of HTML in one pass, and return it fit for the parser: the same article, cheaper to parse.

    There are fewer character references in it, and long runs of text are divided by comments, which are not kept.

    Raises:
        MarkupLimitError: it is over a limit.
    """
    if body.count("<") > MAX_TAGS:
        raise MarkupLimitError(f"holds more than {MAX_TAGS:,} tags", "split the article, or send less markup")
    if body.count("&") > MAX_REFERENCES:
        body = _REFERENCE.sub(lambda found: _decoded(found[0]), body)
        if body.count("&") > MAX_REFERENCES:
            raise MarkupLimitError(
                f"holds more than {MAX_REFERENCES:,} ampersands and character references",
                "write characters as they are in UTF-8, and split a longer listing",
            )
    open_elements = OpenElements()
    runs = TextRuns(body)
    at, page_tags, links = 0, 0, 0
    while tag := _MARKUP.search(body, at):
        begins = tag.start()
        text = begins > at
        if text:
            open_elements.text(body, at, begins)
            runs.add(at, begins)
        at = tag.end()
        end, name, attributes, closed = tag.groups()
        if name is None:
            continue
        name = name.lower()
        if end:
            open_elements.end(name, text)
            continue
        if len(attributes) > 2 * MAX_ATTRIBUTES:
            _check_attributes(attributes)
        if name in _LINKS:
            links += 1
            _check_links(links)
        elif name in _PAGE:
            page_tags += 1
            _check_page_tags(page_tags)
        elif name in _TEXT_ONLY:
            open_elements.count(1)
            at = _end_of_text_only(body, at, name)
            continue
        open_elements.start(name, attributes, bool(closed), text)
    runs.add(at, len(body))
    return runs.divided()


def _end_of_text_only(body: str, at: int, name: str) -> int:
    end = _TEXT_ONLY[name]
    found = end.search(body, at) if end else None
    ends = found.start() if found else len(body)
    if name in _KEPT_TEXT_ONLY:
        _check_spaces(body, at, ends)
    return ends


def _check_attributes(attributes: str) -> None:
    if sum(map(attributes.count, _BETWEEN_ATTRIBUTES)) > MAX_ATTRIBUTES and (
        len(_ONE_ATTRIBUTE.findall(attributes)) > MAX_ATTRIBUTES
    ):
        raise MarkupLimitError(
            f"holds a tag with more than {MAX_ATTRIBUTES} attributes",
            "leave out attributes that are not href, src, alt, width, height, colspan, rowspan or scope",
        )
    _check_spaces(attributes, 0, len(attributes), "&")


def _check_spaces(text: str, begins: int, ends: int, *others: str) -> None:
    """Refuse what cannot be divided and that the parser reads, and writes, from each of these to the end."""
    if sum(text.count(sign, begins, ends) for sign in ("\xa0", *others)) > MAX_UNDIVIDED:
        raise MarkupLimitError(
            f"holds a tag or an element of text only with more than {MAX_UNDIVIDED:,} no-break spaces or ampersands",
            "write ordinary spaces there",
        )


def _check_links(count: int) -> None:
    if count > MAX_LINKS:
        raise MarkupLimitError(f"holds more than {MAX_LINKS:,} links and images", "split the article")


def _check_page_tags(count: int) -> None:
    if count > MAX_PAGE_TAGS:
        raise MarkupLimitError(
            f"holds more than {MAX_PAGE_TAGS} html and body tags",
            "send the article's content without the pages around it",
        )


@lru_cache(maxsize=4096)
def _decoded(reference: str) -> str:
    """Return the character of a reference, if it is the same in every context."""
    character = html.unescape(reference)
    return character if len(character) == 1 and character > "\x9f" else reference

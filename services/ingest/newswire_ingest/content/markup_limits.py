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
"""Start tags, end tags and comments: the number of ``<``."""
MAX_ATTRIBUTES = 100
"""For one tag."""
MAX_LINKS = 10_000
"""Links and images: the URL of each is parsed and resolved."""
MAX_PAGE_TAGS = 10
"""``html`` and ``body`` tags: the attributes of all of them end on one element."""
MAX_REFERENCES = 10_000
"""Ampersands, except those of character references beyond ASCII, which are decoded first."""
MAX_UNDIVIDED = 1_000
"""No-break spaces and ampersands in the attributes of one tag, and no-break spaces in a text-only element, such as ``xmp``."""

_SPACE: Final = r"[\t\n\f\r ]"
_ATTRIBUTE: Final = (
    rf"(?:[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"
    rf"(?:{_SPACE}*+={_SPACE}*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >\"'][^\t\n\f\r >]*+)?+)?+)"
)
# Each alternative matches up to its end or the end of the text, without backtracking: no text is read twice.
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
"""Elements whose content is text up to their end tag, and the pattern of that tag; ``plaintext`` has none."""
_KEPT_TEXT_ONLY: Final = frozenset("plaintext xmp noembed noframes".split())
"""Text-only elements whose text is kept."""


def check(body: str) -> str:
    """Check the structure of HTML in one pass, and return an equivalent that is cheaper to parse.

    It contains fewer character references, and long runs of text are divided by comments, which the sanitiser removes.

    Raises:
        MarkupLimitError: it is over a limit.
    """
    if body.count("<") > MAX_TAGS:
        raise MarkupLimitError(f"contains more than {MAX_TAGS:,} tags", "split the article, or send less markup")
    if body.count("&") > MAX_REFERENCES:
        body = _REFERENCE.sub(lambda found: _decoded(found[0]), body)
        if body.count("&") > MAX_REFERENCES:
            raise MarkupLimitError(
                f"contains more than {MAX_REFERENCES:,} ampersands and character references",
                "write characters in UTF-8 without escaping, and split a long listing",
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
            f"contains a tag with more than {MAX_ATTRIBUTES} attributes",
            "remove attributes other than href, src, alt, width, height, colspan, rowspan and scope",
        )
    _check_spaces(attributes, 0, len(attributes), "&")


def _check_spaces(text: str, begins: int, ends: int, *others: str) -> None:
    """Reject text that cannot be divided, and that the parser and the serializer scan to its end from each of these characters."""
    if sum(text.count(sign, begins, ends) for sign in ("\xa0", *others)) > MAX_UNDIVIDED:
        raise MarkupLimitError(
            f"contains a tag or a text-only element with more than {MAX_UNDIVIDED:,} no-break spaces or ampersands",
            "use ordinary spaces there",
        )


def _check_links(count: int) -> None:
    if count > MAX_LINKS:
        raise MarkupLimitError(f"contains more than {MAX_LINKS:,} links and images", "split the article")


def _check_page_tags(count: int) -> None:
    if count > MAX_PAGE_TAGS:
        raise MarkupLimitError(
            f"contains more than {MAX_PAGE_TAGS} html and body tags",
            "send the article's content without the pages around it",
        )


@lru_cache(maxsize=4096)
def _decoded(reference: str) -> str:
    """Return the character of a reference, if it is the same in every context."""
    character = html.unescape(reference)
    return character if len(character) == 1 and character > "\x9f" else reference

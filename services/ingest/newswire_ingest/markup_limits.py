"""Limits on the structure of article HTML, checked before it is parsed.

An HTML parser that keeps to the standard takes time that grows with the square of the nesting, of the attributes of one tag, and
of the formatting elements left open (WHATWG HTML, sections 13.2.4.3 and 13.2.6.4.7: they are opened again in each block, so even
its output grows so). One pass over the tags, each read once, tells how deep the parser would get and how many elements it would
make. It follows the parser closely enough for markup as people write it; what it misjudges ends at the processor time that
`newswire_ingest.body` allows.
"""

import html
import re
from functools import lru_cache
from typing import Final

MAX_TAGS = 60_000
"""Start tags, end tags and comments: every ``<``."""
MAX_ELEMENTS = 25_000
MAX_DEPTH = 256
MAX_ATTRIBUTES = 100
"""Of one tag."""
MAX_PAGE_TAGS = 10
"""``html`` and ``body`` tags: the attributes of all of them end on one element."""
MAX_LOOKS = 1_000_000
"""At open elements, for those that a tag ends: the parser looks at all of them for an end tag of none."""
MAX_REFERENCES = 10_000
"""Ampersands, but for character references beyond ASCII: those are decoded beforehand."""
MAX_IDENTICAL_FORMATTING = 3
"""How many identical formatting elements the parser keeps open (WHATWG HTML, section 13.2.4.3, the "Noah's Ark clause")."""

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
_REFERENCE: Final = re.compile(r"&(?:#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6})|[A-Za-z][A-Za-z0-9]{1,31});")

_TEXT_ONLY: Final = {
    name: re.compile(f"</{name}(?=[\\t\\n\\f\\r />])", re.IGNORECASE)
    for name in "script style textarea title xmp iframe noembed noframes noscript".split()
}
"""Elements whose content is text up to their end tag, and where that is."""
_VOID: Final = frozenset(
    "area base basefont bgsound br col embed frame hr image img input keygen link meta param source track wbr".split()
)
_FORMATTING: Final = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_FOREIGN: Final = frozenset(("svg", "math"))
_CELLS: Final = frozenset("td th caption applet marquee object template".split())
"""Formatting elements that are open when one of these ends are not opened again behind it."""
_SCOPE: Final = _CELLS | {"table", "html"}
_TABLE: Final = _SCOPE | {"tr", "tbody", "thead", "tfoot"}
"""Their end tags reach out of a table's cell."""
_ENDS_PARAGRAPH: Final = frozenset(
    "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6"
    " header hgroup hr li dd dt listing main menu nav ol p plaintext pre search section summary table ul xmp".split()
)
_SPECIAL: Final = (
    _ENDS_PARAGRAPH
    | _SCOPE
    | _VOID
    | frozenset("body button colgroup frameset head p select tbody tfoot thead tr title desc foreignobject".split())
    | frozenset("mi mo mn ms mtext annotation-xml".split())
)
"""What an end tag of no meaning of its own, or the end that a list item implies, does not reach beyond."""
_IN_ITEMS: Final = _SPECIAL - {"address", "div", "p"}
_ITEMS: Final = frozenset(("dd", "dt"))
_SECTIONS: Final = frozenset(("tbody", "thead", "tfoot"))
_IMPLIED_END: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
    "li": (frozenset(("li",)), _IN_ITEMS),
    "dd": (_ITEMS, _IN_ITEMS),
    "dt": (_ITEMS, _IN_ITEMS),
    "button": (frozenset(("button",)), _SCOPE),
    "tr": (frozenset(("tr", "caption", "colgroup")), frozenset(("table", "template"))),
    "td": (frozenset(("td", "th")), frozenset(("table", "tr", "template"))),
    "th": (frozenset(("td", "th")), frozenset(("table", "tr", "template"))),
    **dict.fromkeys(_SECTIONS, (_SECTIONS | {"caption", "colgroup"}, frozenset(("table", "template")))),
}
"""For a start tag: which open elements it ends, and beyond which it ends none."""
_ONLY_ONE: Final = frozenset(("a", "nobr"))
"""Formatting elements that end an open one of their name."""
_PARAGRAPH: Final = (frozenset(("p",)), _SCOPE | {"button"})
_BLOCKS: Final = _SPECIAL - _VOID
"""Their end tags reach as far as a scope does."""


class MarkupLimitError(ValueError):
    """The markup of a body is over a limit; ``problem`` says which, ``fix`` what to send instead."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem = problem
        self.fix = fix


def check(body: str) -> str:
    """Check the structure of HTML in one pass, and return it fit for the parser: the same, with fewer character references.

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
    open_elements = _OpenElements()
    at, page_tags = 0, 0
    while tag := _MARKUP.search(body, at):
        text, at = tag.start() > at, tag.end()
        if (name := tag["name"]) is None:
            continue
        name = name.lower()
        if tag["end"]:
            open_elements.end(name, text)
            continue
        _check_attributes(tag["attributes"])
        page_tags += name in ("html", "body")
        if page_tags > MAX_PAGE_TAGS:
            raise MarkupLimitError(
                f"holds more than {MAX_PAGE_TAGS} html and body tags",
                "send the article's content without the pages around it",
            )
        if name == "plaintext":
            break
        if text_end := _TEXT_ONLY.get(name):
            open_elements.count(1)
            if (found := text_end.search(body, at)) is None:
                break
            at = found.start()
            continue
        open_elements.start(name, tag["attributes"], bool(tag["closed"]), text)
    return body


def _check_attributes(attributes: str) -> None:
    if len(attributes) > 2 * MAX_ATTRIBUTES and len(_ONE_ATTRIBUTE.findall(attributes)) > MAX_ATTRIBUTES:
        raise MarkupLimitError(
            f"holds a tag with more than {MAX_ATTRIBUTES} attributes",
            "leave out attributes that are not href, src, alt, width, height, colspan, rowspan or scope",
        )


@lru_cache(maxsize=4096)
def _decoded(reference: str) -> str:
    """Return the character that a reference stands for, if it means the same wherever it is written as it is."""
    character = html.unescape(reference)
    return character if len(character) == 1 and character > "\x9f" else reference


class _OpenElements:
    """The parser's stack of open elements, and the formatting elements that it would open again."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, str]] = []
        self._reopened: list[tuple[str, str]] = []
        self._elements = 0
        self._looks = 0
        self._foreign = 0
        """How many of them begin SVG or MathML."""

    def count(self, elements: int) -> None:
        """Add to the elements made."""
        self._elements += elements
        if self._elements > MAX_ELEMENTS:
            raise MarkupLimitError(
                f"makes more than {MAX_ELEMENTS:,} elements (formatting that is left open counts again in each block)",
                "split the article, or close every formatting element where it ends",
            )

    def start(self, name: str, attributes: str, closed: bool, text: bool) -> None:
        """Read a start tag; ``text`` says whether any text stands before it."""
        if text:
            self._reopen()
        if not self._foreign:  # in SVG and MathML, all that is not closed is nested
            self._end_implied(name)
        self.count(1)
        if name in _VOID or (closed and self._foreign):
            return
        self._push((name, attributes if name in _FORMATTING else ""))

    def end(self, name: str, text: bool) -> None:
        """Read an end tag."""
        if text:
            self._reopen()
        if self._stack and self._stack[-1][0] == name:  # nearly always
            self._forget(len(self._stack) - 1)
            if name in _CELLS:
                self._reopened = []
        elif name in _FORMATTING:
            self._end_formatting(name)
        elif name in _TABLE:
            self._end_nearest(frozenset((name,)), frozenset())
        elif name == "li":
            self._end_nearest(frozenset((name,)), _SCOPE | {"ul", "ol"})
        else:
            self._end_nearest(frozenset((name,)), _SCOPE if name in _BLOCKS else _SPECIAL)

    def _end_implied(self, name: str) -> None:
        implied = _IMPLIED_END.get(name)
        if implied is not None:
            self._end_nearest(*implied)
        if name in _ENDS_PARAGRAPH:
            self._end_nearest(*_PARAGRAPH)
        elif implied is None:
            self._reopen()
            if name in _ONLY_ONE:
                self._end_formatting(name)
            elif name == "option" and self._stack and self._stack[-1][0] == "option":
                self._stack.pop()

    def _forget(self, at: int) -> None:
        for name, _ in self._stack[at:]:
            self._foreign -= name in _FOREIGN
        del self._stack[at:]

    def _look(self) -> None:
        self._looks += 1
        if self._looks > MAX_LOOKS:
            raise MarkupLimitError(
                f"holds tags for which open elements are looked through more than {MAX_LOOKS:,} times",
                "leave out end tags of elements that are not open, and close every element where it ends",
            )

    def _push(self, element: tuple[str, str]) -> None:
        self._stack.append(element)
        self._foreign += element[0] in _FOREIGN
        if len(self._stack) > MAX_DEPTH:
            raise MarkupLimitError(
                f"nests more than {MAX_DEPTH} elements (an element that is never closed holds all that follows)",
                f"close every element, and nest at most {MAX_DEPTH}",
            )

    def _reopen(self) -> None:
        if not self._reopened:
            return
        reopened, self._reopened = self._reopened, []
        self.count(len(reopened))
        for element in reopened:
            self._push(element)

    def _end_nearest(self, names: frozenset[str], stop: frozenset[str]) -> None:
        """End the innermost of these elements, with all within it, unless one that stops the search lies between."""
        for at in range(len(self._stack) - 1, -1, -1):
            name = self._stack[at][0]
            self._look()
            if name in names:
                ended = self._stack[at:]
                self._forget(at)
                self._reopened = [] if name in _CELLS else self._left_open(ended)
                return
            if name in stop:
                return

    def _left_open(self, ended: list[tuple[str, str]]) -> list[tuple[str, str]]:
        for element in ended:
            if element[0] in _FORMATTING and self._reopened.count(element) < MAX_IDENTICAL_FORMATTING:
                self._reopened.append(element)
        return self._reopened

    def _end_formatting(self, name: str) -> None:
        """End the innermost formatting element of a name; blocks that were opened within it stay open."""
        for kept in (self._reopened, self._stack):
            for at in range(len(kept) - 1, -1, -1):
                self._look()
                if kept[at][0] == name:
                    del kept[at]
                    return
                if kept[at][0] in _SCOPE:
                    return

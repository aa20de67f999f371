"""Tracks the open elements of an HTML parser, tag by tag, without creating them."""

from typing import Final

MAX_ELEMENTS = 22_500
MAX_DEPTH = 256
MAX_LOOKS = 1_000_000
"""Maximum of open elements examined for the ones that tags end: for an unmatched end tag the parser examines all of them."""
MAX_MISPLACED = 2_000
"""Maximum of misplaced texts and elements in tables, outside cells (WHATWG HTML, section 13.2.6.1, "foster parenting"): for each,
the parser traverses everything before the table.
"""
MAX_IDENTICAL_FORMATTING = 3
"""Maximum of identical formatting elements that the parser keeps open (WHATWG HTML, section 13.2.4.3, the "Noah's Ark clause")."""

_VOID: Final = frozenset(
    "area base basefont bgsound br col embed frame hr image img input keygen link meta param source track wbr".split()
)
_FORMATTING: Final = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_FOREIGN: Final = frozenset(("svg", "math"))
_CELLS: Final = frozenset("td th caption applet marquee object template".split())
"""Formatting elements that are open when one of these ends are not opened again after it."""
_SCOPE: Final = _CELLS | {"table", "html"}
_TABLE: Final = _SCOPE | {"tr", "tbody", "thead", "tfoot"}
"""Elements whose end tags also end a table cell."""
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
"""The search for the element that an end tag or a list item ends stops at these elements."""
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
"""For a start tag: the open elements that it ends, and those at which the search stops."""
_ONLY_ONE: Final = frozenset(("a", "nobr"))
"""Formatting elements that end an open one of the same name."""
_PARAGRAPH: Final = (frozenset(("p",)), _SCOPE | {"button"})
_LIST_ITEM: Final = frozenset(("li",))
_LIST_SCOPE: Final = _SCOPE | {"ul", "ol"}
_TABLE_PARTS: Final = _SECTIONS | {"table", "tr"}
"""Elements in which text and other elements are misplaced: the parser moves these before the table, after everything there."""
_IN_TABLES: Final = _TABLE_PARTS | frozenset("caption colgroup col td th style script template input form".split())
_BLOCKS: Final = _SPECIAL - _VOID
"""The search for the start of these blocks covers a whole scope."""


class MarkupLimitError(ValueError):
    """The markup of a body exceeds a limit; ``problem`` names it, ``fix`` says what to send instead."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem = problem
        self.fix = fix


class OpenElements:
    """The parser's stack of open elements, and the formatting elements that it would open again."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._attributes: list[str] = []
        """The attributes of formatting elements; empty for others."""
        self._reopened: list[tuple[str, str]] = []
        self._elements = 0
        self._looks = 0
        self._misplaced = 0
        self._foreign = 0
        """How many of them start SVG or MathML."""

    def count(self, elements: int) -> None:
        """Add to the number of created elements."""
        self._elements += elements
        if self._elements > MAX_ELEMENTS:
            raise MarkupLimitError(
                f"creates more than {MAX_ELEMENTS:,} elements (unclosed formatting elements count again in each block)",
                "split the article, or close every formatting element where it ends",
            )

    def text(self, body: str, begins: int, ends: int) -> None:
        """Process text, a part of the body."""
        if self._names and self._names[-1] in _TABLE_PARTS and not body[begins:ends].isspace():
            self._misplace()

    def start(self, name: str, attributes: str, closed: bool, text: bool) -> None:
        """Process a start tag; ``text`` says whether any text precedes it."""
        if text and self._reopened:
            self._reopen()
        if not self._foreign:  # in SVG and MathML, all unclosed elements are nested
            self._end_implied(name)
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            self.count(0)
        if name not in _IN_TABLES and self._names and self._names[-1] in _TABLE_PARTS:
            self._misplace()
        if name in _VOID or (closed and self._foreign):
            return
        self._push(name, attributes if name in _FORMATTING else "")

    def end(self, name: str, text: bool) -> None:
        """Process an end tag."""
        if text and self._reopened:
            self._reopen()
        if self._names and self._names[-1] == name:  # the usual case
            self._forget(len(self._names) - 1)
            if name in _CELLS:
                self._reopened = []
        elif name in _FORMATTING:
            self._end_formatting(name)
        elif name in _TABLE:
            self._end_nearest(frozenset((name,)), frozenset())
        elif name == "li":
            self._end_nearest(_LIST_ITEM, _LIST_SCOPE)
        else:
            self._end_nearest(frozenset((name,)), _SCOPE if name in _BLOCKS else _SPECIAL)

    def _end_implied(self, name: str) -> None:
        implied = _IMPLIED_END.get(name)
        if implied is not None:
            self._end_nearest(*implied)
        if name in _ENDS_PARAGRAPH:
            self._end_nearest(*_PARAGRAPH)
        elif implied is None:
            if self._reopened:
                self._reopen()
            if name in _ONLY_ONE:
                self._end_formatting(name)
            elif name == "option" and self._names and self._names[-1] == "option":
                self._forget(len(self._names) - 1)

    def _forget(self, at: int) -> None:
        if self._foreign:
            self._foreign -= sum(name in _FOREIGN for name in self._names[at:])
        del self._names[at:], self._attributes[at:]

    def _look(self, count: int) -> None:
        self._looks += count
        if self._looks > MAX_LOOKS:
            raise MarkupLimitError(
                f"contains tags for which open elements are searched more than {MAX_LOOKS:,} times",
                "remove end tags of elements that are not open, and close every element where it ends",
            )

    def _misplace(self) -> None:
        self._misplaced += 1
        if self._misplaced > MAX_MISPLACED:
            raise MarkupLimitError(
                f"contains more than {MAX_MISPLACED:,} texts and elements in tables, but outside their cells",
                "put them into <td>, <th> or <caption>",
            )

    def _push(self, name: str, attributes: str) -> None:
        self._names.append(name)
        self._attributes.append(attributes)
        self._foreign += name in _FOREIGN
        if len(self._names) > MAX_DEPTH:
            raise MarkupLimitError(
                f"nests more than {MAX_DEPTH} elements (an element that is never closed contains everything after it)",
                f"close every element, and nest at most {MAX_DEPTH}",
            )

    def _reopen(self) -> None:
        reopened, self._reopened = self._reopened, []
        self.count(len(reopened))
        for name, attributes in reopened:
            self._push(name, attributes)

    def _innermost(self, names: frozenset[str], stop: frozenset[str]) -> int | None:
        """Return the position of the innermost of these elements, unless an element at which the search stops is inside it."""
        looks = 0
        for name in reversed(self._names):
            looks += 1
            if name in names:
                self._look(looks)
                return len(self._names) - looks
            if name in stop:
                break
        self._look(looks)
        return None

    def _end_nearest(self, names: frozenset[str], stop: frozenset[str]) -> None:
        """End the innermost of these elements with everything inside it, unless an element that stops the search is inside it."""
        if not self._names:
            return
        innermost = self._names[-1]
        if innermost in stop and innermost not in names:  # these two are the usual cases
            return
        if innermost in names and innermost not in _FORMATTING:
            self._forget(len(self._names) - 1)
            if innermost in _CELLS:
                self._reopened = []
            return
        at = self._innermost(names, stop)
        if at is None:
            return
        name = self._names[at]
        ended = list(zip(self._names[at:], self._attributes[at:], strict=True))
        self._forget(at)
        self._reopened = [] if name in _CELLS else self._left_open(ended)

    def _left_open(self, ended: list[tuple[str, str]]) -> list[tuple[str, str]]:
        for element in ended:
            if element[0] in _FORMATTING and self._reopened.count(element) < MAX_IDENTICAL_FORMATTING:
                self._reopened.append(element)
        return self._reopened

    def _end_formatting(self, name: str) -> None:
        """End the innermost formatting element with a name; blocks opened inside it stay open."""
        for at in range(len(self._reopened) - 1, -1, -1):
            self._look(1)
            if self._reopened[at][0] == name:
                del self._reopened[at]
                return
        at_open = self._innermost(frozenset((name,)), _SCOPE)
        if at_open is not None:
            del self._names[at_open], self._attributes[at_open]

"""The open elements of an HTML parser, followed tag by tag without making any of them."""

from typing import Final

MAX_ELEMENTS = 22_500
MAX_DEPTH = 256
MAX_LOOKS = 1_000_000
"""At open elements, for those that a tag ends: the parser looks at all of them for an end tag of none."""
MAX_MISPLACED = 2_000
"""Texts and elements in tables, but in none of their cells (WHATWG HTML, section 13.2.6.1, "foster parenting"): for each the parser
goes through all that stands before the table."""
MAX_IDENTICAL_FORMATTING = 3
"""How many identical formatting elements the parser keeps open (WHATWG HTML, section 13.2.4.3, the "Noah's Ark clause")."""

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
_LIST_ITEM: Final = frozenset(("li",))
_LIST_SCOPE: Final = _SCOPE | {"ul", "ol"}
_TABLE_PARTS: Final = _SECTIONS | {"table", "tr"}
"""Elements in which others, and text, are misplaced: the parser moves each before the table, behind all that stands there."""
_IN_TABLES: Final = _TABLE_PARTS | frozenset("caption colgroup col td th style script template input form".split())
_BLOCKS: Final = _SPECIAL - _VOID
"""Their end tags reach as far as a scope does."""


class MarkupLimitError(ValueError):
    """The markup of a body is over a limit; ``problem`` says which, ``fix`` what to send instead."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem = problem
        self.fix = fix


class OpenElements:
    """The parser's stack of open elements, and the formatting elements that it would open again."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._attributes: list[str] = []
        """Of the formatting elements among them; else empty."""
        self._reopened: list[tuple[str, str]] = []
        self._elements = 0
        self._looks = 0
        self._misplaced = 0
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

    def text(self, body: str, begins: int, ends: int) -> None:
        """Read text, a part of the body."""
        if self._names and self._names[-1] in _TABLE_PARTS and not body[begins:ends].isspace():
            self._misplace()

    def start(self, name: str, attributes: str, closed: bool, text: bool) -> None:
        """Read a start tag; ``text`` says whether any text stands before it."""
        if text and self._reopened:
            self._reopen()
        if not self._foreign:  # in SVG and MathML, all that is not closed is nested
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
        """Read an end tag."""
        if text and self._reopened:
            self._reopen()
        if self._names and self._names[-1] == name:  # nearly always
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
                f"holds tags for which open elements are looked through more than {MAX_LOOKS:,} times",
                "leave out end tags of elements that are not open, and close every element where it ends",
            )

    def _misplace(self) -> None:
        self._misplaced += 1
        if self._misplaced > MAX_MISPLACED:
            raise MarkupLimitError(
                f"holds more than {MAX_MISPLACED:,} texts and elements in tables, but outside of their cells",
                "write them into <td>, <th> or <caption>",
            )

    def _push(self, name: str, attributes: str) -> None:
        self._names.append(name)
        self._attributes.append(attributes)
        self._foreign += name in _FOREIGN
        if len(self._names) > MAX_DEPTH:
            raise MarkupLimitError(
                f"nests more than {MAX_DEPTH} elements (an element that is never closed holds all that follows)",
                f"close every element, and nest at most {MAX_DEPTH}",
            )

    def _reopen(self) -> None:
        reopened, self._reopened = self._reopened, []
        self.count(len(reopened))
        for name, attributes in reopened:
            self._push(name, attributes)

    def _innermost(self, names: frozenset[str], stop: frozenset[str]) -> int | None:
        """Return where the innermost of these elements is, unless one that stops the search lies between."""
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
        """End the innermost of these elements, with all within it, unless one that stops the search lies between."""
        if not self._names:
            return
        innermost = self._names[-1]
        if innermost in stop and innermost not in names:  # these two are nearly all
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
        """End the innermost formatting element of a name; blocks that were opened within it stay open."""
        for at in range(len(self._reopened) - 1, -1, -1):
            self._look(1)
            if self._reopened[at][0] == name:
                del self._reopened[at]
                return
        at_open = self._innermost(frozenset((name,)), _SCOPE)
        if at_open is not None:
            del self._names[at_open], self._attributes[at_open]

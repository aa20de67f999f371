"""Parses a query from left to right into a tree, with hints on what may have been meant otherwise."""

import re

import regex

from newswire.text.compounds import PLACEHOLDER, prepared_query, units
from newswire.text.query_dates import is_span, span
from newswire.text.query_hints import (
    BAD_DATE,
    BANG,
    DANGLING,
    EMPTY_FIELD,
    IGNORED,
    LONE_MINUS,
    LOWER_CASE,
    MODIFIER,
    NOTHING_LEFT,
    OTHER_OPERATORS,
    PLUS,
    QUESTION_MARK,
    REVERSED_SPAN,
    STRAY_CLOSE,
    TOO_DEEP,
    UNCLOSED_GROUP,
    UNCLOSED_QUOTE,
    WILDCARD,
    WILDCARD_IN_FIELD,
    Hint,
    Hints,
    unknown_field,
)
from newswire.text.query_tree import (
    FIELDS,
    MAX_QUERY_CLAUSES,
    MAX_QUERY_DEPTH,
    MIN_PREFIX_CHARS,
    All,
    Any_,
    Everything,
    Field,
    Not,
    Nothing,
    Prefix,
    Query,
    QueryTooLongError,
    Words,
    in_field,
)
from newswire.text.stems import pieces
from newswire.text.tokenization import bare

_SIGNS = str.maketrans(
    dict.fromkeys("“”„‟«»＂「」『』", '"')
    | {
        "（": "(",
        "）": ")",
        "：": ":",
        "－": "-",
        "−": "-",
        "＊": "*",
        "＋": "+",
        "～": "~",
        "＾": "^",
        PLACEHOLDER: " ",
    }
)
_FIELD = rf"(?P<field>(?i:{'|'.join(FIELDS)})):"
_PIECE = regex.compile(
    rf"""
      (?P<close>\))
    | (?P<not>-?) (?:{_FIELD})? (?: (?P<open>\() | "(?P<phrase>[^"]*)(?P<shut>"|$) )
    | (?P<word>[^\s"()]+)
    """,
    regex.VERBOSE,
)
_FIELD_WORD = regex.compile(rf"{_FIELD}(?P<rest>.+)", regex.DOTALL)
_UNKNOWN_FIELD = regex.compile(r"(?P<name>\p{L}[\p{L}\p{M}_-]{1,20}):(?!//)(?P<rest>.+)", regex.DOTALL)
_NO_VALUE = re.compile(rf"(?i:{'|'.join((*FIELDS, 'published'))}):")
_MODIFIED = regex.compile(r"(?P<rest>.*?)(?P<modifier>[~^][0-9]*(?:\.[0-9]+)?)", regex.DOTALL)
_INNER_WILDCARD = regex.compile(r"^\*+[\p{L}\p{N}]|[\p{L}\p{N}]\*+[\p{L}\p{N}]")
_INNER_QUESTION_MARK = regex.compile(r"[\p{L}\p{N}]\?[\p{L}\p{N}]")


class Parser:
    """Parses one query from left to right."""

    def __init__(self, text: str) -> None:
        """Start at the beginning of the text."""
        self._text = prepared_query(text.translate(_SIGNS))
        self._pieces = _PIECE.finditer(self._text)
        self._hints = Hints()
        self._count = 0
        self._reason_to_skip = 0

    def read(self) -> tuple[Query, tuple[Hint, ...]]:
        """Return the tree of the whole query, and the hints."""
        found = self._sequence(0)
        if found is None and self._text.strip():
            self._hints.add_first("nothing_to_look_for", self._text.replace(PLACEHOLDER, " ").strip(), NOTHING_LEFT)
            return Nothing(), self._hints.found()
        return found or Everything(), self._hints.found()

    def _sequence(self, depth: int) -> Query | None:
        """Parse up to the end, or to the closing parenthesis."""
        clauses = _Clauses(self._hints)
        for piece in self._pieces:
            if piece["close"]:
                if self._reason_to_skip:
                    self._reason_to_skip -= 1
                elif depth:
                    return clauses.end()
                else:
                    self._hints.add("stray_parenthesis", ")", STRAY_CLOSE)
            elif piece["word"] in ("OR", "AND", "NOT"):
                clauses.operator(piece["word"])
            else:
                clauses.item(self._item(piece, depth), piece["word"] or "")
        if depth and not self._reason_to_skip:
            self._hints.add("unclosed_parenthesis", "(", UNCLOSED_GROUP)
        return clauses.end()

    def _item(self, piece: "regex.Match[str]", depth: int) -> Query | None:
        if piece["word"]:
            return self._word(piece["word"])
        within: Field | None = piece["field"].lower() if piece["field"] else None
        found: Query | None
        if piece["open"]:
            if depth == MAX_QUERY_DEPTH:
                self._reason_to_skip += 1
                self._hints.add("too_deep", "(", TOO_DEEP)
                return None
            found = self._sequence(depth + 1)
            found = in_field(found, within) if found and within else found
        else:
            if not piece["shut"]:
                self._hints.add("unclosed_quote", '"', UNCLOSED_QUOTE)
            found = self._words(piece["phrase"], within, quoted=True)
        return negated(found, piece["not"] == "-")

    def _word(self, typed: str) -> Query | None:
        if typed.isalnum():
            return self._words(typed, None)
        if typed in OTHER_OPERATORS:
            self._hints.add("operator", typed, OTHER_OPERATORS[typed])
            return None
        if typed == "-":
            self._hints.add("lone_minus", typed, LONE_MINUS)
            return None
        # "--" and a dash are not a minus.
        text = self._unmodified(typed.removeprefix("-"))
        if is_span(text):
            if (found := span(text)) is not None:
                self._counted()
                if found.since is not None and found.until is not None and found.since > found.until:
                    self._hints.add("reversed_span", text, REVERSED_SPAN)
                return negated(found, typed.startswith("-"))
            self._hints.add("not_a_date", text, BAD_DATE)
        elif _NO_VALUE.fullmatch(text):
            self._hints.add("empty_field", text, EMPTY_FIELD)
        parts = _FIELD_WORD.match(text)
        within: Field | None = parts["field"].lower() if parts else None
        other = _UNKNOWN_FIELD.fullmatch(text) if parts is None and not is_span(text) else None
        if other and (hint := unknown_field(other["name"])):
            self._hints.add("unknown_field", f"{other['name']}:", hint)
        return negated(self._words(parts["rest"] if parts else text, within), typed.startswith("-"))

    def _unmodified(self, typed: str) -> str:
        """Return a word without the operators of other query languages."""
        if typed.startswith("+"):
            self._hints.add("plus", typed, PLUS)
            typed = typed.lstrip("+")
        if len(typed) > 1 and typed.startswith("!"):
            self._hints.add("operator", typed, BANG)
        if found := _MODIFIED.fullmatch(typed):
            self._hints.add("modifier", found["modifier"], MODIFIER)
            typed = found["rest"]
        return typed

    def _words(self, text: str, within: Field | None, *, quoted: bool = False) -> Query | None:
        found = tuple(unit._replace(start=0, end=0) for piece in pieces(text) for unit in units(piece))
        shown = " ".join(text.replace(PLACEHOLDER, " ").split())
        if not found:
            if shown or quoted:
                self._hints.add("left_out", shown if not quoted else f'"{shown}"', IGNORED)
            return None
        self._counted()
        words = tuple(word for unit in found for word in unit.words)
        whole = Words(words, within, quoted, shown, found)
        if quoted:
            return whole
        if text.endswith("*") and not within and (prefix := _prefix(whole)):
            return prefix
        if not text.isalnum():
            self._hint_at_wildcards(shown, within)
        return whole

    def _hint_at_wildcards(self, typed: str, within: Field | None) -> None:
        if within and typed.endswith("*"):
            self._hints.add("wildcard", typed, WILDCARD_IN_FIELD)
        elif typed.endswith("*") or _INNER_WILDCARD.search(typed):
            self._hints.add("wildcard", typed, WILDCARD)
        if _INNER_QUESTION_MARK.search(typed):
            self._hints.add("wildcard", typed, QUESTION_MARK)

    def _counted(self) -> None:
        self._count += 1
        if self._count > MAX_QUERY_CLAUSES:
            raise QueryTooLongError(f"a query has at most {MAX_QUERY_CLAUSES} words and phrases")


class _Clauses:
    """The items of one group, and the operators between them."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._groups: list[list[Query]] = []
        self._operator = ""
        self._negating = False
        self._lower_case = ""

    def operator(self, operator: str) -> None:
        """Add OR, AND or NOT."""
        if operator == "NOT":
            self._negating = True
            return
        if self._operator or self._negating or not self._groups:
            self._hints.add("dangling_operator", operator, DANGLING)
        self._operator = operator if self._groups else ""
        self._negating = False

    def item(self, item: Query | None, typed: str) -> None:
        """Add an item; if it is empty, a NOT before it is dropped."""
        negating, self._negating = self._negating, False
        if item is None:
            return
        if self._lower_case:
            self._hints.add("lower_case_operator", self._lower_case, LOWER_CASE[self._lower_case])
        self._lower_case = typed if typed in LOWER_CASE and (self._groups or typed == "not") else ""
        item = negated(item, negating) or item
        if self._operator == "OR":
            self._groups[-1].append(item)
        else:
            self._groups.append([item])
        self._operator = ""

    def end(self) -> Query | None:
        """Return the query of the group; None if it is empty."""
        for operator in filter(None, (self._operator, "NOT" if self._negating else "")):
            self._hints.add("dangling_operator", operator, DANGLING)
        clauses = [any_of(group) for group in self._groups]
        return all_of(clauses) if clauses else None


def _prefix(whole: Words) -> Query | None:
    """Return the query for words whose last one is a prefix; None if that is too short."""
    last = whole.units[-1]
    joined = bare(last.joined or "")
    started = _beginning(last.words[-1]) if last.words else ""
    before = whole.words[:-1]
    found: list[Query] = []
    if started and before:
        found.append(all_of([Words(before, typed=" ".join(before)), Prefix(started)]))
    elif started:
        found.append(Prefix(started))
    if len(whole.units) == 1 and len(last.words) > 1 and joined.isalnum() and _beginning(joined):
        found.append(Prefix(joined))
    return any_of(found) if found else None


def _beginning(word: str) -> str:
    beginning = bare(word)
    return beginning if len(beginning) >= MIN_PREFIX_CHARS or not beginning.isascii() else ""


def negated(query: Query | None, excluded: bool) -> Query | None:
    """Return the negation of a query, if meant as such; a minus after NOT negates only once."""
    return Not(query) if query is not None and excluded and not isinstance(query, Not) else query


def any_of(parts: list[Query]) -> Query:
    """Return a query that matches if any part does."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Any_) else (part,))]
    return flat[0] if len(flat) == 1 else Any_(tuple(flat))


def all_of(parts: list[Query]) -> Query:
    """Return a query that matches if all parts do."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, All) else (part,))]
    return flat[0] if len(flat) == 1 else All(tuple(flat))

"""The query language of search, feeds, saved searches and subscriptions.

    query   = { clause }                       every clause must match
    clause  = choice
    choice  = item { "OR" item }               binds tighter than the space: a b OR c d = a (b OR c) d
    item    = [ "-" ] ( [ field ] atom | "published:" span )
    atom    = word | '"' words '"' | word "*" | "(" query ")"
    field   = "title:" | "author:" | "category:" | "topic:" | "publisher:" | "language:"
    span    = date | date ".." date | date ".." | ".." date        a date is 2026, 2026-03 or 2026-03-01, in UTC

Nothing that is typed is an error: what was left open closes at the end, a stray sign is ignored, a field or a date that is none
is read as words. The result is a tree of words as they were typed; `newswire.matching` gives it a meaning in a language.
"""

import dataclasses
import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, TypeAlias

import regex

from newswire.analysis import bare, words

LONGEST = 1000
MOST_CLAUSES = 64
DEEPEST = 12
"""Parentheses within parentheses beyond this are passed over."""
SHORTEST_PREFIX = 2

Field: TypeAlias = Literal["title", "author", "category", "topic", "publisher", "language"]
FIELDS: tuple[Field, ...] = ("title", "author", "category", "topic", "publisher", "language")


@dataclass(frozen=True, slots=True)
class Words:
    """Words one after the other, in lower case, in the whole text or in one field; mostly a single one."""

    words: tuple[str, ...]
    field: Field | None = None
    quoted: bool = False
    """In quotation marks: what is so common that it would be passed over is meant."""
    typed: str = dataclasses.field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Any word that begins like this, without accents."""

    beginning: str


@dataclass(frozen=True, slots=True)
class Published:
    """Published in a span of time: ms since 1970, both ends inclusive, either of them open."""

    since: int | None
    until: int | None


@dataclass(frozen=True, slots=True)
class All:
    """Every part matches."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Any_:
    """At least one part matches."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match."""

    part: "Query"


@dataclass(frozen=True, slots=True)
class Everything:
    """Matches every article."""


Query: TypeAlias = Words | Prefix | Published | All | Any_ | Not | Everything


class QueryTooLong(ValueError):
    """A query of more characters or clauses than are taken; the message says how many are."""


_TYPOGRAPHIC_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»＂", '"'))
_FIELD = rf"(?P<field>(?i:{'|'.join(FIELDS)})):"
_PIECE = regex.compile(
    rf"""
      (?P<close>\))
    | (?P<not>-?) (?:{_FIELD})? (?: (?P<open>\() | "(?P<phrase>[^"]*)(?:"|$) )
    | (?P<word>[^\s"()]+)
    """,
    regex.VERBOSE,
)
_FIELD_WORD = regex.compile(rf"{_FIELD}(?P<rest>.+)", regex.DOTALL)
_SPAN = re.compile(r"(?i:published):(?P<since>[\d-]*)(?P<dots>\.\.)?(?P<until>[\d-]*)")
_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?")


@lru_cache(maxsize=1024)
def parse(text: str) -> Query:
    """Read a query.

    Raises:
        QueryTooLong: more than 1,000 characters or 64 words and phrases.
    """
    if len(text) > LONGEST:
        raise QueryTooLong(f"a query has at most {LONGEST} characters")
    return _Parser(text).query()


def fitting(text: str) -> str:
    """Return as much of the beginning of a query as can be read."""
    text = text[:LONGEST]
    while True:
        try:
            parse(text)
        except QueryTooLong:
            text = text[: len(text) * 3 // 4]
        else:
            return text


class _Parser:
    """Reads one query from left to right."""

    def __init__(self, text: str) -> None:
        self._pieces = _PIECE.finditer(text.translate(_TYPOGRAPHIC_QUOTES))
        self._count = 0
        self._passed_over = 0

    def query(self) -> Query:
        return self._sequence(0) or Everything()

    def _sequence(self, depth: int) -> Query | None:
        """Read up to the end, or to the parenthesis that closes."""
        groups: list[list[Query]] = []
        joining = False
        for piece in self._pieces:
            if piece["close"]:
                if self._passed_over:
                    self._passed_over -= 1
                elif depth:
                    break
                continue
            if piece["word"] in ("OR", "AND"):
                joining = piece["word"] == "OR" and bool(groups)
                continue
            item = self._item(piece, depth)
            if item is None:
                continue
            if joining:
                groups[-1].append(item)
            else:
                groups.append([item])
            joining = False
        clauses = [_any(group) for group in groups]
        return _all(clauses) if clauses else None

    def _item(self, piece: "regex.Match[str]", depth: int) -> Query | None:
        if piece["word"]:
            return self._word(piece["word"])
        within: Field | None = piece["field"].lower() if piece["field"] else None
        found: Query | None
        if piece["open"]:
            if depth == DEEPEST:
                self._passed_over += 1
                return None
            found = self._sequence(depth + 1)
            found = _in_field(found, within) if found and within else found
        else:
            found = self._words(piece["phrase"], within, quoted=True)
        return _negated(found, piece["not"] == "-")

    def _word(self, typed: str) -> Query | None:
        # "--" and a dash are no minus of their own.
        text = typed.removeprefix("-")
        if (span := _span(text)) is not None:
            self._counted()
            return _negated(span, typed != text)
        parts = _FIELD_WORD.match(text)
        within: Field | None = parts["field"].lower() if parts else None
        return _negated(self._words(parts["rest"] if parts else text, within), typed != text)

    def _words(self, text: str, within: Field | None, *, quoted: bool = False) -> Query | None:
        found = tuple(words(text))
        if not found:
            return None
        self._counted()
        shown = " ".join(text.split())
        if not quoted and not within and text.endswith("*") and (beginning := _beginning(found[-1])):
            prefix = Prefix(beginning)
            return _all([Words(found[:-1], typed=shown[:-1]), prefix]) if len(found) > 1 else prefix
        return Words(found, within, quoted, shown)

    def _counted(self) -> None:
        self._count += 1
        if self._count > MOST_CLAUSES:
            raise QueryTooLong(f"a query has at most {MOST_CLAUSES} words and phrases")


def _beginning(word: str) -> str:
    beginning = bare(word)
    return beginning if len(beginning) >= SHORTEST_PREFIX or not beginning.isascii() else ""


def _negated(query: Query | None, negated: bool) -> Query | None:
    return Not(query) if query is not None and negated else query


def _any(parts: list[Query]) -> Query:
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Any_) else (part,))]
    return flat[0] if len(flat) == 1 else Any_(tuple(flat))


def _all(parts: list[Query]) -> Query:
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, All) else (part,))]
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def _in_field(query: Query, within: Field) -> Query:
    """Have every word of a group looked for in one field; those that name a field of their own keep it."""
    match query:
        case Words(field=None):
            return replace(query, field=within)
        case Prefix(beginning):
            return Words((beginning,), within, typed=beginning)
        case All(parts):
            return All(tuple(_in_field(part, within) for part in parts))
        case Any_(parts):
            return Any_(tuple(_in_field(part, within) for part in parts))
        case Not(part):
            return Not(_in_field(part, within))
        case _:
            return query


def _span(text: str) -> Published | None:
    found = _SPAN.fullmatch(text)
    if found is None or not (found["since"] or found["until"]) or (found["until"] and not found["dots"]):
        return None
    try:
        since = _moment(found["since"], end=False) if found["since"] else None
        last = found["until"] if found["dots"] else found["since"]
        return Published(since, _moment(last, end=True) if last else None)
    except ValueError:
        return None


def _moment(date: str, *, end: bool) -> int:
    """Return the first or the last ms of a year, month or day.

    Raises:
        ValueError: there is no such date.
    """
    parts = _DATE.fullmatch(date)
    if parts is None:
        raise ValueError(date)
    year, month, day = (int(part) if part else None for part in parts.groups())
    first = datetime(year or 0, month or (12 if end else 1), day or 1, tzinfo=UTC)
    if not end:
        return _milliseconds(first)
    last = first if day else first.replace(day=monthrange(first.year, first.month)[1])
    return _milliseconds(last) + 86_400_000 - 1


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def leaves(query: Query, *, forbidden: bool = True) -> Iterator[Words | Prefix | Published]:
    """Go through all that a query asks for and, unless told otherwise, forbids."""
    match query:
        case All(parts) | Any_(parts):
            for part in parts:
                yield from leaves(part, forbidden=forbidden)
        case Not(part):
            if forbidden:
                yield from leaves(part)
        case Everything():
            return
        case _:
            yield query


def interpreted(query: Query) -> str:
    """Tell how a query was understood, as a query that is understood the same."""
    match query:
        case All(parts):
            return " ".join(interpreted(part) for part in parts)
        case Any_(parts):
            return "(" + " OR ".join(_grouped(part) for part in parts) + ")"
        case Not(part):
            return "-" + _grouped(part)
        case Everything():
            return ""
        case Prefix(beginning):
            return f"{beginning}*"
        case Published(since, until):
            return f"published:{_day(since)}..{_day(until)}"
        case Words():
            text = query.typed or " ".join(query.words)
            bare_word = len(query.words) == 1 and not query.quoted
            shown = query.words[0] if bare_word else f'"{text.lower()}"'
            return f"{query.field}:{shown}" if query.field else shown


def _grouped(query: Query) -> str:
    return f"({interpreted(query)})" if isinstance(query, All) else interpreted(query)


def _day(moment: int | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment / 1000, UTC).date().isoformat()


def normal(query: Query) -> str:
    """Return the same text for queries that differ only in the order of their parts, or in repeating one."""
    match query:
        case All(parts):
            return " ".join(sorted({f"({normal(part)})" if isinstance(part, All) else normal(part) for part in parts}))
        case Any_(parts):
            choices = sorted({f"({normal(part)})" if isinstance(part, All) else normal(part) for part in parts})
            return choices[0] if len(choices) == 1 else "(" + " OR ".join(choices) + ")"
        case Not(part):
            return f"-({normal(part)})" if isinstance(part, All) else f"-{normal(part)}"
        case Words(found, field_, quoted):
            text = " ".join(found)
            shown = f'"{text}"' if quoted or len(found) > 1 else text
            return f"{field_}:{shown}" if field_ else shown
        case _:
            return interpreted(query)

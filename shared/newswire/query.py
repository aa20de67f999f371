"""The query language of search, saved searches and subscriptions.

    query   = clause { clause }            every clause must match
    clause  = [ "-" ] choice
    choice  = item { "OR" item }           binds tighter than the space: a b OR c d = a (b OR c) d
    item    = word | '"' words '"'

Nothing that is typed is an error: an open quote closes at the end, a stray sign is ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import regex

from newswire.analysis import STOP_WORDS, terms

LONGEST = 1000
MOST_CLAUSES = 64


@dataclass(frozen=True, slots=True)
class Phrase:
    """Terms one after the other; a single word is a phrase of one."""

    terms: tuple[str, ...]


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


Query: TypeAlias = Phrase | All | Any_ | Not | Everything


class QueryTooLong(ValueError):
    """A query of more characters or clauses than are taken; the message says how many are."""


_PIECE = regex.compile(r'(?P<not>-?)"(?P<phrase>[^"]*)(?:"|$)|(?P<word>[^\s"]+)')


@dataclass(frozen=True, slots=True)
class _Item:
    phrase: Phrase
    negated: bool
    loose_stop_word: bool


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        QueryTooLong: more than 1,000 characters or 64 clauses.
    """
    if len(text) > LONGEST:
        raise QueryTooLong(f"a query has at most {LONGEST} characters")
    groups: list[list[_Item]] = []
    joining = False
    count = 0
    for match in _PIECE.finditer(text):
        if match["word"] == "OR":
            joining = bool(groups)
            continue
        item = _item(match)
        if item is None:
            continue
        count += 1
        if count > MOST_CLAUSES:
            raise QueryTooLong(f"a query has at most {MOST_CLAUSES} words and phrases")
        if joining:
            groups[-1].append(item)
        else:
            groups.append([item])
        joining = False
    telling = [group for group in groups if not (len(group) == 1 and group[0].loose_stop_word and not group[0].negated)]
    clauses = [_choice(group) for group in (telling if any(not g[0].negated for g in telling) else groups)]
    if not clauses:
        return Everything()
    return clauses[0] if len(clauses) == 1 else All(tuple(clauses))


def _item(match: "regex.Match[str]") -> _Item | None:
    quoted = match["phrase"] is not None
    source = match["phrase"] if quoted else match["word"]
    negated = match["not"] == "-" if quoted else source.startswith("-")
    found = tuple(terms(source))
    if not found:
        return None
    return _Item(Phrase(found), negated, not quoted and len(found) == 1 and found[0] in STOP_WORDS)


def _choice(items: Sequence[_Item]) -> Query:
    parts: list[Query] = [Not(item.phrase) if item.negated else item.phrase for item in items]
    return parts[0] if len(parts) == 1 else Any_(tuple(parts))


def interpreted(query: Query) -> str:
    """Tell how a query was understood, in terms."""
    match query:
        case Phrase(terms=(only,)):
            return only
        case Phrase(terms=several):
            return f'"{" ".join(several)}"'
        case All(parts):
            return " ".join(interpreted(part) for part in parts)
        case Any_(parts):
            return "(" + " OR ".join(interpreted(part) for part in parts) + ")"
        case Not(part):
            return "-" + interpreted(part)
        case Everything():
            return ""


Positions: TypeAlias = Mapping[str, Sequence[int]]


def positions(found: Sequence[str]) -> dict[str, list[int]]:
    """Return at which places of a sequence each term stands, in order."""
    places: dict[str, list[int]] = {}
    for place, term in enumerate(found):
        places.setdefault(term, []).append(place)
    return places


def matches(query: Query, places: Positions) -> bool:
    """Tell whether a text with its terms at these places matches."""
    match query:
        case Phrase(terms=(only,)):
            return only in places
        case Phrase(terms=several):
            return _stands_together(several, places)
        case All(parts):
            return all(matches(part, places) for part in parts)
        case Any_(parts):
            return any(matches(part, places) for part in parts)
        case Not(part):
            return not matches(part, places)
        case Everything():
            return True


def _stands_together(phrase: Sequence[str], places: Positions) -> bool:
    candidates = set(places.get(phrase[0], ()))
    for offset, term in enumerate(phrase[1:], start=1):
        if not candidates:
            return False
        candidates &= {place - offset for place in places.get(term, ())}
    return bool(candidates)

"""The query language of search, saved searches and subscriptions.

    query   = clause { clause }            every clause must match
    clause  = [ "-" ] choice
    choice  = item { "OR" item }           binds tighter than the space: a b OR c d = a (b OR c) d
    item    = word | '"' words '"'

Nothing that is typed is an error: an open quote closes at the end, a stray sign is ignored. Stop words go from among loose
words, unless no other word would be left; in a phrase, beside an OR or behind a minus they are meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import regex

from newswire.analysis import is_stop_word, terms

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


_TYPOGRAPHIC_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»＂", '"'))
_PIECE = regex.compile(r'(?P<not>-?)"(?P<phrase>[^"]*)(?:"|$)|(?P<word>[^\s"]+)')


@dataclass(frozen=True, slots=True)
class _Item:
    phrase: Phrase
    negated: bool
    dispensable: bool


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
    for match in _pieces(text):
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
    telling = [group for group in groups if len(group) > 1 or not group[0].dispensable]
    says_what_to_find = any(not item.negated for group in telling for item in group)
    clauses = [_choice(group) for group in (telling if says_what_to_find else groups)]
    if not clauses:
        return Everything()
    return clauses[0] if len(clauses) == 1 else All(tuple(clauses))


def prefixes(text: str) -> list[str]:
    """Return the words of a query that end in ``*``, which stands for nothing in this language."""
    return [word for match in _pieces(text) if (word := match["word"]) and word.endswith("*") and terms(word)]


def _pieces(text: str) -> "Iterator[regex.Match[str]]":
    return _PIECE.finditer(text.translate(_TYPOGRAPHIC_QUOTES))


def _item(match: "regex.Match[str]") -> _Item | None:
    quoted = match["phrase"] is not None
    source = match["phrase"] if quoted else match["word"]
    negated = match["not"] == "-" if quoted else source.startswith("-")
    found = tuple(terms(source))
    if not found:
        return None
    return _Item(Phrase(found), negated, not quoted and not negated and is_stop_word(source))


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


def normal(query: Query) -> str:
    """Return the same text for queries that differ only in the order of their parts, or in repeating one."""
    match query:
        case All(parts):
            return " ".join(sorted({normal(part) for part in parts}))
        case Any_(parts):
            choices = sorted({normal(part) for part in parts})
            return choices[0] if len(choices) == 1 else "(" + " OR ".join(choices) + ")"
        case Not(part):
            return "-" + normal(part)
        case _:
            return interpreted(query)


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
            return bool(occurrences(several, places))
        case All(parts):
            return all(matches(part, places) for part in parts)
        case Any_(parts):
            return any(matches(part, places) for part in parts)
        case Not(part):
            return not matches(part, places)
        case Everything():
            return True


def occurrences(phrase: Sequence[str], places: Positions) -> set[int]:
    """Return the places at which a phrase begins."""
    begins = set(places.get(phrase[0], ()))
    for offset, term in enumerate(phrase[1:], start=1):
        if not begins:
            break
        begins &= {place - offset for place in places.get(term, ())}
    return begins

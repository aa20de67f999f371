"""The query language of search, feeds, saved searches and subscriptions.

    query   = { clause }                       every clause must match
    clause  = choice
    choice  = item { "OR" item }               binds tighter than the space: a b OR c d = a (b OR c) d
    item    = [ "-" | "NOT" ] ( [ field ] atom | "published:" span )
    atom    = word | '"' words '"' | word "*" | "(" query ")"
    field   = "title:" | "author:" | "category:" | "topic:" | "publisher:" | "language:"
    span    = date | date ".." date | date ".." | ".." date        a date is 2026, 2026-03 or 2026-03-01, in UTC,
                                                                   or an RFC 3339 date-time

No input is an error: open quotes and parentheses are closed at the end, stray signs are ignored, unknown fields and invalid dates
are read as words, and a hint reports each case. A query without anything to search for finds nothing. The result is a tree of the
words as typed; `newswire.text.query_matching` interprets it in a language.
"""

from collections.abc import Iterator
from functools import lru_cache

from newswire.text.compounds import Unit
from newswire.text.query_dates import shown
from newswire.text.query_hints import Hint
from newswire.text.query_parser import Parser
from newswire.text.query_tree import (
    FIELDS,
    MAX_QUERY_CHARS,
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
    Published,
    Query,
    QueryTooLongError,
    Words,
)

__all__ = [
    "FIELDS",
    "MAX_QUERY_CHARS",
    "MAX_QUERY_CLAUSES",
    "MAX_QUERY_DEPTH",
    "MIN_PREFIX_CHARS",
    "All",
    "Any_",
    "Everything",
    "Field",
    "Hint",
    "Not",
    "Nothing",
    "Prefix",
    "Published",
    "Query",
    "QueryTooLongError",
    "Words",
    "hints",
    "interpreted",
    "leaves",
    "normal",
    "parse",
    "truncate_query",
]


def parse(text: str) -> Query:
    """Parse a query.

    Raises:
        QueryTooLongError: more than 1,000 characters or 64 words and phrases.
    """
    return _read(text)[0]


def hints(text: str) -> tuple[Hint, ...]:
    """Return hints for the reader on parts of a query that may have been misunderstood.

    Raises:
        QueryTooLongError: as in `parse`.
    """
    return _read(text)[1]


@lru_cache(maxsize=1024)
def _read(text: str) -> tuple[Query, tuple[Hint, ...]]:
    if len(text) > MAX_QUERY_CHARS:
        raise QueryTooLongError(f"a query has at most {MAX_QUERY_CHARS} characters")
    return Parser(text).read()


def truncate_query(text: str) -> str:
    """Return the beginning of a query, truncated to the maximum length."""
    text = text[:MAX_QUERY_CHARS]
    while True:
        try:
            parse(text)
        except QueryTooLongError:
            text = text[: len(text) * 3 // 4]
        else:
            return text


def leaves(query: Query, *, forbidden: bool = True) -> Iterator[Words | Prefix | Published]:
    """Yield all leaves of a query; without ``forbidden``, only those that are not excluded."""
    match query:
        case All(parts) | Any_(parts):
            for part in parts:
                yield from leaves(part, forbidden=forbidden)
        case Not(part):
            if forbidden:
                yield from leaves(part)
        case Everything() | Nothing():
            return
        case _:
            yield query


def interpreted(query: Query) -> str:
    """Return how a query was understood, as a query with the same meaning."""
    match query:
        case All(parts):
            return " ".join(interpreted(part) for part in parts)
        case Any_(parts):
            return "(" + " OR ".join(_grouped(part) for part in parts) + ")"
        case Not(part):
            return "-" + _grouped(part)
        case Everything():
            return ""
        case Nothing():
            return '""'
        case Prefix(beginning):
            return f"{beginning}*"
        case Published(since, until):
            return f"published:{shown(since, end=False)}..{shown(until, end=True)}"
        case Words():
            text = query.typed or " ".join(query.words)
            bare_word = (
                not query.quoted and len(query.words) == len(query.units) == 1 and not query.units[0].query_terms
            )
            words = query.words[0] if bare_word else f'"{text.lower()}"'
            return f"{query.field}:{words}" if query.field else words


def _grouped(query: Query) -> str:
    return f"({interpreted(query)})" if isinstance(query, All) else interpreted(query)


def normal(query: Query) -> str:
    """Return a normal form: the same text for queries that differ only in the order of their parts, or in repetitions."""
    match query:
        case All(parts):
            return " ".join(sorted({f"({normal(part)})" if isinstance(part, All) else normal(part) for part in parts}))
        case Any_(parts):
            choices = sorted({f"({normal(part)})" if isinstance(part, All) else normal(part) for part in parts})
            return choices[0] if len(choices) == 1 else "(" + " OR ".join(choices) + ")"
        case Not(part):
            return f"-({normal(part)})" if isinstance(part, All) else f"-{normal(part)}"
        case Words():
            words = " ".join(map(_normal_unit, query.units))
            text = f'"{words}"' if query.quoted or len(query.words) > 1 else words
            return f"{query.field}:{text}" if query.field else text
        case _:
            return interpreted(query)


def _normal_unit(unit: Unit) -> str:
    """Return the same text for units that are searched for in the same way."""
    words = ("'" if unit.apostrophe else " ").join(unit.words)
    return "=".join((words, *unit.query_terms, *(("!",) if unit.strict else ())))

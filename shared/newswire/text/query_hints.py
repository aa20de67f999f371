"""Hints for the reader on parts of a query that may have been misunderstood."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

from newswire.text.query_tree import FIELDS

MAX_HINTS = 10
MAX_QUOTED = 60
"""Maximum of characters of the query that a hint quotes."""

_MEANT = {
    "by": "author",
    "date": "published",
    "from": "author",
    "headline": "title",
    "lang": "language",
    "section": "category",
    "source": "publisher",
    "subject": "topic",
    "tag": "topic",
    "tags": "topic",
}
_NAMES = (*FIELDS, "published")


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint on one part of a query."""

    code: str
    message: str
    """A sentence for the reader: what was done, and what to type instead."""
    at: str
    """The part of the query, as typed."""


class Hints:
    """The hints on one query, without duplicates, in the order of the query."""

    def __init__(self) -> None:
        self._found: dict[Hint, None] = {}

    def add(self, code: str, at: str, message: str) -> None:
        """Add a hint on a part of the query; ``{at}`` in the message is replaced by the part."""
        self._found.setdefault(_hint(code, at, message))

    def add_first(self, code: str, at: str, message: str) -> None:
        """Add a hint before all others."""
        self._found = {_hint(code, at, message): None, **self._found}

    def found(self) -> tuple[Hint, ...]:
        """Return the hints."""
        return tuple(islice(self._found, MAX_HINTS))


def _hint(code: str, at: str, message: str) -> Hint:
    part = at if len(at) <= MAX_QUOTED else at[:MAX_QUOTED] + "…"
    return Hint(code, message.replace("{at}", part), part)


def unknown_field(name: str) -> str | None:
    """Return the hint on a field that does not exist; None if the word was hardly meant as a field."""
    folded = name.lower()
    close: Sequence[str] = get_close_matches(folded, _NAMES, n=1, cutoff=0.6)
    meant = _MEANT.get(folded) or (close[0] if close else None)
    if meant:
        return f"there is no field '{name}:'; did you mean '{meant}:'? It was searched for as words"
    if not folded.isalpha():
        return None
    known = ", ".join(f"{field}:" for field in _NAMES)
    return f"there is no field '{name}:', so it was searched for as words; fields are {known}"


NOTHING_LEFT = "nothing in the query can be searched for, so nothing is found; type at least one word, number or emoji"
IGNORED = "'{at}' contains no word, number or emoji, and was ignored"
UNCLOSED_QUOTE = "a quotation mark is not closed; the phrase was taken to continue to the end"
UNCLOSED_GROUP = "a parenthesis is not closed; the group was taken to continue to the end"
STRAY_CLOSE = "a closing parenthesis without an opening one was ignored"
TOO_DEEP = "parentheses nested this deeply were ignored"
DANGLING = "'{at}' has nothing to join, and was ignored"
LOWER_CASE = {
    "or": "'or' was searched for as a word; write OR in capitals to find either",
    "and": "'and' was searched for as a word; it is not needed, because all words must be found",
    "not": "'not' was searched for as a word; write NOT in capitals, or a minus, to exclude",
}
OTHER_OPERATORS = {
    "&&": "'&&' was ignored; it is not needed, because all words must be found",
    "||": "'||' was ignored; write OR to find either",
}
BANG = "'!' was ignored; write a minus before a word to exclude it"
PLUS = "'+' before a word was ignored; it is not needed, because all words must be found"
LONE_MINUS = "'-' was ignored; to exclude a word, write the minus directly before it"
MODIFIER = "'{at}' was ignored; there is no fuzzy search, proximity or boosting"
WILDCARD = "'*' works only at the end of a word after two letters or more, so '{at}' was searched for as words"
WILDCARD_IN_FIELD = "'*' works only outside fields, so '{at}' was searched for as a whole word"
QUESTION_MARK = "'?' is not a wildcard, so '{at}' was searched for as words"
BAD_DATE = (
    "'{at}' is not a date, so it was searched for as words; write published:2026, published:2026-03, published:2026-03-01, "
    "published:2026-03-01T09:00:00Z, or two of these with '..' between them"
)
REVERSED_SPAN = "'{at}' ends before it begins, so nothing is found; swap the two"
EMPTY_FIELD = "'{at}' names a field but nothing to look for in it; write it directly after the colon"

"""What a reader is told about a query that may not have been understood as it was meant."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

from newswire.text.query_tree import FIELDS

MAX_HINTS = 10
MAX_QUOTED = 60
"""Characters of the query that a hint repeats."""

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
    """A remark on one part of a query."""

    code: str
    message: str
    """A sentence for the reader: what was done, and what to type instead."""
    at: str
    """The part of the query, as typed."""


class Hints:
    """The remarks on one query, each once, in the order of the query."""

    def __init__(self) -> None:
        self._found: dict[Hint, None] = {}

    def add(self, code: str, at: str, message: str) -> None:
        """Remark on a part of the query; ``{at}`` in the message stands for it."""
        self._found.setdefault(_hint(code, at, message))

    def add_first(self, code: str, at: str, message: str) -> None:
        """Remark on a part of the query before all that was remarked on."""
        self._found = {_hint(code, at, message): None, **self._found}

    def found(self) -> tuple[Hint, ...]:
        """Return the remarks."""
        return tuple(islice(self._found, MAX_HINTS))


def _hint(code: str, at: str, message: str) -> Hint:
    part = at if len(at) <= MAX_QUOTED else at[:MAX_QUOTED] + "…"
    return Hint(code, message.replace("{at}", part), part)


def unknown_field(name: str) -> str | None:
    """Return what to say about a field that does not exist; None where the word was hardly meant for one."""
    folded = name.lower()
    close: Sequence[str] = get_close_matches(folded, _NAMES, n=1, cutoff=0.6)
    meant = _MEANT.get(folded) or (close[0] if close else None)
    if meant:
        return f"there is no field '{name}:'; did you mean '{meant}:'? It was looked for as words"
    if not folded.isalpha():
        return None
    known = ", ".join(f"{field}:" for field in _NAMES)
    return f"there is no field '{name}:', so it was looked for as words; fields are {known}"


NOTHING_LEFT = "nothing in the query can be looked for, so nothing is found; type at least one word, number or emoji"
IGNORED = "'{at}' holds no word, number or emoji, and was left out"
UNCLOSED_QUOTE = "a quotation mark is not closed; the phrase was taken to go on to the end"
UNCLOSED_GROUP = "a parenthesis is not closed; the group was taken to go on to the end"
STRAY_CLOSE = "a closing parenthesis without an opening one was left out"
TOO_DEEP = "parentheses nested this deeply were left out"
DANGLING = "'{at}' stands beside nothing that it could join, and was left out"
LOWER_CASE = {
    "or": "'or' was looked for as a word; write OR in capitals to find either",
    "and": "'and' was looked for as a word; it is not needed, for all words must be found",
    "not": "'not' was looked for as a word; write NOT in capitals, or a minus, to exclude",
}
OTHER_OPERATORS = {
    "&&": "'&&' was left out; it is not needed, for all words must be found",
    "||": "'||' was left out; write OR to find either",
}
BANG = "'!' was left out; write a minus before a word to exclude it"
PLUS = "'+' before a word was left out; it is not needed, for all words must be found"
LONE_MINUS = "'-' was left out; to exclude a word, write the minus directly before it"
MODIFIER = "'{at}' was left out; there is no fuzzy search, proximity or boosting"
WILDCARD = "'*' works only at the end of a word after two letters or more, so '{at}' was looked for as words"
WILDCARD_IN_FIELD = "'*' works only outside of fields, so '{at}' was looked for as a whole word"
QUESTION_MARK = "'?' stands for no letter, so '{at}' was looked for as words"
BAD_DATE = (
    "'{at}' is not a date, so it was looked for as words; write published:2026, published:2026-03, published:2026-03-01, "
    "published:2026-03-01T09:00:00Z, or two of these with '..' between them"
)
REVERSED_SPAN = "'{at}' ends before it begins, so nothing is found; swap the two"
EMPTY_FIELD = "'{at}' names a field but nothing to look for in it; write it directly after the colon"

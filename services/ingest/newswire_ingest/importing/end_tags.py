"""Finds the ends of comments, code blocks and elements in one pass, even if many of them are never closed.

A pattern such as ``<pre>.*?</pre>`` would search the whole rest of the text for every ``<pre>`` without an end.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache


class EndTagFinder:
    """Finds ends in one text. Positions must be queried in ascending order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._missing: set[str] = set()

    def after(self, pattern: "re.Pattern[str]", at: int) -> "re.Match[str] | None":
        """Return the next end, or None if there is no further one; the result is remembered."""
        if pattern.pattern in self._missing:
            return None
        found = pattern.search(self._text, at)
        if found is None:
            self._missing.add(pattern.pattern)
        return found


@lru_cache(maxsize=256)
def end_tag(name: str) -> "re.Pattern[str]":
    """Return the pattern of an element's end tag."""
    return re.compile(rf"</{re.escape(name)}\s*>", re.IGNORECASE)


def enclosed(
    text: str, opening: "re.Pattern[str]", ending: Callable[["re.Match[str]", EndTagFinder], "re.Match[str] | None"]
) -> Iterator[tuple["re.Match[str]", "re.Match[str]"]]:
    """Yield start and end of each pair as two matches; `ending` finds the end, which is None if the pair is never closed."""
    closings, at = EndTagFinder(text), 0
    while begin := opening.search(text, at):
        end = ending(begin, closings)
        if end is not None:
            yield begin, end
        at = (end or begin).end()


def replaced(
    text: str,
    opening: "re.Pattern[str]",
    closing: "re.Pattern[str]",
    replace: Callable[["re.Match[str]", str], str],
) -> str:
    """Replace the text between each opening and the next closing; `replace` gets the opening and the text inside."""
    parts, at = list[str](), 0
    for begin, end in enclosed(text, opening, lambda begin, closings: closings.after(closing, begin.end())):
        parts += [text[at : begin.start()], replace(begin, text[begin.end() : end.start()])]
        at = end.end()
    return "".join([*parts, text[at:]])

"""Highlights: the passages of a text that match a query, as HTML in which ``<mark>`` is the only markup."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from html import escape
from typing import NamedTuple

from newswire.text.analysis import DEFAULT, Token, bare, joined_tokens, loose_tokens, tokens
from newswire.text.query_matching import Analysed, beginnings, occurrences, positive_phrases

_ESCAPED = re.compile("[&<>\"']")
"""What `html.escape` replaces."""


def highlight(
    text: str, query: Analysed, *, fragments: int, width: int = 180, language: str = DEFAULT, title: bool = False
) -> list[str]:
    """Return up to ``fragments`` passages of about ``width`` characters, best first; 0 fragments: the whole text.

    Set ``title`` for a title, so that terms searched in titles only are marked too. The result is empty if the text contains no
    term of the query.
    """
    wanted = _wanted(query, title)
    marked = _marked_words(text, wanted, language) if wanted.are_words else _marked_phrases(text, wanted, language)
    if not marked:
        return []
    if fragments == 0:
        return [_render(text, 0, len(text), marked)]
    return [_render(text, start, end, marked) for start, end in _passages(text, marked, fragments, width)]


class _Wanted(NamedTuple):
    """What is marked for a query."""

    phrases: frozenset[tuple[str, ...]]
    terms: frozenset[str]
    prefixes: tuple[str, ...]
    are_words: bool
    """Whether each phrase is a single word, so that positions do not matter."""


@lru_cache(maxsize=256)
def _wanted(query: Analysed, title: bool) -> _Wanted:
    """Return what is marked, the same for all results."""
    phrases = frozenset(phrase.terms for phrase in positive_phrases(query) if title or phrase.field != "title")
    terms = frozenset(term for phrase in phrases for term in phrase)
    return _Wanted(phrases, terms, tuple(beginnings(query)), all(len(phrase) == 1 for phrase in phrases))


def _marked_words(text: str, wanted: _Wanted, language: str) -> list[Token]:
    """Return the tokens that are one of the words, or begin like a wanted one; in order, none inside another."""
    found = loose_tokens(text, wanted.terms, language, wanted.prefixes)
    if wanted.prefixes:
        found = [token for token in found if not wanted.terms.isdisjoint(token.terms) or _begins(text, token, wanted)]
    joined = joined_tokens(text, wanted.terms, language, phrases=False)
    return _without_nested(found + joined) if joined else found


def _marked_phrases(text: str, wanted: _Wanted, language: str) -> list[Token]:
    """Return the tokens that are part of a phrase, or begin like a wanted word; in order, none inside another."""
    found = tokens(text, wanted.terms, language, wanted.prefixes)
    marked = _in_phrases(found, wanted.phrases)
    if wanted.prefixes:
        marked += [token for token in found if _begins(text, token, wanted)]
    return _without_nested(marked + _in_phrases(joined_tokens(text, wanted.terms, language), wanted.phrases))


def _begins(text: str, token: Token, wanted: _Wanted) -> bool:
    return bare(text[token.start : token.end].lower()).startswith(wanted.prefixes)


def opening(text: str, width: int) -> str:
    """Return the beginning of a text, escaped, and cut at the end of a word near ``width`` characters."""
    text = text.strip()
    if len(text) <= width:
        return escape(text)
    _, end = _widened(text, 0, 0, width)
    return escape(text[:end].rstrip()) + " …"


def _in_phrases(found: Sequence[Token], phrases: Collection[tuple[str, ...]]) -> list[Token]:
    """Return the tokens that are part of a phrase."""
    positions: dict[str, list[int]] = {}
    owners: dict[int, int] = {}
    for index, token in enumerate(found):
        for position, term in enumerate(token.terms, token.position):
            positions.setdefault(term, []).append(position)
            owners[position] = index
    chosen = {
        owners[position]
        for phrase in phrases
        for begin in occurrences(phrase, positions)
        for position in range(begin, begin + len(phrase))
    }
    return [found[at] for at in sorted(chosen)]


def _without_nested(marked: Sequence[Token]) -> list[Token]:
    """Return tokens in order, without duplicates and without those inside another one."""
    apart: list[Token] = []
    for token in sorted(marked, key=lambda token: (token.start, -token.end)):
        if not apart or token.start >= apart[-1].end:
            apart.append(token)
    return apart


def _passages(text: str, marked: Sequence[Token], fragments: int, width: int) -> list[tuple[int, int]]:
    """Choose passages around the marked tokens that do not overlap.

    Passages with the most different terms come first; among equals the one in which they are nearest to each other, then the
    one with the most marks.
    """
    if len(marked) == 1:
        return [_widened(text, marked[0].start, marked[0].end, width)]
    candidates: list[tuple[int, int, int, int, int]] = []
    inside: dict[tuple[str, ...], int] = {}
    after, count = 0, len(marked)
    for first, token in enumerate(marked):
        limit = max(token.start + width * 2 // 3, token.end)
        while after < count and marked[after].end <= limit:
            terms = marked[after].terms
            inside[terms] = inside.get(terms, 0) + 1
            after += 1
        first_occurrences = _first_occurrences(marked[first:after], len(inside)) if len(inside) > 1 else 0
        candidates.append((-len(inside), first_occurrences, first - after, token.start, marked[after - 1].end))
        if inside[token.terms] == 1:
            del inside[token.terms]
        else:
            inside[token.terms] -= 1
    chosen: list[tuple[int, int]] = []
    for *_, first_start, last_end in sorted(candidates):
        start, end = _widened(text, first_start, last_end, width)
        if all(end <= other_start or start >= other_end for other_start, other_end in chosen):
            chosen.append((start, end))
            if len(chosen) == fragments:
                break
    return chosen


def _first_occurrences(stretch: Sequence[Token], different: int) -> int:
    """Return, for each different term of a passage, the number of characters up to its first occurrence."""
    seen: set[tuple[str, ...]] = set()
    for token in stretch:
        seen.add(token.terms)
        if len(seen) == different:
            return token.start - stretch[0].start
    return 0


def _widened(text: str, start: int, end: int, width: int) -> tuple[int, int]:
    """Widen a passage to about ``width`` characters, from the beginning of a word to the end of one."""
    room = max(width - (end - start), 0)
    left = max(start - room // 3, 0)
    right = min(left + max(width, end - left), len(text))
    if left > 0:
        gap = text.find(" ", left, start)
        left = gap + 1 if gap >= 0 else start
    if right < len(text):
        gap = text.rfind(" ", end, right)
        right = gap if gap >= 0 else end
    return left, right


def _render(text: str, start: int, end: int, marked: Sequence[Token]) -> str:
    escaped = escape if _ESCAPED.search(text, start, end) else str  # most passages contain nothing to escape
    parts: list[str] = []
    at = start
    for token in marked:
        if token.start >= end:
            break
        if token.start < start or token.end > end:
            continue
        parts += [escaped(text[at : token.start]), "<mark>", escaped(text[token.start : token.end]), "</mark>"]
        at = token.end
    parts.append(escaped(text[at:end]))
    before = "… " if start > 0 else ""
    after = " …" if end < len(text) else ""
    return before + "".join(parts).strip() + after

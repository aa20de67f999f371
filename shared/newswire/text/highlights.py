"""Highlights: the passages of a text that match a query, as HTML in which ``<mark>`` is the only markup."""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from html import escape

from newswire.text.analysis import DEFAULT, Token, bare, joined_tokens, loose_tokens, tokens
from newswire.text.query_matching import Analysed, beginnings, occurrences, positive_phrases


def highlight(
    text: str, query: Analysed, *, fragments: int, width: int = 180, language: str = DEFAULT, title: bool = False
) -> list[str]:
    """Return up to ``fragments`` passages of about ``width`` characters, best first; 0 fragments: the whole text.

    Set ``title`` for a title, so that terms searched in titles only are marked too. The result is empty if the text contains no
    term of the query.
    """
    phrases, terms, prefixes = _terms_to_mark(query, title)
    single = all(len(phrase) == 1 for phrase in phrases)
    read = loose_tokens if single else tokens
    found = read(text, terms, language, prefixes)
    marked = _marked_tokens(found, phrases)
    if prefixes:
        marked += [token for token in found if bare(text[token.start : token.end].lower()).startswith(prefixes)]
    marked += _marked_tokens(joined_tokens(text, terms, language, phrases=not single), phrases)
    if not marked:
        return []
    marked = _without_nested(marked)
    spans = [(token.start, token.end) for token in marked]
    if fragments == 0:
        return [_render(text, 0, len(text), spans)]
    return [_render(text, start, end, spans) for start, end in _passages(text, marked, fragments, width)]


@lru_cache(maxsize=256)
def _terms_to_mark(query: Analysed, title: bool) -> tuple[frozenset[tuple[str, ...]], frozenset[str], tuple[str, ...]]:
    """Return the phrases to be marked, their terms, and the prefixes: the same for all results."""
    phrases = frozenset(phrase.terms for phrase in positive_phrases(query) if title or phrase.field != "title")
    return phrases, frozenset(term for phrase in phrases for term in phrase), tuple(beginnings(query))


def opening(text: str, width: int) -> str:
    """Return the beginning of a text, escaped, and cut at the end of a word near ``width`` characters."""
    text = text.strip()
    if len(text) <= width:
        return escape(text)
    _, end = _widened(text, 0, 0, width)
    return escape(text[:end].rstrip()) + " …"


def _marked_tokens(found: Sequence[Token], phrases: Collection[tuple[str, ...]]) -> list[Token]:
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
    candidates: list[tuple[int, int, int, int, int]] = []
    inside: Counter[tuple[str, ...]] = Counter()
    after = 0
    for first, token in enumerate(marked):
        limit = max(token.start + width * 2 // 3, token.end)
        while after < len(marked) and marked[after].end <= limit:
            inside[marked[after].terms] += 1
            after += 1
        first_occurrences = _first_occurrences(marked[first:after], len(inside)) if len(inside) > 1 else 0
        candidates.append((-len(inside), first_occurrences, first - after, token.start, marked[after - 1].end))
        inside[token.terms] -= 1
        if not inside[token.terms]:
            del inside[token.terms]
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


def _render(text: str, start: int, end: int, spans: Sequence[tuple[int, int]]) -> str:
    parts: list[str] = []
    at = start
    for span_start, span_end in spans:
        if span_start < start or span_end > end:
            continue
        parts += [escape(text[at:span_start]), "<mark>", escape(text[span_start:span_end]), "</mark>"]
        at = span_end
    parts.append(escape(text[at:end]))
    before = "… " if start > 0 else ""
    after = " …" if end < len(text) else ""
    return before + "".join(parts).strip() + after

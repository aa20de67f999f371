"""Completions of what a reader is typing: which values go on from it, and how they are chosen."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rapidfuzz.distance import OSA

from newswire.filters import Filter
from newswire.text.analysis import bare_words, findable_words
from newswire.text.folding import fold
from newswire_search.index.port import Completion, CompletionKind, CompletionRequest, IndexReader

LONGEST_TEXT, MAX_WORDS = 300, 12
"""Of a longer text nothing is completed: no title is longer."""
SHORTEST_MISTYPED = 4
"""Shorter words have to be right."""
NAMES = (CompletionKind.TOPIC, CompletionKind.AUTHOR)
FEW_RESULTS = 3
"""With fewer completions than these, words may be mistyped."""


async def completions(index: IndexReader, text: str, entitlement: Filter | None, limit: int) -> list[Completion]:
    """Return what goes on from a text: first those in which nothing is mistyped, topics and authors before titles."""
    typed = bare_words(text) if len(text) <= LONGEST_TEXT else []
    if not typed or len(typed) > MAX_WORDS:
        return []
    exact = await index.complete(CompletionRequest(tuple(typed), False, entitlement, limit))
    found = _mixed(exact, limit)
    if len(found) >= min(FEW_RESULTS, limit) or all(len(word) < SHORTEST_MISTYPED for word in typed):
        return found
    close = await index.complete(CompletionRequest(tuple(typed), True, entitlement, limit))
    known = {(each.kind, fold(each.value)) for each in found}
    more = [each for each in close if (each.kind, fold(each.value)) not in known]
    return [*found, *_mixed(more, limit - len(found))]


def _mixed(found: Sequence[Completion], limit: int) -> list[Completion]:
    """Return the first of each kind; names take at most half of the places, as long as there are titles to fill the rest."""
    titles = [each for each in found if each.kind is CompletionKind.TITLE]
    names = _in_turn(
        [each for each in found if each.kind is CompletionKind.TOPIC],
        [each for each in found if each.kind is CompletionKind.AUTHOR],
    )
    most = max(limit - len(titles), (limit + 1) // 2)
    chosen = names[:most]
    return [*chosen, *titles[: limit - len(chosen)]]


def _in_turn(first: Sequence[Completion], second: Sequence[Completion]) -> list[Completion]:
    turns = [pair[at] for pair in zip(first, second, strict=False) for at in (0, 1)]
    shorter = min(len(first), len(second))
    return [*turns, *first[shorter:], *second[shorter:]]


def goes_on(request: CompletionRequest, value: str) -> bool:
    """Tell whether a value holds each word that was typed, the last perhaps only begun."""
    held = _words_of(value)
    *whole, last = request.words
    close = _one_letter_off if request.typos else str.__eq__
    begun = _begins_one_letter_off if request.typos else str.startswith
    return any(begun(word, last) for word in held) and all(any(close(word, typed) for word in held) for typed in whole)


@lru_cache(maxsize=20_000)
def _words_of(name: str) -> tuple[str, ...]:
    return tuple(findable_words(name))


def may_be_mistyped(request: CompletionRequest, word: str) -> bool:
    """Tell whether a typed word is long enough to be forgiven a letter."""
    return request.typos and len(word) >= SHORTEST_MISTYPED


def distinct(values: Iterable[Completion], limit: int) -> list[Completion]:
    """Return the first completions, each value once, however it is spelled."""
    once = {fold(each.value): each for each in reversed(list(values))}
    return list(reversed(once.values()))[:limit]


def _one_letter_off(word: str, typed: str) -> bool:
    if len(typed) < SHORTEST_MISTYPED:
        return word == typed
    return OSA.distance(word, typed, score_cutoff=1) <= 1


def _begins_one_letter_off(word: str, typed: str) -> bool:
    if len(typed) < SHORTEST_MISTYPED:
        return word.startswith(typed)
    return any(OSA.distance(word[: len(typed) + more], typed, score_cutoff=1) <= 1 for more in (0, -1, 1))

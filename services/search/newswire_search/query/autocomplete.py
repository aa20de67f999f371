"""Autocompletion: which values match the typed text, and how they are chosen."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rapidfuzz.distance import OSA

from newswire.filters import Filter
from newswire.text.analysis import bare_words, findable_words
from newswire.text.folding import fold
from newswire_search.index.models import Completion, CompletionKind, CompletionRequest
from newswire_search.index.port import IndexReader

MAX_TEXT_CHARACTERS, MAX_WORDS = 300, 12
"""A longer text has no completions: no title is longer."""
MIN_FUZZY_CHARACTERS = 4
"""Shorter words must be typed exactly."""
NAMES = (CompletionKind.TOPIC, CompletionKind.AUTHOR)
FEW_COMPLETIONS = 3
"""With fewer exact completions than this, words may be mistyped."""


async def completions(index: IndexReader, text: str, entitlement: Filter | None, limit: int) -> list[Completion]:
    """Return the completions of a text: exact ones first, topics and authors before titles."""
    typed = bare_words(text) if len(text) <= MAX_TEXT_CHARACTERS else []
    if not typed or len(typed) > MAX_WORDS:
        return []
    exact = await index.complete(CompletionRequest(tuple(typed), False, entitlement, limit))
    found = _mixed(exact, limit)
    if len(found) >= min(FEW_COMPLETIONS, limit) or all(len(word) < MIN_FUZZY_CHARACTERS for word in typed):
        return found
    fuzzy = await index.complete(CompletionRequest(tuple(typed), True, entitlement, limit))
    known = {(each.kind, fold(each.value)) for each in found}
    more = [each for each in fuzzy if (each.kind, fold(each.value)) not in known]
    return [*found, *_mixed(more, limit - len(found))]


def _mixed(found: Sequence[Completion], limit: int) -> list[Completion]:
    """Return the first of each kind; names take at most half of the list, as long as there are titles for the rest."""
    titles = [each for each in found if each.kind is CompletionKind.TITLE]
    topics = [each for each in found if each.kind is CompletionKind.TOPIC]
    names = _alternating(topics, [each for each in found if each.kind is CompletionKind.AUTHOR])
    max_names = max(limit - len(titles), (limit + 1) // 2)
    chosen = names[:max_names]
    return [*chosen, *titles[: limit - len(chosen)]]


def _alternating(first: Sequence[Completion], second: Sequence[Completion]) -> list[Completion]:
    pairs = [pair[at] for pair in zip(first, second, strict=False) for at in (0, 1)]
    shorter = min(len(first), len(second))
    return [*pairs, *first[shorter:], *second[shorter:]]


def completes(request: CompletionRequest, value: str) -> bool:
    """Return whether a value contains each typed word; the last one may be the beginning of a word."""
    contained = _words_of(value)
    *whole, last = request.words
    matches = _one_edit_apart if request.typos else str.__eq__
    begins = _begins_one_edit_apart if request.typos else str.startswith
    return any(begins(word, last) for word in contained) and all(
        any(matches(word, typed) for word in contained) for typed in whole
    )


@lru_cache(maxsize=20_000)
def _words_of(name: str) -> tuple[str, ...]:
    return tuple(findable_words(name))


def may_be_mistyped(request: CompletionRequest, word: str) -> bool:
    """Return whether a typed word is long enough to be matched with one edit."""
    return request.typos and len(word) >= MIN_FUZZY_CHARACTERS


def distinct(values: Iterable[Completion], limit: int) -> list[Completion]:
    """Return the first completions, each value once in any spelling."""
    once = {fold(each.value): each for each in reversed(list(values))}
    return list(reversed(once.values()))[:limit]


def _one_edit_apart(word: str, typed: str) -> bool:
    if len(typed) < MIN_FUZZY_CHARACTERS:
        return word == typed
    return OSA.distance(word, typed, score_cutoff=1) <= 1


def _begins_one_edit_apart(word: str, typed: str) -> bool:
    if len(typed) < MIN_FUZZY_CHARACTERS:
        return word.startswith(typed)
    return any(OSA.distance(word[: len(typed) + more], typed, score_cutoff=1) <= 1 for more in (0, -1, 1))

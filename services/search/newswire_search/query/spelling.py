"""Did you mean: another spelling of a query that found nothing, or little.

A word that is hardly found is compared with those of articles that do hold one close to it, and that the caller may read at this
moment. What is offered was searched for first, so that it does find something.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, product
from typing import Any

import regex
from rapidfuzz.distance import OSA

from newswire.article import Article
from newswire.concurrency.offload import Deadline
from newswire.filters import Filter
from newswire.text.analysis import DEFAULT, article_words, bare_words, is_stop_word
from newswire.text.query import MAX_QUERY_CHARS, parse
from newswire_search.index.port import FuzzyTerm, IndexReader, SearchPage, SearchRequest, Sort
from newswire_search.query.offload import offload

FEW_RESULTS = 3
"""A query that finds more than this many articles is taken to be meant as it is."""
MIN_IMPROVEMENT_FACTOR = 10
"""How many times as many articles another spelling has to find, where the one typed finds any."""
SHORTEST, MIN_LENGTH_FOR_TWO_EDITS = 4, 8
"""How long a word must be to be forgiven one letter, and to be forgiven two."""
MAX_WORDS, MAX_MISSPELLINGS, MAX_CANDIDATES = 8, 3, 3
SAMPLE_ARTICLES = 20
"""Corrections are taken from this many of the newest articles that hold a close word."""
SAMPLE_CHARACTERS = 20_000
"""Of the text of each: 20 whole ones of 1 MiB would take seconds."""

# What is forbidden, and what names a field, a date or a beginning, is not a word that is looked for.
_LEFT_ALONE = regex.compile(
    r'(?<!\S)-(?:"[^"]*(?:"|$)|\([^)]*(?:\)|$)|\S+)|\w+:(?:"[^"]*(?:"|$)|\S*)|\w+\*|\b(?:OR|AND)\b'
)
_WORD = regex.compile(r"[\p{L}\p{M}]+")


async def correction(index: IndexReader, q: str, request: SearchRequest, page: SearchPage) -> str | None:
    """Return another spelling of a query, with which the same request finds more; None where there is no need or none."""
    if page.total > FEW_RESULTS or request.after is not None:
        return None
    typed = _words_of(q)
    counts = await asyncio.gather(*(_count(index, word, request, page) for word in typed.values()))
    wrong = [at for at, count in zip(typed, counts, strict=True) if count <= (FEW_RESULTS if page.total else 0)]
    if not 1 <= len(wrong) <= MAX_MISSPELLINGS:
        return None
    close = await asyncio.gather(*(_close_to(index, typed[at], request.entitlement) for at in wrong))
    for chosen in islice(product(*close), MAX_CANDIDATES):
        corrected = _put(q, dict(zip(wrong, chosen, strict=True)))
        if await _finds_more(index, corrected, request, page.total):
            return corrected
    return None


def _words_of(q: str) -> dict[tuple[int, int], str]:
    """Return those words of a query that may be mistyped, by where they stand in it."""
    searched = _LEFT_ALONE.sub(lambda found: " " * len(found[0]), q)
    found: dict[tuple[int, int], str] = {}
    for match in _WORD.finditer(searched):
        bare = bare_words(match[0])
        if len(bare) == 1 and len(bare[0]) >= SHORTEST and not is_stop_word(bare[0], DEFAULT):
            found[match.span()] = bare[0]
    return found if len(found) <= MAX_WORDS else {}


async def _count(index: IndexReader, word: str, request: SearchRequest, page: SearchPage) -> int:
    """Return how many articles hold a word; where nothing but that was asked, the page at hand tells."""
    asked = SearchRequest(
        parse(word),
        limit=1,
        sort=Sort.NEWEST,
        with_text=False,
        with_body=False,
        with_facets=False,
        entitlement=request.entitlement,
    )
    unfiltered = not request.filters and request.since is None and request.until is None
    if unfiltered and request.query == asked.query:
        return page.total
    return (await index.search(asked)).total


async def _close_to(index: IndexReader, word: str, entitlement: Filter | None) -> list[str]:
    """Return words of articles that differ from one by as few letters as any do, the most frequent first."""
    for slips in (1, 2) if len(word) >= MIN_LENGTH_FOR_TWO_EDITS else (1,):
        asked = SearchRequest(
            fuzzy_term=FuzzyTerm(word, slips),
            sort=Sort.NEWEST,
            limit=SAMPLE_ARTICLES,
            text_characters=SAMPLE_CHARACTERS,
            with_facets=False,
            entitlement=entitlement,
        )
        articles = (await index.search(asked)).articles
        if found := await offload.run(partial(_near, articles, word, slips)):
            return found
    return []


def _near(articles: Sequence[Mapping[str, Any]], word: str, slips: int, _: Deadline) -> list[str]:
    counts = Counter(
        held
        for article in articles
        for held in article_words(Article.model_validate({**article, "text": article["text"][:SAMPLE_CHARACTERS]}))
        if held != word and len(held) >= SHORTEST and OSA.distance(held, word, score_cutoff=slips) <= slips
    )
    return sorted(counts, key=lambda held: (-counts[held], held))


def _put(q: str, corrections: Mapping[tuple[int, int], str]) -> str:
    """Return a query with words exchanged, written large where they were."""
    parts, end = [], 0
    for (start, stop), word in sorted(corrections.items()):
        old = q[start:stop]
        parts += [q[end:start], word.upper() if old.isupper() else word.capitalize() if old.istitle() else word]
        end = stop
    return "".join([*parts, q[end:]])


async def _finds_more(index: IndexReader, corrected: str, request: SearchRequest, total: int) -> bool:
    if len(corrected) > MAX_QUERY_CHARS:
        return False
    asked = replace(
        request,
        query=parse(corrected),
        sort=Sort.NEWEST,
        limit=FEW_RESULTS,
        with_text=False,
        with_body=False,
        with_facets=False,
    )
    page = await index.search(asked)
    return bool(page.articles) and page.total >= max(1, MIN_IMPROVEMENT_FACTOR * total)

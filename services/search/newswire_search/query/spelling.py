"""Spelling suggestions ("did you mean"): another spelling of a query that matches few articles.

A word that few articles contain is compared with similar words of articles that the caller may read. A suggestion is searched for
before it is offered, so that it does match something.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from typing import Any

import regex
from rapidfuzz import process
from rapidfuzz.distance import OSA

from newswire.concurrency.offload import Deadline
from newswire.text.analysis import DEFAULT, bare_words, is_stop_word, text_words
from newswire.text.query import MAX_QUERY_CHARS, parse
from newswire_search.index.models import FuzzyTerm, SearchPage, SearchRequest, Sort
from newswire_search.index.port import IndexReader
from newswire_search.query.offload import offload

FEW_RESULTS = 3
"""A query that matches more articles than this is not corrected."""
MIN_IMPROVEMENT_FACTOR = 10
"""How many times as many articles another spelling must match, if the query as typed matches any."""
MIN_LENGTH_FOR_ONE_EDIT, MIN_LENGTH_FOR_TWO_EDITS = 4, 8
"""How many letters a word needs to be corrected by one edit, and by two."""
MAX_WORDS, MAX_MISSPELLINGS, MAX_CANDIDATES = 8, 3, 3
SAMPLE_ARTICLES = 20
"""Corrections are taken from this many of the newest articles that contain a similar word."""
SAMPLE_CHARACTERS = 20_000
"""How many characters of each text are read: 20 full texts of 1 MiB would take seconds."""

# Excluded terms, fields, dates and prefixes are not corrected.
_NOT_CORRECTED = regex.compile(
    r'(?<!\S)-(?:"[^"]*(?:"|$)|\([^)]*(?:\)|$)|\S+)|\w+:(?:"[^"]*(?:"|$)|\S*)|\w+\*|\b(?:OR|AND)\b'
)
_WORD = regex.compile(r"[\p{L}\p{M}]+")


@dataclass(frozen=True, slots=True)
class CountedWord:
    """A word of a query, and how many articles contain it."""

    span: tuple[int, int]
    """Where it is in the query as typed."""
    word: str
    request: SearchRequest | None = None
    """The search whose total is the count."""
    count: int = 0


def words_to_count(q: str, request: SearchRequest, page: SearchPage) -> list[CountedWord]:
    """Return the words of a query that may be misspelt, which have to be counted; none if it matches enough."""
    if page.total > FEW_RESULTS or request.after is not None:
        return []
    return [_to_count(span, word, request, page) for span, word in _words_of(q).items()]


def with_counts(words: Sequence[CountedWord], totals: Iterable[int]) -> list[CountedWord]:
    """Return the words with the totals of those that have a request."""
    found = iter(totals)
    return [each if each.request is None else replace(each, request=None, count=next(found)) for each in words]


async def correction(
    index: IndexReader, q: str, request: SearchRequest, page: SearchPage, words: Sequence[CountedWord]
) -> str | None:
    """Return another spelling of a query with which the same request matches more, or None."""
    max_count = FEW_RESULTS if page.total else 0
    misspelt = [each for each in words if each.count <= max_count]
    if not 1 <= len(misspelt) <= MAX_MISSPELLINGS:
        return None
    similar = await asyncio.gather(*(_similar_words(index, each.word, request) for each in misspelt))
    for chosen in islice(product(*similar), MAX_CANDIDATES):
        spans = (each.span for each in misspelt)
        corrected = _replace_words(q, dict(zip(spans, chosen, strict=True)))
        if await _matches_more(index, corrected, request, page.total):
            return corrected
    return None


def _words_of(q: str) -> dict[tuple[int, int], str]:
    """Return those words of a query that can be corrected, with their spans."""
    searched = _NOT_CORRECTED.sub(lambda found: " " * len(found[0]), q)
    found: dict[tuple[int, int], str] = {}
    for match in _WORD.finditer(searched):
        bare = bare_words(match[0])
        if len(bare) == 1 and len(bare[0]) >= MIN_LENGTH_FOR_ONE_EDIT and not is_stop_word(bare[0], DEFAULT):
            found[match.span()] = bare[0]
    return found if len(found) <= MAX_WORDS else {}


def _to_count(span: tuple[int, int], word: str, request: SearchRequest, page: SearchPage) -> CountedWord:
    """Return a word with the search that counts it; if the request contains nothing else, with the total of its page."""
    for_word = SearchRequest(
        parse(word),
        limit=0,
        sort=Sort.NEWEST,
        with_text=False,
        with_body=False,
        with_facets=False,
        entitlement=request.entitlement,
        erased=request.erased,
    )
    unfiltered = not request.filters and request.since_ms is None and request.until_ms is None
    if unfiltered and request.query == for_word.query:
        return CountedWord(span, word, count=page.total)
    return CountedWord(span, word, for_word)


async def _similar_words(index: IndexReader, word: str, request: SearchRequest) -> list[str]:
    """Return words of articles that differ from one by the fewest edits, the most frequent first."""
    for max_edits in (1, 2) if len(word) >= MIN_LENGTH_FOR_TWO_EDITS else (1,):
        for_similar = SearchRequest(
            fuzzy_term=FuzzyTerm(word, max_edits),
            sort=Sort.NEWEST,
            limit=SAMPLE_ARTICLES,
            text_characters=SAMPLE_CHARACTERS,
            with_body=False,
            with_total=False,
            with_facets=False,
            entitlement=request.entitlement,
            erased=request.erased,
        )
        articles = (await index.search(for_similar)).articles
        if found := await offload.run(partial(_words_within, articles, word, max_edits)):
            return found
    return []


def _words_within(articles: Sequence[Mapping[str, Any]], word: str, max_edits: int, _: Deadline) -> list[str]:
    words = [_words_in(article) for article in articles]
    candidates = [
        other for other in set[str]().union(*words) if len(other) >= MIN_LENGTH_FOR_ONE_EDIT and other != word
    ]
    similar = [
        other for other, *_ in process.extract_iter(word, candidates, scorer=OSA.distance, score_cutoff=max_edits)
    ]
    counts = {other: sum(other in each for each in words) for other in similar}
    return sorted(counts, key=lambda other: (-counts[other], other))


def _words_in(article: Mapping[str, Any]) -> set[str]:
    """Return the words of a stored article, as `newswire.text.analysis.article_words` does of one that is validated first."""
    authors = (author["name"] for author in article.get("authors") or ())
    topics = article.get("topics") or ()
    texts = (article["title"], article.get("summary") or "", article["text"][:SAMPLE_CHARACTERS], *authors, *topics)
    return text_words(texts)


def _replace_words(q: str, corrections: Mapping[tuple[int, int], str]) -> str:
    """Replace words of a query, keeping the capitalisation of the replaced words."""
    parts, end = [], 0
    for (start, stop), word in sorted(corrections.items()):
        old = q[start:stop]
        parts += [q[end:start], word.upper() if old.isupper() else word.capitalize() if old.istitle() else word]
        end = stop
    return "".join([*parts, q[end:]])


async def _matches_more(index: IndexReader, corrected: str, request: SearchRequest, total: int) -> bool:
    if len(corrected) > MAX_QUERY_CHARS:
        return False
    for_corrected = replace(
        request,
        query=parse(corrected),
        sort=Sort.NEWEST,
        limit=FEW_RESULTS,
        with_text=False,
        with_body=False,
        with_facets=False,
    )
    page = await index.search(for_corrected)
    return bool(page.articles) and page.total >= max(1, MIN_IMPROVEMENT_FACTOR * total)

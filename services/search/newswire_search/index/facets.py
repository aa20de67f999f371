"""Facets: the values that a response lists, their order and their spelling."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from newswire.text.folding import fold
from newswire_search.index.mapping import SEPARATOR, facet_terms
from newswire_search.index.models import FACET_VALUES, FacetCount


def listed(
    field: str,
    buckets: Sequence[tuple[str, int]],
    selected: Sequence[str],
    count: Callable[[str], int],
    *,
    sorted_by_count: bool = False,
) -> list[FacetCount]:
    """Return the values to list: the first of those counted, and all selected ones, in their most common spelling.

    The most frequent come first; months come in reverse chronological order.

    ``buckets`` are the values as the index holds them, with ``sorted_by_count`` the most frequent ones first; ``selected`` are the
    folded values that are selected; ``count`` returns the count of a selected value that is not among the buckets.
    """
    if not selected:
        return _most_frequent(field, buckets, sorted_by_count)
    counts, spellings = merged(buckets)
    ordered = (
        sorted(counts, reverse=True) if field == "month" else sorted(counts, key=lambda value: (-counts[value], value))
    )
    first = ordered[:FACET_VALUES]
    missing = [value for value in dict.fromkeys(selected) if value not in first]
    return [
        FacetCount(spellings[value], counts[value]) if value in counts else FacetCount(value, count(value))
        for value in (*first, *missing)
    ]


def _most_frequent(field: str, buckets: Sequence[tuple[str, int]], sorted_by_count: bool) -> list[FacetCount]:
    """Return the same for a field without selected values, which has up to 200 buckets in each search."""
    values = [key.partition(SEPARATOR)[0] for key, _ in buckets]
    if len(set(values)) < len(values):
        by_value = _joined(values, buckets)
        values, buckets, sorted_by_count = list(by_value), list(by_value.values()), False
    if field == "month":
        ordered = sorted(
            [(value, -count, key) for value, (key, count) in zip(values, buckets, strict=True)], reverse=True
        )
        return [FacetCount(key[len(value) + 1 :], -negated) for value, negated, key in ordered[:FACET_VALUES]]
    candidates = _with_equals(buckets) if sorted_by_count else buckets
    by_count = sorted([(-count, value, key) for value, (key, count) in zip(values, candidates, strict=False)])
    return [FacetCount(key[len(value) + 1 :], -negated) for negated, value, key in by_count[:FACET_VALUES]]


def _joined(values: Sequence[str], buckets: Sequence[tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Return one bucket for each different value, with its most common spelling."""
    by_value: dict[str, tuple[str, int]] = {}
    spellings: dict[str, list[tuple[str, int]]] = {}
    for value, bucket in zip(values, buckets, strict=True):
        if by_value.setdefault(value, bucket) is not bucket:
            spellings.setdefault(value, [by_value[value]]).append(bucket)
    for value, found in spellings.items():
        commonest, _ = min(found, key=lambda bucket: (-bucket[1], bucket[0]))
        by_value[value] = commonest, sum(count for _, count in found)
    return by_value


def _with_equals(buckets: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    """Return the first `FACET_VALUES` of buckets that are sorted by count, and those with the same count as the last of them."""
    end = FACET_VALUES
    while end < len(buckets) and buckets[end][1] == buckets[FACET_VALUES - 1][1]:
        end += 1
    return buckets[:end]


def facets_among(articles: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> dict[str, list[FacetCount]]:
    """Return the values to list for these fields, counted in the articles themselves: those are all results of a search."""
    counts: dict[str, Counter[str]] = {field: Counter() for field in fields}
    for article in articles:
        terms = facet_terms(
            category=article.get("category"),
            topics=article.get("topics", ()),
            authors=[author["name"] for author in article.get("authors", ())],
            publisher=article["publisher"],
            language=article.get("language", "und"),
            published_at=datetime.fromisoformat(article["published_at"]),
        )
        for field in fields:
            counts[field].update(terms[field])
    return {field: listed(field, list(counted.items()), (), int) for field, counted in counts.items()}


def merged(buckets: Sequence[tuple[str, int]]) -> tuple[dict[str, int], dict[str, str]]:
    """Add up values that differ in spelling only; return the count and the most common spelling of each."""
    split = [key.partition(SEPARATOR) for key, _ in buckets]
    counts = {folded: count for (folded, _, _), (_, count) in zip(split, buckets, strict=True)}
    if len(counts) == len(buckets):  # the usual case
        return counts, {folded: spelling for folded, _, spelling in split}
    counts = {}
    commonest: dict[str, tuple[int, str]] = {}
    for (folded, _, spelling), (_, count) in zip(split, buckets, strict=True):
        rank = (-count, spelling)
        if folded not in counts:
            counts[folded], commonest[folded] = count, rank
            continue
        counts[folded] += count
        commonest[folded] = min(commonest[folded], rank)
    return counts, {folded: spelling for folded, (_, spelling) in commonest.items()}


def respelled(counts: Sequence[FacetCount], sent: Sequence[str]) -> Sequence[FacetCount]:
    """Return the counts, with selected values in the spelling of the request if no article has another."""
    if not sent:
        return counts
    spelled = {fold(value): value for value in sent if not value.startswith("-")}
    return [FacetCount(spelled.get(found.value, found.value), found.count) for found in counts]

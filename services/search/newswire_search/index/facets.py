"""Which values of a field an answer lists, how they are spelled, and in which order."""

from collections.abc import Callable, Sequence

from newswire.text.folding import fold
from newswire_search.index.mapping import SEPARATOR
from newswire_search.index.port import FACET_VALUES, FacetCount


def listed(
    field: str, buckets: Sequence[tuple[str, int]], wanted: Sequence[str], count: Callable[[str], int]
) -> list[FacetCount]:
    """Return the values to list: the first of those counted, and all that are asked for, spelled as most articles spell them.

    The most frequent come first; months come by the calendar, the latest first.

    ``buckets`` are the values as the index holds them, ``wanted`` the folded values asked for; ``count`` tells how often one
    of them comes that is not among the buckets.
    """
    counts, spellings = merged(buckets)
    by_count = sorted(counts, key=lambda value: (-counts[value], value))
    ordered = sorted(counts, reverse=True) if field == "month" else by_count
    first = ordered[:FACET_VALUES]
    missing = [value for value in dict.fromkeys(wanted) if value not in first]
    return [
        FacetCount(spellings[value], counts[value]) if value in counts else FacetCount(value, count(value))
        for value in (*first, *missing)
    ]


def merged(buckets: Sequence[tuple[str, int]]) -> tuple[dict[str, int], dict[str, str]]:
    """Add up values that differ only in spelling; return the count of each, and its most common spelling."""
    counts: dict[str, int] = {}
    commonest: dict[str, tuple[int, str]] = {}
    for key, count in buckets:
        folded, _, spelling = key.partition(SEPARATOR)
        rank = (-count, spelling)
        if folded not in counts:
            counts[folded], commonest[folded] = count, rank
            continue
        counts[folded] += count
        commonest[folded] = min(commonest[folded], rank)
    return counts, {folded: spelling for folded, (_, spelling) in commonest.items()}


def respelled(counts: Sequence[FacetCount], sent: Sequence[str]) -> Sequence[FacetCount]:
    """Show values that no article spells out as they were sent."""
    if not sent:
        return counts
    spelled = {fold(value): value for value in sent if not value.startswith("-")}
    return [FacetCount(spelled.get(found.value, found.value), found.count) for found in counts]

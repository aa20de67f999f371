"""Which values of a field an answer lists, how they are spelled, and in which order."""

from collections.abc import Callable, Sequence

from newswire.folding import fold
from newswire_search.index import FACET_VALUES, FacetCount
from newswire_search.mapping import SEPARATOR


def listed(
    field: str, buckets: Sequence[tuple[str, int]], wanted: Sequence[str], count: Callable[[str], int]
) -> list[FacetCount]:
    """Return the values to list: the first of those counted, and all that are asked for.

    ``buckets`` are the values as the index holds them, ``wanted`` the folded values asked for; ``count`` tells how often one
    of them comes that is not among the buckets.
    """
    counted = merged(field, buckets)
    first, rest = counted[:FACET_VALUES], counted[FACET_VALUES:]
    shown = {fold(found.value) for found in first}
    known = {fold(found.value): found for found in rest}
    missing = [value for value in dict.fromkeys(wanted) if value not in shown]
    return [*first, *(known.get(value) or FacetCount(value, count(value)) for value in missing)]


def merged(field: str, buckets: Sequence[tuple[str, int]]) -> list[FacetCount]:
    """Add up values that differ only in spelling, and show each under its most common spelling.

    The most frequent come first; months come by the calendar, the latest first.
    """
    counts: dict[str, int] = {}
    spellings: dict[str, tuple[int, str]] = {}
    for key, count in buckets:
        folded, _, spelling = key.partition(SEPARATOR)
        counts[folded] = counts.get(folded, 0) + count
        commonest = spellings.get(folded)
        if commonest is None or (-count, spelling) < (-commonest[0], commonest[1]):
            spellings[folded] = (count, spelling)
    by_count = sorted(counts, key=lambda folded: (-counts[folded], folded))
    ordered = sorted(counts, reverse=True) if field == "month" else by_count
    return [FacetCount(spellings[folded][1], counts[folded]) for folded in ordered]


def respelled(counts: Sequence[FacetCount], sent: Sequence[str]) -> list[FacetCount]:
    """Show values that no article spells out as they were sent."""
    spelled = {fold(value): value for value in sent if not value.startswith("-")}
    return [FacetCount(spelled.get(found.value, found.value), found.count) for found in counts]

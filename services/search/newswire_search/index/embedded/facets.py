"""Counting values in the embedded index: what each would find beside those chosen in other fields."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

from tantivy import Query as Tantivy
from tantivy import Schema, Searcher

from newswire_search.index.embedded.query import both, embedded_query
from newswire_search.index.facets import listed, merged
from newswire_search.index.mapping import FACET_SUFFIX
from newswire_search.index.port import FACETS, FacetCount, SearchRequest

LONGEST = 10_000


def facets(
    searcher: Searcher, schema: Schema, query: Tantivy, request: SearchRequest, languages: Collection[str]
) -> dict[str, Sequence[FacetCount]]:
    """Return the values to list.

    A field of which values are wanted is counted over what the request would find without wanting them, or all its other
    values would count none.
    """
    wanted = {name: chosen.include for name, chosen in request.filters.items() if chosen.include}
    answer = _counted(searcher, query, [name for name in FACETS if name not in wanted])
    found: dict[str, Sequence[FacetCount]] = {}
    for name in FACETS:
        if name not in wanted:
            found[name] = listed(name, answer[name], (), int)
            continue
        regardless = embedded_query(schema, request.without_selected(name), languages)

        def count_asked_for(name: str = name, regardless: Tantivy = regardless) -> Mapping[str, int]:
            """Count the values that are not among the most frequent, all in one go."""
            holding = both(regardless, Tantivy.term_set_query(schema, name, list(wanted[name])))
            return merged(_counted(searcher, holding, [name])[name])[0]

        asked_for = cache(count_asked_for)

        def count(value: str, asked_for: Callable[[], Mapping[str, int]] = asked_for) -> int:
            return asked_for().get(value, 0)

        found[name] = listed(name, _counted(searcher, regardless, [name])[name], wanted[name], count)
    return found


def _counted(searcher: Searcher, query: Tantivy, names: Sequence[str]) -> Mapping[str, list[tuple[str, int]]]:
    asked = {
        name: {"terms": {"field": name + FACET_SUFFIX, "size": LONGEST, "segment_size": LONGEST}} for name in names
    }
    answer: Mapping[str, Any] = searcher.aggregate(query, asked) if asked else {}
    return {name: [(bucket["key"], bucket["doc_count"]) for bucket in answer[name]["buckets"]] for name in names}

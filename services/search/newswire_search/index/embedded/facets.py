"""Counting values in the embedded index: how many results each would have, given the selection in other fields."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

from tantivy import Query as Tantivy
from tantivy import Schema, Searcher

from newswire_search.index.embedded.query import both, embedded_query
from newswire_search.index.facets import listed, merged
from newswire_search.index.mapping import FACET_SUFFIX
from newswire_search.index.models import FacetCount, SearchRequest

MAX_BUCKETS = 10_000


def facets(
    searcher: Searcher, schema: Schema, query: Tantivy, request: SearchRequest, languages: Collection[str]
) -> dict[str, Sequence[FacetCount]]:
    """Return the values to list.

    A field with selected values is counted without that selection: otherwise all its other values would count zero.
    """
    selected = {name: chosen.include for name, chosen in request.filters.items() if chosen.include}
    answer = _counted(searcher, query, [name for name in request.facet_fields if name not in selected])
    found: dict[str, Sequence[FacetCount]] = {}
    for name in request.facet_fields:
        if name not in selected:
            found[name] = listed(name, answer[name], (), int)
            continue
        unselected = embedded_query(schema, request.without_selected(name), languages)

        def count_selected(name: str = name, unselected: Tantivy = unselected) -> Mapping[str, int]:
            """Count all selected values in one query; they may not be among the most frequent ones."""
            matching = both(unselected, Tantivy.term_set_query(schema, name, list(selected[name])))
            return merged(_counted(searcher, matching, [name])[name])[0]

        selected_counts = cache(count_selected)

        def count(value: str, selected_counts: Callable[[], Mapping[str, int]] = selected_counts) -> int:
            return selected_counts().get(value, 0)

        found[name] = listed(name, _counted(searcher, unselected, [name])[name], selected[name], count)
    return found


def _counted(searcher: Searcher, query: Tantivy, names: Sequence[str]) -> Mapping[str, list[tuple[str, int]]]:
    aggregations = {
        name: {"terms": {"field": name + FACET_SUFFIX, "size": MAX_BUCKETS, "segment_size": MAX_BUCKETS}}
        for name in names
    }
    answer: Mapping[str, Any] = searcher.aggregate(query, aggregations) if aggregations else {}
    return {name: [(bucket["key"], bucket["doc_count"]) for bucket in answer[name]["buckets"]] for name in names}

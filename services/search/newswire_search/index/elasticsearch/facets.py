"""Counting values on Elasticsearch: how many results each would have, given the selection in other fields."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from newswire_search.index.elasticsearch.query import Body, elasticsearch_query
from newswire_search.index.facets import listed
from newswire_search.index.mapping import FACET_SUFFIX
from newswire_search.index.models import FACET_VALUES, FacetCount, SearchRequest

MAX_BUCKETS = 4 * FACET_VALUES
"""Values that differ in spelling only are added up among this many, more than are listed. Each costs the server a look-up."""
_ORDER = {"month": {"order": {"_key": "desc"}}}
_VALUES, _SELECTED, _UNSELECTED = "values", "selected", "unselected"


def aggregations(request: SearchRequest, languages: Collection[str]) -> Body:
    """Return the aggregations that count the values of each field.

    A field with selected values is counted without that selection: otherwise all its other values would count zero.
    """
    return {name: _counted(request, languages, name) for name in request.facet_fields}


def _counted(request: SearchRequest, languages: Collection[str], name: str) -> Body:
    values = {"terms": {"field": name + FACET_SUFFIX, "size": MAX_BUCKETS, **_ORDER.get(name, {})}}
    selected = _selected(request, name)
    if not selected:
        return values
    # The selected values may not be among the most frequent ones.
    selected_counts = {"terms": {"field": name, "include": selected, "size": len(selected)}}
    without_selection = {
        "filter": elasticsearch_query(request.without_selected(name), languages),
        "aggregations": {_VALUES: values, _SELECTED: selected_counts},
    }
    return {"global": {}, "aggregations": {_UNSELECTED: without_selection}}


def facets(answer: Mapping[str, Any], request: SearchRequest) -> dict[str, Sequence[FacetCount]]:
    """Return the values to list from the aggregations of a response."""
    found: dict[str, Sequence[FacetCount]] = {}
    for name in request.facet_fields:
        selected = _selected(request, name)
        counted = answer[name][_UNSELECTED] if selected else {_VALUES: answer[name]}
        counts = defaultdict(int, _buckets(counted[_SELECTED]) if selected else ())
        buckets = _buckets(counted[_VALUES])
        found[name] = listed(name, buckets, selected, counts.__getitem__, sorted_by_count=name not in _ORDER)
    return found


def _selected(request: SearchRequest, name: str) -> list[str]:
    chosen = request.filters.get(name)
    return list(dict.fromkeys(chosen.include)) if chosen else []


def _buckets(terms: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(bucket["key"], bucket["doc_count"]) for bucket in terms["buckets"]]

"""Counting values on Elasticsearch: what each would find beside those chosen in other fields."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from newswire_search.index.elasticsearch.query import Body, elasticsearch_query
from newswire_search.index.facets import listed
from newswire_search.index.mapping import FACET_SUFFIX
from newswire_search.index.port import FACETS, FacetCount, SearchRequest

LONGEST = 1000
_VALUES, _WANTED, _REGARDLESS = "values", "wanted", "regardless"


def aggregations(request: SearchRequest, languages: Collection[str]) -> Body:
    """Return what counts the values of each field.

    A field of which values are wanted is counted over what the request would find without wanting them, or all its other
    values would count none.
    """
    return {name: _counted(request, languages, name) for name in FACETS}


def _counted(request: SearchRequest, languages: Collection[str], name: str) -> Body:
    values = {"terms": {"field": name + FACET_SUFFIX, "size": LONGEST}}
    wanted = _wanted(request, name)
    if not wanted:
        return values
    # The values asked for may not be among the most frequent ones.
    asked_for = {"terms": {"field": name, "include": wanted, "size": len(wanted)}}
    regardless = {
        "filter": elasticsearch_query(request.without_selected(name), languages),
        "aggregations": {_VALUES: values, _WANTED: asked_for},
    }
    return {"global": {}, "aggregations": {_REGARDLESS: regardless}}


def facets(answer: Mapping[str, Any], request: SearchRequest) -> dict[str, Sequence[FacetCount]]:
    """Return the values to list, of an answer's aggregations."""
    found: dict[str, Sequence[FacetCount]] = {}
    for name in FACETS:
        wanted = _wanted(request, name)
        counted = answer[name][_REGARDLESS] if wanted else {_VALUES: answer[name]}
        counts = defaultdict(int, _buckets(counted[_WANTED]) if wanted else ())
        found[name] = listed(name, _buckets(counted[_VALUES]), wanted, counts.__getitem__)
    return found


def _wanted(request: SearchRequest, name: str) -> list[str]:
    chosen = request.filters.get(name)
    return list(dict.fromkeys(chosen.include)) if chosen else []


def _buckets(terms: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(bucket["key"], bucket["doc_count"]) for bucket in terms["buckets"]]

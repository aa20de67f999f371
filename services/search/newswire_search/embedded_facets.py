"""Counting values in the embedded index: what each would find beside those chosen in other fields."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tantivy import Query as Tantivy
from tantivy import Schema, Searcher

from newswire_search.embedded_query import both, embedded_query
from newswire_search.facets import listed
from newswire_search.index import FACETS, FacetCount, SearchRequest
from newswire_search.mapping import FACET_SUFFIX

LONGEST = 10_000


def facets(
    searcher: Searcher, schema: Schema, query: Tantivy, request: SearchRequest, languages: Collection[str]
) -> dict[str, Sequence[FacetCount]]:
    """Return the values to list.

    A field of which values are wanted is counted over what the request would find without wanting them, or all its other
    values would count none.
    """
    wanted = {name: chosen.wanted for name, chosen in request.filters.items() if chosen.wanted}
    answer = _counted(searcher, query, [name for name in FACETS if name not in wanted])
    found: dict[str, Sequence[FacetCount]] = {}
    for name in FACETS:
        if name not in wanted:
            found[name] = listed(name, answer[name], (), int)
            continue
        regardless = embedded_query(schema, request.regardless_of(name), languages)

        def count(value: str, name: str = name, regardless: Tantivy = regardless) -> int:
            return _number(searcher, both(regardless, Tantivy.term_query(schema, name, value, index_option="basic")))

        found[name] = listed(name, _counted(searcher, regardless, [name])[name], wanted[name], count)
    return found


def _counted(searcher: Searcher, query: Tantivy, names: Sequence[str]) -> Mapping[str, list[tuple[str, int]]]:
    asked = {
        name: {"terms": {"field": name + FACET_SUFFIX, "size": LONGEST, "segment_size": LONGEST}} for name in names
    }
    answer: Mapping[str, Any] = searcher.aggregate(query, asked) if asked else {}
    return {name: [(bucket["key"], bucket["doc_count"]) for bucket in answer[name]["buckets"]] for name in names}


def _number(searcher: Searcher, query: Tantivy) -> int:
    return int(searcher.search(query, limit=1).count)  # type: ignore[attr-defined]  # the type stub leaves it out

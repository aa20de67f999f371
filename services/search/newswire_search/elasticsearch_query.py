"""A search request as an Elasticsearch query."""

from collections.abc import Collection
from typing import Any

from newswire.matching import Analysed, Both, Either, Phrase, Without, sought
from newswire.query import Everything, Prefix, Published
from newswire_search.index import FACETS, SearchRequest, Sort
from newswire_search.mapping import FACET_SUFFIX
from newswire_search.ranking import TITLE_WEIGHT, index_field, readings

LONGEST_FACET = 1000

Body = dict[str, Any]

ORDER: dict[Sort, list[Body]] = {
    Sort.RELEVANCE: [{"_score": "desc"}, {"published_at": "desc"}, {"id": "desc"}],
    Sort.NEWEST: [{"published_at": "desc"}, {"id": "desc"}],
    Sort.OLDEST: [{"published_at": "asc"}, {"id": "asc"}],
}

AGGREGATIONS: Body = {name: {"terms": {"field": name + FACET_SUFFIX, "size": LONGEST_FACET}} for name in FACETS}


def elasticsearch_query(request: SearchRequest, languages: Collection[str]) -> Body:
    """Return the scored query for the words and the filters of a request, in an index that holds articles in these languages."""
    required: list[Body] = [{"term": {"retracted": False}}]
    if request.since is not None or request.until is not None:
        required.append(_published(request.since, request.until))
    required += [{"terms": {field: list(f.wanted)}} for field, f in request.filters.items() if f.wanted]
    excluded: list[Body] = [{"terms": {field: list(f.unwanted)}} for field, f in request.filters.items() if f.unwanted]
    found = readings(request.query, languages)
    if len(found) == 1:
        must = _scored(found[0][0])
    else:
        branches = [
            {"bool": {"must": [_scored(reading)], "filter": [{"terms": {"analysis": list(same)}}]}}
            for reading, same in found
        ]
        must = {"bool": {"should": branches, "minimum_should_match": 1}}
    return {"bool": {"filter": required, "must_not": excluded, "must": [must]}}


def _scored(query: Analysed) -> Body:
    """Return the query for one reading of the words, with what the title adds to the score."""
    required = _boolean(query)
    in_title = [_match("title_terms", phrase) for phrase in sought(query) if phrase.place == "text"]
    if not in_title:
        return required
    return {"bool": {"must": [required], "should": [{"bool": {"should": in_title, "boost": TITLE_WEIGHT}}]}}


def _boolean(query: Analysed) -> Body:
    match query:
        case Phrase(_, "text" | "title"):
            return _match(index_field(query), query)
        case Phrase():
            return _unscored(_match(index_field(query), query))
        case Either(parts):
            return {"bool": {"should": [_boolean(part) for part in parts], "minimum_should_match": 1}}
        case Both(parts):
            return {
                "bool": {
                    "must": [_boolean(part) for part in parts if not isinstance(part, Without)],
                    "must_not": [_boolean(part.part) for part in parts if isinstance(part, Without)],
                }
            }
        case Without(part):
            return {"bool": {"must_not": [_boolean(part)]}}
        case Prefix(beginning):
            return {"constant_score": {"filter": {"prefix": {"words": {"value": beginning}}}}}
        case Published(since, until):
            return _unscored(_published(since, until))
        case Everything():
            return {"match_all": {}}


def _match(field: str, phrase: Phrase) -> Body:
    if len(phrase.terms) == 1:
        return {"term": {field: phrase.terms[0]}}
    return {"match_phrase": {field: " ".join(phrase.terms)}}


def _published(since: int | None, until: int | None) -> Body:
    span = {"gte": since, "lte": until}
    return {"range": {"published_at": {key: value for key, value in span.items() if value is not None}}}


def _unscored(query: Body) -> Body:
    return {"bool": {"filter": [query]}}

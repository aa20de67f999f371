"""A search request as an Elasticsearch query."""

from typing import Any

from newswire.query import All, Any_, Everything, Not, Phrase, Query
from newswire_search.index import FACETS, SearchRequest, Sort
from newswire_search.mapping import FACET_SUFFIX
from newswire_search.ranking import TITLE_WEIGHT, sought

LONGEST_FACET = 1000
DAYS_AT_ONCE = 10_000

Body = dict[str, Any]

ORDER: dict[Sort, list[Body]] = {
    Sort.RELEVANCE: [{"_score": "desc"}, {"published_at": "desc"}, {"id": "desc"}],
    Sort.NEWEST: [{"published_at": "desc"}, {"id": "desc"}],
    Sort.OLDEST: [{"published_at": "asc"}, {"id": "asc"}],
}

AGGREGATIONS: Body = {name: {"terms": {"field": name + FACET_SUFFIX, "size": LONGEST_FACET}} for name in FACETS}


def days_aggregation(after: Body | None) -> Body:
    """Return the aggregation that counts by day, and goes on where ``after_key`` of the answer before says."""
    days: Body = {
        "size": DAYS_AT_ONCE,
        "sources": [{"day": {"date_histogram": {"field": "published_at", "calendar_interval": "day"}}}],
    }
    if after is not None:
        days["after"] = after
    return {"composite": days, "aggregations": {"updated_at": {"max": {"field": "updated_at"}}}}


def elasticsearch_query(request: SearchRequest) -> Body:
    """Return the scored query for the words and the filters of a request."""
    required: list[Body] = [{"term": {"retracted": False}}]
    if request.since is not None or request.until is not None:
        span = {"gte": request.since, "lte": request.until}
        required.append({"range": {"published_at": {key: value for key, value in span.items() if value is not None}}})
    required += [{"terms": {field: list(f.wanted)}} for field, f in request.filters.items() if f.wanted]
    excluded: list[Body] = [{"terms": {field: list(f.unwanted)}} for field, f in request.filters.items() if f.unwanted]
    query: Body = {"filter": required, "must_not": excluded, "must": [_boolean(request.query)]}
    in_title = [_phrase("title_terms", phrase) for phrase in sought(request.query)]
    if in_title:
        query["should"] = [{"bool": {"should": in_title, "boost": TITLE_WEIGHT}}]
    return {"bool": query}


def _boolean(query: Query) -> Body:
    match query:
        case Phrase():
            return _phrase("text", query)
        case Any_(parts):
            return {"bool": {"should": [_boolean(part) for part in parts], "minimum_should_match": 1}}
        case All(parts):
            return {
                "bool": {
                    "must": [_boolean(part) for part in parts if not isinstance(part, Not)],
                    "must_not": [_boolean(part.part) for part in parts if isinstance(part, Not)],
                }
            }
        case Not(part):
            return {"bool": {"must_not": [_boolean(part)]}}
        case Everything():
            return {"match_all": {}}


def _phrase(field: str, phrase: Phrase) -> Body:
    if len(phrase.terms) == 1:
        return {"term": {field: phrase.terms[0]}}
    return {"match_phrase": {field: " ".join(phrase.terms)}}

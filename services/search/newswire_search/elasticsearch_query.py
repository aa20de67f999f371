"""A search request as an Elasticsearch query."""

from typing import Any

from newswire.filters import Filter
from newswire.query import All, Any_, Everything, Not, Phrase, Query
from newswire_search.entitlement import field_filters, metadata_terms
from newswire_search.index import FieldFilter, SearchRequest, Sort, Word
from newswire_search.ranking import TITLE_WEIGHT, sought

Body = dict[str, Any]

ORDER: dict[Sort, list[Body]] = {
    Sort.RELEVANCE: [{"_score": "desc"}, {"published_at": "desc"}, {"id": "desc"}],
    Sort.NEWEST: [{"published_at": "desc"}, {"id": "desc"}],
    Sort.OLDEST: [{"published_at": "asc"}, {"id": "asc"}],
}


def elasticsearch_query(request: SearchRequest) -> Body:
    """Return the scored query for the words and the filters of a request."""
    required = readable(request.entitlement) + [holding(word) for word in request.words]
    if request.since is not None or request.until is not None:
        span = {"gte": request.since, "lte": request.until}
        required.append({"range": {"published_at": {key: value for key, value in span.items() if value is not None}}})
    required += [_wanted(field, chosen) for field, chosen in request.filters.items() if chosen.wanted]
    excluded = [_unwanted(field, chosen) for field, chosen in request.filters.items() if chosen.unwanted]
    query: Body = {"filter": required, "must_not": excluded, "must": [_boolean(request.query)]}
    in_title = [_phrase("title_terms", phrase) for phrase in sought(request.query)]
    if in_title:
        query["should"] = [{"bool": {"should": in_title, "boost": TITLE_WEIGHT}}]
    return {"bool": query}


def readable(entitlement: Filter | None) -> list[Body]:
    """Return the clauses for what a caller may read at all."""
    clauses: list[Body] = [{"term": {"retracted": False}}]
    if entitlement is None:
        return clauses
    for field, chosen in field_filters(entitlement):
        clauses += [_wanted(field, chosen)] if chosen.wanted else []
        clauses += [{"bool": {"must_not": _unwanted(field, chosen)}}] if chosen.unwanted else []
    clauses += [{"term": {"metadata": term}} for term in metadata_terms(entitlement)]
    if not isinstance(entitlement.parsed, Everything):
        clauses.append(_boolean(entitlement.parsed))
    return clauses


def holding(word: Word) -> Body:
    """Return the clause for articles that hold a word."""
    if not word.edits:
        return {"term": {"words": word.text}}
    return {"fuzzy": {"words": {"value": word.text, "fuzziness": word.edits, "prefix_length": 0}}}


def _wanted(field: str, chosen: FieldFilter) -> Body:
    return {"terms": {field: list(chosen.wanted)}}


def _unwanted(field: str, chosen: FieldFilter) -> Body:
    return {"terms": {field: list(chosen.unwanted)}}


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

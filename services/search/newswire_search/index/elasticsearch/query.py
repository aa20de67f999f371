"""Converts a search request to an Elasticsearch query."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from newswire.filters import Filter
from newswire.text.query import Everything, Nothing, Prefix, Published
from newswire.text.query_matching import Analysed, Both, Either, Phrase, Variants, Without, analysed, positive_phrases
from newswire_search.index.models import FieldFilter, SearchRequest, Sort, WordMatch
from newswire_search.index.ranking import (
    EXACT_TITLE,
    HALF_LIFE_DAYS,
    PAIR_WEIGHT,
    PROXIMITY_SLOP,
    PROXIMITY_WEIGHT,
    RECENCY_WEIGHT,
    TITLE_WEIGHT,
    QueryPlan,
    group_by_language,
    index_field,
    plan_query,
)
from newswire_search.query.entitlement import field_filters, metadata_terms

DAYS_PER_REQUEST = 10_000

_ALL_WORDS_WEIGHT, _MOST_WITHOUT_ALL_WORDS = 2.0**80, 2.0**40
"""Scores are between a billionth, of a word that nearly all articles contain, and a few thousand."""

Body = dict[str, Any]
T = TypeVar("T")

ORDER: dict[Sort, list[Body]] = {
    Sort.RELEVANCE: [{"_score": "desc"}, {"published_at": "desc"}, {"id": "desc"}],
    Sort.NEWEST: [{"published_at": "desc"}, {"id": "desc"}],
    Sort.OLDEST: [{"published_at": "asc"}, {"id": "asc"}],
}


def days_aggregation(after: Body | None) -> Body:
    """Return the aggregation that counts articles by day, from the ``after_key`` of the previous response on."""
    days: Body = {
        "size": DAYS_PER_REQUEST,
        "sources": [{"day": {"date_histogram": {"field": "published_at", "calendar_interval": "day"}}}],
    }
    if after is not None:
        days["after"] = after
    return {"composite": days, "aggregations": {"updated_at": {"max": {"field": "updated_at"}}}}


def elasticsearch_query(request: SearchRequest, languages: Collection[str]) -> Body:
    """Return the scored query for the words and the filters of a request, in an index with articles in these languages."""
    query = _matching(request, languages, _scored)
    return query if request.now_ms is None else _newer_first(query, request.now_ms)


def tiered_query(request: SearchRequest, languages: Collection[str]) -> Body:
    """Return the query for articles with all of the words and, after them, those with some: see `has_all_words`.

    A weight that is a power of two changes no digit of a score, so each tier has the order that it has alone.
    """
    any_words = elasticsearch_query(replace(request, word_match=WordMatch.ANY), languages)
    all_words = _in_each_language(group_by_language(partial(analysed, request.query), languages), _boolean)
    first = {"filter": all_words, "weight": _ALL_WORDS_WEIGHT}
    return {"function_score": {"query": any_words, "functions": [first], "boost_mode": "multiply"}}


def has_all_words(score: float) -> bool:
    """Return whether an article that `tiered_query` found has all of the words."""
    return score > _MOST_WITHOUT_ALL_WORDS


def unscored_query(request: SearchRequest, languages: Collection[str]) -> Body:
    """Return the query that matches the same articles, for counting: without the time and what else is only for the score."""
    return _unscored(_matching(request, languages, _required))


def _matching(request: SearchRequest, languages: Collection[str], build: Callable[[QueryPlan], Body]) -> Body:
    required = readable(request.entitlement, languages)
    if request.fuzzy_term is not None:
        close = {"value": request.fuzzy_term.word, "fuzziness": request.fuzzy_term.max_edits, "prefix_length": 0}
        required.append({"fuzzy": {"words": close}})
    if request.since_ms is not None or request.until_ms is not None:
        required.append(_published(request.since_ms, request.until_ms))
    required += [_included(field, chosen) for field, chosen in request.filters.items() if chosen.include]
    excluded = [_excluded(field, chosen) for field, chosen in request.filters.items() if chosen.exclude]
    excluded += [_erased(version, ids) for version, ids in (request.erased or {}).items()]
    must = _in_each_language(group_by_language(partial(plan_query, request), languages), build)
    return {"bool": {"filter": required, **_nonempty("must_not", excluded), "must": [must]}}


def readable(entitlement: Filter | None, languages: Collection[str]) -> list[Body]:
    """Return the clauses for everything that a caller may read."""
    clauses: list[Body] = [{"term": {"retracted": False}}]
    if entitlement is None:
        return clauses
    for field, chosen in field_filters(entitlement):
        clauses += [_included(field, chosen)] if chosen.include else []
        clauses += [{"bool": {"must_not": _excluded(field, chosen)}}] if chosen.exclude else []
    clauses += [{"term": {"metadata": term}} for term in metadata_terms(entitlement)]
    if not isinstance(entitlement.parsed, Everything):
        clauses.append(_in_each_language(group_by_language(partial(analysed, entitlement.parsed), languages), _boolean))
    return clauses


def _erased(version: int, article_ids: Sequence[str]) -> Body:
    return {"bool": {"filter": [{"ids": {"values": list(article_ids)}}, {"range": {"version": {"lte": version}}}]}}


def _included(field: str, chosen: FieldFilter) -> Body:
    return {"terms": {field: list(chosen.include)}}


def _excluded(field: str, chosen: FieldFilter) -> Body:
    return {"terms": {field: list(chosen.exclude)}}


def _in_each_language(found: Sequence[tuple[T, Sequence[str]]], build: Callable[[T], Body]) -> Body:
    if len(found) == 1:
        return build(found[0][0])
    branches = [
        {"bool": {"must": [build(plan)], "filter": [{"terms": {"analysis": list(same)}}]}} for plan, same in found
    ]
    return {"bool": {"should": branches, "minimum_should_match": 1}}


def _newer_first(query: Body, now: int) -> Body:
    """Return the query with its scores multiplied by `newswire_search.index.ranking.recency`."""
    decay = {"origin": now, "scale": f"{HALF_LIFE_DAYS}d", "decay": 0.5}
    functions = [{"exp": {"published_at": decay}, "weight": RECENCY_WEIGHT}, {"weight": 1}]
    return {"function_score": {"query": query, "functions": functions, "score_mode": "sum", "boost_mode": "multiply"}}


def _required(plan: QueryPlan) -> Body:
    return _boolean(plan.required)


def _scored(plan: QueryPlan) -> Body:
    """Return the query for a plan: the required clauses, and those that only add to the score."""
    required = _required(plan)
    in_title = [_match("title_terms", phrase) for phrase in positive_phrases(plan.required) if phrase.field == "text"]
    should: list[Body] = []
    if in_title:
        should.append({"bool": {"should": in_title, "boost": TITLE_WEIGHT}})
    if plan.pairs:
        adjacent = [_match("text", pair) for pair in plan.pairs]
        should.append({"bool": {"should": adjacent, "boost": PAIR_WEIGHT}})
    if plan.all_words:
        near = {"query": " ".join(plan.all_words.terms), "slop": PROXIMITY_SLOP, "boost": PROXIMITY_WEIGHT}
        should.append({"match_phrase": {"text": near}})
    if plan.exact_title:
        exact = {"filter": {"term": {"whole_title": plan.exact_title}}, "boost": EXACT_TITLE}
        should.append({"constant_score": exact})
    return {"bool": {"must": [required], "should": should}} if should else required


def _boolean(query: Analysed) -> Body:
    match query:
        case Phrase(_, "text" | "joined" | "title"):
            return _match(index_field(query), query)
        case Phrase():
            return _unscored(_match(index_field(query), query))
        case Variants(parts):
            return {"dis_max": {"queries": [_boolean(part) for part in parts]}}
        case Either(parts):
            return {"bool": {"should": [_boolean(part) for part in parts], "minimum_should_match": 1}}
        case Both(parts):
            return {
                "bool": {
                    "must": [_boolean(part) for part in parts if not isinstance(part, Without)],
                    **_nonempty("must_not", [_boolean(part.part) for part in parts if isinstance(part, Without)]),
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
        case Nothing():
            return {"match_none": {}}


def _match(field: str, phrase: Phrase) -> Body:
    if len(phrase.terms) == 1:
        return {"term": {field: phrase.terms[0]}}
    return {"match_phrase": {field: " ".join(phrase.terms)}}


def _published(since: int | None, until: int | None) -> Body:
    span = {"gte": since, "lte": until}
    return {"range": {"published_at": {key: value for key, value in span.items() if value is not None}}}


def _nonempty(name: str, clauses: list[Body]) -> Body:
    return {name: clauses} if clauses else {}


def _unscored(query: Body) -> Body:
    return {"bool": {"filter": [query]}}

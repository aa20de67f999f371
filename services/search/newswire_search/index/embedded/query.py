"""Converts a search request to a tantivy query."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from tantivy import FieldType, Occur, Schema
from tantivy import Query as Tantivy

from newswire.filters import Filter
from newswire.text.query import Everything, Nothing, Prefix, Published
from newswire.text.query_matching import Analysed, Both, Either, Phrase, Variants, Without, analysed, positive_phrases
from newswire_search.index.models import FieldFilter, SearchRequest, Sort
from newswire_search.index.ranking import (
    EXACT_TITLE,
    PAIR_WEIGHT,
    PROXIMITY_SLOP,
    PROXIMITY_WEIGHT,
    TITLE_WEIGHT,
    QueryPlan,
    group_by_language,
    index_field,
    plan_query,
)
from newswire_search.query.entitlement import field_filters, metadata_terms

T = TypeVar("T")


def embedded_query(schema: Schema, request: SearchRequest, languages: Collection[str]) -> Tantivy:
    """Return the scored query for the words and the filters of a request, in an index with articles in these languages."""
    clauses: list[tuple[Occur, Tantivy]] = []
    if request.sort is Sort.RELEVANCE or not isinstance(request.query, Everything):  # else it would be read for nothing
        words = _in_each_language(schema, group_by_language(partial(plan_query, request), languages), _scored)
        clauses.append((Occur.Must, words))
    required = [readable(schema, request.entitlement, languages)]
    if request.fuzzy_term is not None:
        word, max_edits = request.fuzzy_term.word, request.fuzzy_term.max_edits
        required.append(Tantivy.fuzzy_term_query(schema, "words", word, distance=max_edits))
    if request.since_ms is not None or request.until_ms is not None:
        required.append(date_range(schema, request.since_ms, request.until_ms))
    clauses += [(Occur.MustNot, _erased(schema, version, ids)) for version, ids in (request.erased or {}).items()]
    for field, chosen in request.filters.items():
        required += _included(schema, field, chosen)
        clauses += [(Occur.MustNot, Tantivy.term_query(schema, field, value)) for value in chosen.exclude]
    clauses += [(Occur.Must, _unscored(clause)) for clause in required]
    return Tantivy.boolean_query(clauses)


def readable(schema: Schema, entitlement: Filter | None, languages: Collection[str]) -> Tantivy:
    """Return the query for everything that a caller may read."""
    published = Tantivy.term_query(schema, "retracted", False)
    if entitlement is None:
        return published
    clauses = [(Occur.Must, published)]
    for field, chosen in field_filters(entitlement):
        clauses += [(Occur.Must, clause) for clause in _included(schema, field, chosen)]
        clauses += [(Occur.MustNot, Tantivy.term_query(schema, field, value)) for value in chosen.exclude]
    clauses += [
        (Occur.Must, Tantivy.term_query(schema, "metadata", term, index_option="basic"))
        for term in metadata_terms(entitlement)
    ]
    if not isinstance(entitlement.parsed, Everything):
        clauses.append(
            (
                Occur.Must,
                _in_each_language(
                    schema, group_by_language(partial(analysed, entitlement.parsed), languages), _boolean
                ),
            )
        )
    return Tantivy.boolean_query(clauses)


def _in_each_language(
    schema: Schema, found: Sequence[tuple[T, Sequence[str]]], build: Callable[[Schema, T], Tantivy]
) -> Tantivy:
    if len(found) == 1:
        return build(schema, found[0][0])
    branches = [
        both(build(schema, plan), _unscored(Tantivy.term_set_query(schema, "analysis", list(same))))
        for plan, same in found
    ]
    return _any(branches)


def _scored(schema: Schema, plan: QueryPlan) -> Tantivy:
    """Return the query for a plan: the required clauses, and those that only add to the score."""
    required = _boolean(schema, plan.required)
    in_title = [
        _match(schema, "title_terms", phrase) for phrase in positive_phrases(plan.required) if phrase.field == "text"
    ]
    should: list[Tantivy] = []
    if in_title:
        should.append(Tantivy.boost_query(_any(in_title), TITLE_WEIGHT))
    if plan.pairs:
        should.append(Tantivy.boost_query(_any([_match(schema, "text", pair) for pair in plan.pairs]), PAIR_WEIGHT))
    if plan.all_words:
        near = Tantivy.phrase_query(schema, "text", list(plan.all_words.terms), slop=PROXIMITY_SLOP)
        should.append(Tantivy.boost_query(near, PROXIMITY_WEIGHT))
    if plan.exact_title:
        exact = Tantivy.term_query(schema, "whole_title", plan.exact_title, index_option="basic")
        should.append(Tantivy.const_score_query(exact, EXACT_TITLE))
    clauses = [(Occur.Must, required), *((Occur.Should, clause) for clause in should)]
    return Tantivy.boolean_query(clauses) if should else required


def _any(queries: list[Tantivy]) -> Tantivy:
    return Tantivy.boolean_query([(Occur.Should, query) for query in queries])


def date_range(schema: Schema, since: int | None, until: int | None) -> Tantivy:
    """Return the query for articles published in a time span in ms, both ends inclusive."""
    return Tantivy.range_query(schema, "published_at", FieldType.Integer, since, until)


def both(first: Tantivy, second: Tantivy) -> Tantivy:
    """Return the query for articles that match both queries."""
    return Tantivy.boolean_query([(Occur.Must, first), (Occur.Must, second)])


def among(schema: Schema, query: Tantivy, article_ids: Sequence[str]) -> Tantivy:
    """Return the query for those of some articles that match a query."""
    return both(query, Tantivy.term_set_query(schema, "id", list(article_ids)))


def excluding(schema: Schema, query: Tantivy, article_ids: Sequence[str]) -> Tantivy:
    """Return the query for articles that match a query, except some."""
    return Tantivy.boolean_query(
        [(Occur.Must, query), (Occur.MustNot, Tantivy.term_set_query(schema, "id", list(article_ids)))]
    )


def _erased(schema: Schema, version: int, article_ids: Sequence[str]) -> Tantivy:
    return among(schema, Tantivy.range_query(schema, "version", FieldType.Integer, None, version), article_ids)


def _included(schema: Schema, field: str, chosen: FieldFilter) -> list[Tantivy]:
    return [Tantivy.term_set_query(schema, field, list(chosen.include))] if chosen.include else []


def _boolean(schema: Schema, query: Analysed) -> Tantivy:
    match query:
        case Phrase(_, "text" | "joined" | "title"):
            return _match(schema, index_field(query), query)
        case Phrase():
            return _unscored(_match(schema, index_field(query), query))
        case Variants(parts):
            return Tantivy.disjunction_max_query([_boolean(schema, part) for part in parts])
        case Either(parts):
            return _any([_boolean(schema, part) for part in parts])
        case Both(parts):
            return _all(schema, parts)
        case Without():
            return _all(schema, (query,))
        case Prefix(beginning):
            return Tantivy.const_score_query(Tantivy.regex_query(schema, "words", f"{beginning}.*"), 1.0)
        case Published(since, until):
            return _unscored(date_range(schema, since, until))
        case Everything():
            return Tantivy.const_score_query(Tantivy.all_query(), 1.0)
        case Nothing():
            return Tantivy.empty_query()


def _all(schema: Schema, parts: tuple[Analysed, ...]) -> Tantivy:
    clauses = [
        (Occur.MustNot, _boolean(schema, part.part))
        if isinstance(part, Without)
        else (Occur.Must, _boolean(schema, part))
        for part in parts
    ]
    if all(occur == Occur.MustNot for occur, _ in clauses):
        # Exclusions alone would match nothing: they need a clause to exclude from.
        clauses.append((Occur.Must, Tantivy.const_score_query(Tantivy.all_query(), 1.0)))
    return Tantivy.boolean_query(clauses)


def _match(schema: Schema, field: str, phrase: Phrase) -> Tantivy:
    if len(phrase.terms) == 1:
        return Tantivy.term_query(schema, field, phrase.terms[0])
    return Tantivy.phrase_query(schema, field, list(phrase.terms))


def _unscored(query: Tantivy) -> Tantivy:
    return Tantivy.const_score_query(query, 0.0)

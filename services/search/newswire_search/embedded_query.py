"""A search request as tantivy queries."""

from tantivy import FieldType, Occur, Schema
from tantivy import Query as Tantivy

from newswire.filters import Filter
from newswire.query import All, Any_, Everything, Not, Phrase, Query
from newswire_search.entitlement import field_filters, metadata_terms
from newswire_search.index import FieldFilter, SearchRequest, Word
from newswire_search.ranking import TITLE_WEIGHT, sought


def embedded_query(schema: Schema, request: SearchRequest) -> Tantivy:
    """Return the scored query for the words and the filters of a request."""
    clauses = [(Occur.Must, _boolean(schema, request.query))]
    in_title = [(Occur.Should, _phrase(schema, "title_terms", phrase)) for phrase in sought(request.query)]
    if in_title:
        clauses.append((Occur.Should, Tantivy.boost_query(Tantivy.boolean_query(in_title), TITLE_WEIGHT)))
    required = [readable(schema, request.entitlement)]
    required += [_holding(schema, word) for word in request.words]
    if request.since is not None or request.until is not None:
        required.append(date_range(schema, request.since, request.until))
    for field, chosen in request.filters.items():
        required += _wanted(schema, field, chosen)
        clauses += [(Occur.MustNot, Tantivy.term_query(schema, field, value)) for value in chosen.unwanted]
    clauses += [(Occur.Must, Tantivy.const_score_query(clause, 0.0)) for clause in required]
    return Tantivy.boolean_query(clauses)


def readable(schema: Schema, entitlement: Filter | None) -> Tantivy:
    """Return the query for what a caller may read at all."""
    published = Tantivy.term_query(schema, "retracted", False)
    if entitlement is None:
        return published
    clauses = [(Occur.Must, published)]
    for field, chosen in field_filters(entitlement):
        clauses += [(Occur.Must, wanted) for wanted in _wanted(schema, field, chosen)]
        clauses += [(Occur.MustNot, Tantivy.term_query(schema, field, value)) for value in chosen.unwanted]
    clauses += [
        (Occur.Must, Tantivy.term_query(schema, "metadata", term, index_option="basic"))
        for term in metadata_terms(entitlement)
    ]
    if not isinstance(entitlement.parsed, Everything):
        clauses.append((Occur.Must, _boolean(schema, entitlement.parsed)))
    return Tantivy.boolean_query(clauses)


def _holding(schema: Schema, word: Word) -> Tantivy:
    if not word.edits:
        return Tantivy.term_query(schema, "words", word.text, index_option="basic")
    return Tantivy.fuzzy_term_query(schema, "words", word.text, distance=word.edits)


def date_range(schema: Schema, since: int | None, until: int | None) -> Tantivy:
    """Return the query for what was published in a span of ms, both ends inclusive."""
    return Tantivy.range_query(schema, "published_at", FieldType.Integer, since, until)


def both(first: Tantivy, second: Tantivy) -> Tantivy:
    """Return the query for what two queries find."""
    return Tantivy.boolean_query([(Occur.Must, first), (Occur.Must, second)])


def _wanted(schema: Schema, field: str, chosen: FieldFilter) -> list[Tantivy]:
    return [Tantivy.term_set_query(schema, field, list(chosen.wanted))] if chosen.wanted else []


def _boolean(schema: Schema, query: Query) -> Tantivy:
    match query:
        case Phrase():
            return _phrase(schema, "text", query)
        case Any_(parts):
            return Tantivy.boolean_query([(Occur.Should, _boolean(schema, part)) for part in parts])
        case All(parts):
            return _all(schema, parts)
        case Not():
            return _all(schema, (query,))
        case Everything():
            return Tantivy.const_score_query(Tantivy.all_query(), 1.0)


def _all(schema: Schema, parts: tuple[Query, ...]) -> Tantivy:
    clauses = [
        (Occur.MustNot, _boolean(schema, part.part)) if isinstance(part, Not) else (Occur.Must, _boolean(schema, part))
        for part in parts
    ]
    if all(occur == Occur.MustNot for occur, _ in clauses):
        # A query of exclusions alone would find nothing: there must be something to exclude from.
        clauses.append((Occur.Must, Tantivy.const_score_query(Tantivy.all_query(), 1.0)))
    return Tantivy.boolean_query(clauses)


def _phrase(schema: Schema, field: str, phrase: Phrase) -> Tantivy:
    if len(phrase.terms) == 1:
        return Tantivy.term_query(schema, field, phrase.terms[0])
    return Tantivy.phrase_query(schema, field, list(phrase.terms))

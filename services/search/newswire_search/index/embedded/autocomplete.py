"""Completions from the embedded index."""

from collections.abc import Collection, Iterator
from operator import itemgetter

from tantivy import DocAddress, Occur, Order, Schema, Searcher
from tantivy import Query as Tantivy

from newswire_search.index.embedded.query import both, readable
from newswire_search.index.embedded.stored_articles import read_article
from newswire_search.index.mapping import FACET_SUFFIX, SEPARATOR, WORDS_SUFFIX
from newswire_search.index.models import Completion, CompletionKind, CompletionRequest
from newswire_search.query.autocomplete import NAMES, completes, distinct, may_be_mistyped

MAX_NAMES = 50
"""Names are taken from this many of the most frequent names of matching articles."""


def completions(
    searcher: Searcher, schema: Schema, request: CompletionRequest, languages: Collection[str]
) -> list[Completion]:
    """Return titles, topics and authors that complete what was typed."""
    containing = {kind: _containing(schema, request, kind) for kind in CompletionKind}
    admitted = readable(schema, request.entitlement, languages)
    titles = distinct(_titles(searcher, both(admitted, containing[CompletionKind.TITLE]), request.limit), request.limit)
    either = Tantivy.boolean_query([(Occur.Should, containing[kind]) for kind in NAMES])
    return [*titles, *_names(searcher, schema, both(admitted, either), request)]


def _containing(schema: Schema, request: CompletionRequest, kind: CompletionKind) -> Tantivy:
    field = kind + WORDS_SUFFIX
    *whole, last = request.words
    edits = [int(may_be_mistyped(request, word)) for word in request.words]
    clauses = [
        Tantivy.fuzzy_term_query(schema, field, word, distance=edit) for word, edit in zip(whole, edits, strict=False)
    ]
    clauses.append(Tantivy.fuzzy_term_query(schema, field, last, distance=edits[-1], prefix=True))
    return Tantivy.boolean_query([(Occur.Must, clause) for clause in clauses])


def _titles(searcher: Searcher, query: Tantivy, limit: int) -> Iterator[Completion]:
    for _, address in _newest(searcher, query, limit):
        article = read_article(searcher.doc(address)["article"], with_body=False, with_text=False)
        yield Completion(CompletionKind.TITLE, article["title"], article["id"], article["version"])


def _names(searcher: Searcher, schema: Schema, query: Tantivy, request: CompletionRequest) -> list[Completion]:
    aggregations = {kind: {"terms": {"field": kind + FACET_SUFFIX, "size": MAX_NAMES}} for kind in NAMES}
    counted = searcher.aggregate(query, aggregations)
    found: list[Completion] = []
    for kind in NAMES:
        matches: list[tuple[int, Completion]] = []
        for bucket in counted[kind]["buckets"]:
            name = bucket["key"].partition(SEPARATOR)[2]
            if len(matches) < request.limit and completes(request, name):
                with_name = Tantivy.term_query(schema, kind + FACET_SUFFIX, bucket["key"], index_option="basic")
                ((at, address),) = _newest(searcher, both(query, with_name), 1)
                (version,) = searcher.fast_field_values("version", [address])
                matches.append((at, Completion(kind, name, searcher.doc(address)["id"][0], int(version or 0))))
        matches.sort(key=itemgetter(0), reverse=True)
        found += distinct((each for _, each in matches), request.limit)
    return found


def _newest(searcher: Searcher, query: Tantivy, limit: int) -> list[tuple[int, DocAddress]]:
    # By time alone: sorting by `DATE_ORDER` would be exact for equal times, but takes ten times as long.
    return searcher.search(query, limit=limit, count=False, order_by_field="published_at", order=Order.Desc).hits

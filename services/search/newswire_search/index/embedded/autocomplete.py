"""Completions from the embedded index."""

from collections.abc import Collection, Iterator
from operator import itemgetter

from tantivy import DocAddress, Occur, Order, Schema, Searcher
from tantivy import Query as Tantivy

from newswire_search.index.embedded.query import both, readable
from newswire_search.index.embedded.stored_articles import read_article
from newswire_search.index.mapping import FACET_SUFFIX, SEPARATOR, WORDS_SUFFIX
from newswire_search.index.port import Completion, CompletionKind, CompletionRequest
from newswire_search.query.autocomplete import NAMES, distinct, goes_on, may_be_mistyped

MAX_NAMES = 50
"""Names are taken from this many that most articles bear, among all that stand beside one that was meant."""


def completions(
    searcher: Searcher, schema: Schema, request: CompletionRequest, languages: Collection[str]
) -> list[Completion]:
    """Return titles, topics and authors that go on as typed."""
    holding = {kind: _holding(schema, request, kind) for kind in CompletionKind}
    admitted = readable(schema, request.entitlement, languages)
    titles = distinct(_titles(searcher, both(admitted, holding[CompletionKind.TITLE]), request.limit), request.limit)
    either = Tantivy.boolean_query([(Occur.Should, holding[kind]) for kind in NAMES])
    return [*titles, *_names(searcher, schema, both(admitted, either), request)]


def _holding(schema: Schema, request: CompletionRequest, kind: CompletionKind) -> Tantivy:
    field = kind + WORDS_SUFFIX
    *whole, last = request.words
    slips = [int(may_be_mistyped(request, word)) for word in request.words]
    held = [
        Tantivy.fuzzy_term_query(schema, field, word, distance=slip) for word, slip in zip(whole, slips, strict=False)
    ]
    held.append(Tantivy.fuzzy_term_query(schema, field, last, distance=slips[-1], prefix=True))
    return Tantivy.boolean_query([(Occur.Must, clause) for clause in held])


def _titles(searcher: Searcher, query: Tantivy, limit: int) -> Iterator[Completion]:
    for _, address in _newest(searcher, query, limit):
        article = read_article(searcher.doc(address)["article"], with_body=False, with_text=False)
        yield Completion(CompletionKind.TITLE, article["title"], article["id"], article["version"])


def _names(searcher: Searcher, schema: Schema, query: Tantivy, request: CompletionRequest) -> list[Completion]:
    asked = {kind: {"terms": {"field": kind + FACET_SUFFIX, "size": MAX_NAMES}} for kind in NAMES}
    counted = searcher.aggregate(query, asked)
    found: list[Completion] = []
    for kind in NAMES:
        borne: list[tuple[int, Completion]] = []
        for bucket in counted[kind]["buckets"]:
            name = bucket["key"].partition(SEPARATOR)[2]
            if len(borne) < request.limit and goes_on(request, name):
                bearing = Tantivy.term_query(schema, kind + FACET_SUFFIX, bucket["key"], index_option="basic")
                ((at, address),) = _newest(searcher, both(query, bearing), 1)
                (version,) = searcher.fast_field_values("version", [address])
                borne.append((at, Completion(kind, name, searcher.doc(address)["id"][0], int(version or 0))))
        borne.sort(key=itemgetter(0), reverse=True)
        found += distinct((each for _, each in borne), request.limit)
    return found


def _newest(searcher: Searcher, query: Tantivy, limit: int) -> list[tuple[int, DocAddress]]:
    # By the time alone: by "moment" the order would be exact among equals, and ten times as slow.
    return searcher.search(query, limit=limit, count=False, order_by_field="published_at", order=Order.Desc).hits

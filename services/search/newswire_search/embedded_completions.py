"""Completions from the embedded index."""

from collections.abc import Collection, Iterator
from operator import itemgetter

import orjson
from tantivy import Occur, Order, Schema, Searcher
from tantivy import Query as Tantivy

from newswire_search.completing import distinct, goes_on, may_be_mistyped
from newswire_search.embedded_moment import read_moment
from newswire_search.embedded_query import both, readable
from newswire_search.index import Beginning, Completion, Kind
from newswire_search.mapping import FACET_SUFFIX, SEPARATOR, WORDS_SUFFIX

MOST_NAMES = 50
"""Names are taken from this many that most articles bear, among all that stand beside one that was meant."""


def completions(
    searcher: Searcher, schema: Schema, beginning: Beginning, languages: Collection[str]
) -> list[Completion]:
    """Return titles, topics and authors that go on as typed."""
    titles = distinct(
        _titles(searcher, _holding(schema, beginning, languages, Kind.TITLE), beginning.limit), beginning.limit
    )
    names = [
        each for kind in (Kind.TOPIC, Kind.AUTHOR) for each in _names(searcher, schema, beginning, languages, kind)
    ]
    return [*titles, *names]


def _holding(schema: Schema, beginning: Beginning, languages: Collection[str], kind: Kind) -> Tantivy:
    field = kind + WORDS_SUFFIX
    *whole, last = beginning.words
    held = [
        Tantivy.fuzzy_term_query(schema, field, word, distance=int(may_be_mistyped(beginning, word))) for word in whole
    ]
    held.append(
        Tantivy.fuzzy_term_query(schema, field, last, distance=int(may_be_mistyped(beginning, last)), prefix=True)
    )
    return Tantivy.boolean_query(
        [(Occur.Must, clause) for clause in (readable(schema, beginning.entitlement, languages), *held)]
    )


def _titles(searcher: Searcher, query: Tantivy, limit: int) -> Iterator[Completion]:
    newest = searcher.search(query, limit=limit, count=False, order_by_field="moment", order=Order.Desc).hits
    for _, address in newest:
        article = orjson.loads(searcher.doc(address)["article"][0])
        yield Completion(Kind.TITLE, article["title"], article["id"], article["version"])


def _names(
    searcher: Searcher, schema: Schema, beginning: Beginning, languages: Collection[str], kind: Kind
) -> list[Completion]:
    query = _holding(schema, beginning, languages, kind)
    field = kind + FACET_SUFFIX
    counted = searcher.aggregate(query, {kind: {"terms": {"field": field, "size": MOST_NAMES}}})[kind]["buckets"]
    meant = [bucket["key"] for bucket in counted if goes_on(beginning, bucket["key"].partition(SEPARATOR)[2])]
    found = []
    for held in meant[: beginning.limit]:
        bearing = both(query, Tantivy.term_query(schema, field, held, index_option="basic"))
        ((moment, address),) = searcher.search(
            bearing, limit=1, count=False, order_by_field="moment", order=Order.Desc
        ).hits
        (version,) = searcher.fast_field_values("version", [address])
        _, article_id = read_moment(moment)
        found.append((moment, Completion(kind, held.partition(SEPARATOR)[2], article_id, int(version or 0))))
    return [completion for _, completion in sorted(found, key=itemgetter(0), reverse=True)]

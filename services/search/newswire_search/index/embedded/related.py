"""Related articles in the embedded index, which provides the document frequency of a term."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from tantivy import Occur, Schema, Searcher
from tantivy import Query as Tantivy

from newswire.filters import Filter
from newswire_search.index.embedded.query import readable
from newswire_search.index.related import (
    MAX_ARTICLES_PER_TERM,
    MAX_TERMS,
    MIN_ARTICLES_PER_TERM,
    MIN_SHARED_TERMS_RATIO,
    language_pattern,
    terms_of,
)


def related_query(
    searcher: Searcher,
    schema: Schema,
    article: Mapping[str, Any],
    entitlement: Filter | None,
    languages: Collection[str],
) -> Tantivy:
    """Return the scored query for articles that share the most significant terms of this one."""
    weights: dict[str, float] = {}
    for term, count in terms_of(article).items():
        document_frequency = searcher.doc_freq("text", term)
        if MIN_ARTICLES_PER_TERM <= document_frequency <= MAX_ARTICLES_PER_TERM:
            weights[term] = count * (1 + math.log((searcher.num_docs + 1) / (document_frequency + 1)))
    significant = sorted(weights, key=lambda term: (-weights[term], term))[:MAX_TERMS]
    if not significant:
        return Tantivy.empty_query()
    similar = Tantivy.boolean_query(
        [(Occur.Should, Tantivy.term_query(schema, "text", term)) for term in significant],
        minimum_number_should_match=max(1, int(len(significant) * MIN_SHARED_TERMS_RATIO)),
    )
    admitted = (
        readable(schema, entitlement, languages),
        Tantivy.regex_query(schema, "language", language_pattern(article)),
    )
    return Tantivy.boolean_query(
        [
            (Occur.Must, similar),
            *((Occur.Must, Tantivy.const_score_query(clause, 0.0)) for clause in admitted),
            (Occur.MustNot, Tantivy.term_query(schema, "id", article["id"], index_option="basic")),
        ]
    )

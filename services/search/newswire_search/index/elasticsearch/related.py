"""Related articles on Elasticsearch, which selects the most significant terms itself."""

from collections.abc import Collection, Mapping
from typing import Any

from newswire.filters import Filter
from newswire_search.index.elasticsearch.query import Body, readable
from newswire_search.index.related import (
    MAX_ARTICLES_PER_TERM,
    MAX_TERMS,
    MIN_ARTICLES_PER_TERM,
    MIN_SHARED_TERMS_RATIO,
    language_pattern,
    terms_of,
)


def related_query(article: Mapping[str, Any], entitlement: Filter | None, languages: Collection[str]) -> Body:
    """Return the scored query for articles that share the most significant terms of this one."""
    similar = {
        "more_like_this": {
            "fields": ["text"],
            # Terms rather than an id: the server does not store text or terms of a document in a readable form.
            "like": " ".join(terms_of(article).elements()),
            "min_term_freq": 1,
            "min_doc_freq": MIN_ARTICLES_PER_TERM,
            "max_doc_freq": MAX_ARTICLES_PER_TERM,
            "max_query_terms": MAX_TERMS,
            "minimum_should_match": f"{MIN_SHARED_TERMS_RATIO:.0%}",
        }
    }
    language = {"regexp": {"language": {"value": language_pattern(article), "flags": "NONE"}}}
    return {
        "bool": {
            "must": [similar],
            "filter": [*readable(entitlement, languages), language],
            "must_not": [{"ids": {"values": [article["id"]]}}],
        }
    }

"""Entitlements: the filter of a caller's account, which restricts everything it may read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from newswire.article import Article
from newswire.filters import PARAMETERS, ArticleFeatures, Filter
from newswire.text.folding import fold
from newswire_search.index.mapping import metadata_term
from newswire_search.index.models import FieldFilter


def may_read(entitlement: Filter | None, article: Mapping[str, Any]) -> bool:
    """Return whether an entitlement allows reading an article, as it is in the index."""
    if entitlement is None:
        return True
    # Articles in lists lack body and text unless a query needs them.
    return entitlement.matches(ArticleFeatures.of(Article.model_validate({"body": "", **article})))


def filter_readable(entitlement: Filter | None, articles: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those articles that an entitlement allows reading."""
    return [article for article in articles if may_read(entitlement, article)]


def field_filters(entitlement: Filter) -> Iterable[tuple[str, FieldFilter]]:
    """Return the field filters of an entitlement."""
    for field, name in PARAMETERS.items():
        included, excluded = entitlement.wanted(name), entitlement.unwanted(name)
        if included or excluded:
            yield field, FieldFilter(tuple(sorted(included)), tuple(sorted(excluded)))


def metadata_terms(entitlement: Filter) -> list[str]:
    """Return the metadata pairs that an entitlement requires, in their indexed form."""
    return [metadata_term(fold(name), fold(value)) for name, value in entitlement.metadata.items()]

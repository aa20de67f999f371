"""What a caller may read: the filter of its account, which narrows all that it is given."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from newswire.article import Article
from newswire.filters import PARAMETERS, ArticleFeatures, Filter
from newswire.text.folding import fold
from newswire_search.index.mapping import metadata_term
from newswire_search.index.port import FieldFilter


def may_read(entitlement: Filter | None, article: Mapping[str, Any]) -> bool:
    """Tell whether an article, as the index holds it, is among those that a filter admits."""
    if entitlement is None:
        return True
    # Lists come without body and text, where no query has to see them.
    return entitlement.matches(ArticleFeatures.of(Article.model_validate({"body": "", **article})))


def filter_readable(entitlement: Filter | None, articles: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those articles that a filter admits."""
    return [article for article in articles if may_read(entitlement, article)]


def field_filters(entitlement: Filter) -> Iterable[tuple[str, FieldFilter]]:
    """Return what a filter asks of the fields of the index."""
    for field, name in PARAMETERS.items():
        wanted, unwanted = entitlement.wanted(name), entitlement.unwanted(name)
        if wanted or unwanted:
            yield field, FieldFilter(tuple(sorted(wanted)), tuple(sorted(unwanted)))


def metadata_terms(entitlement: Filter) -> list[str]:
    """Return the pairs of metadata that a filter asks for, as the index holds them."""
    return [metadata_term(fold(name), fold(value)) for name, value in entitlement.metadata.items()]

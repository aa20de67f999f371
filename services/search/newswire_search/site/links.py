"""Addresses on this site: of articles, feeds, and searches that differ from the current one by a filter or a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from newswire.text.folding import fold
from newswire_search.index.models import FACETS, FacetCount
from newswire_search.query.parameters import FILTER_SCALARS

QueryPairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class FacetLink:
    """A facet value as a link that adds the filter, or removes it."""

    value: str
    count: int
    href: str
    selected: bool
    label: str = ""
    """The value as readers see it."""


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """An active filter, and the address of the search without it."""

    name: str
    value: str
    excluded: bool
    href: str


def slug_of(article: Mapping[str, Any]) -> str:
    """Return the last part of an article's address."""
    return str(article["url"]).rstrip("/").rsplit("/", 1)[-1]


def path_of(article: Mapping[str, Any]) -> str:
    """Return the path of an article on this site."""
    return f"/articles/{article['id']}/{slug_of(article)}"


LISTING_PATHS: dict[str, str] = {"category": "/sections", "topic": "/topics", "author": "/authors"}
_DOT_SEGMENTS = (".", "..")


def label_path(field: str, value: str) -> str:
    """Return the path of the page of a category, topic or author, or of the search for another field.

    Browsers resolve a segment of dots, encoded or not, so such a label has a search.
    """
    if field not in LISTING_PATHS or value in _DOT_SEGMENTS:
        return search_path([(field, value)])
    return f"{LISTING_PATHS[field]}/{quote(value, safe='')}"


def filter_pairs(pairs: QueryPairs) -> list[tuple[str, str]]:
    """Return the parameters that choose articles, without those that sort or page them."""
    return [(name, value) for name, value in pairs if name in (*FILTER_SCALARS, *FACETS)]


def feed_address(pairs: QueryPairs, feed_format: str) -> str:
    """Return the address of the feed of a search; sort order and page do not matter."""
    kept = filter_pairs(pairs)
    if not kept:
        return f"/feeds/latest.{feed_format}"
    (name, value), *more = kept
    if more or name not in FACETS or value.startswith("-"):
        return f"/feeds/search.{feed_format}?{urlencode(kept)}"
    return f"/feeds/{name}/{quote(value, safe='')}.{feed_format}"


def search_path(pairs: QueryPairs) -> str:
    """Return the path of a search page."""
    return f"/search?{urlencode(list(pairs))}" if pairs else "/search"


def with_cursor(pairs: QueryPairs, cursor: str | None) -> str | None:
    """Return the path of the next page, or None after the last."""
    return search_path([*_without_cursor(pairs), ("cursor", cursor)]) if cursor else None


def listing_page(path: str, cursor: str | None) -> str | None:
    """Return the path of the next page of a section, topic or author, or None after the last."""
    return f"{path}?{urlencode([('cursor', cursor)])}" if cursor else None


def with_query(pairs: QueryPairs, q: str | None) -> str | None:
    """Return the path of the same search with another query, or None without one."""
    return search_path([(name, q if name == "q" else value) for name, value in _without_cursor(pairs)]) if q else None


def facet_links(name: str, counts: Sequence[FacetCount], pairs: QueryPairs) -> list[FacetLink]:
    """Return the values of a facet as links."""
    rest = _without_cursor(pairs)
    links = []
    for found in counts:
        same = [pair for pair in rest if pair[0] == name and fold(pair[1]) == fold(found.value)]
        others = [pair for pair in rest if pair not in same]
        links.append(
            FacetLink(
                found.value, found.count, search_path(others if same else [*rest, (name, found.value)]), bool(same)
            )
        )
    return links


def active_filters(pairs: QueryPairs, names: Mapping[str, str]) -> list[ActiveFilter]:
    """Return the active filters, without those of other parameters."""
    rest = _without_cursor(pairs)
    return [
        ActiveFilter(
            names[name],
            value.removeprefix("-"),
            value.startswith("-"),
            search_path([p for p in rest if p != (name, value)]),
        )
        for name, value in rest
        if name in names
    ]


def _without_cursor(pairs: QueryPairs) -> list[tuple[str, str]]:
    return [pair for pair in pairs if pair[0] != "cursor"]

"""Addresses on this site: of articles, of searches that differ from this one by a filter or a page, of feeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from newswire.text.folding import fold
from newswire_search.index.port import FACETS, FacetCount
from newswire_search.query.parameters import FILTER_SCALARS

QueryPairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class FacetLink:
    """A facet value as a link that turns the filter on, or off again."""

    value: str
    count: int
    href: str
    on: bool


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """A filter in force, and the address without it."""

    name: str
    value: str
    excluded: bool
    href: str


def slug_of(article: Mapping[str, Any]) -> str:
    """Return the last part of an article's address."""
    return str(article["url"]).rstrip("/").rsplit("/", 1)[-1]


def path_of(article: Mapping[str, Any]) -> str:
    """Return where on this site an article is."""
    return f"/articles/{article['id']}/{slug_of(article)}"


def narrowed(sent: QueryPairs) -> list[tuple[str, str]]:
    """Return those parameters that say which articles are wanted, not how they are shown."""
    return [(name, value) for name, value in sent if name in (*FILTER_SCALARS, *FACETS)]


def feed_address(sent: QueryPairs, form: str) -> str:
    """Return the address of the feed, in a format, of what a search asks for; order and page do not matter to it."""
    kept = narrowed(sent)
    if not kept:
        return f"/feeds/latest.{form}"
    (name, value), *more = kept
    if more or name not in FACETS or value.startswith("-"):
        return f"/feeds/search.{form}?{urlencode(kept)}"
    return f"/feeds/{name}/{quote(value, safe='')}.{form}"


def address(sent: QueryPairs) -> str:
    """Return the address of a search."""
    return f"/search?{urlencode(list(sent))}" if sent else "/search"


def with_cursor(sent: QueryPairs, cursor: str | None) -> str | None:
    """Return the address of the next page, if there is one."""
    return address([*_without_cursor(sent), ("cursor", cursor)]) if cursor else None


def with_query(sent: QueryPairs, q: str | None) -> str | None:
    """Return the address of the same search for something else, if there is anything."""
    return address([(name, q if name == "q" else value) for name, value in _without_cursor(sent)]) if q else None


def facet_links(name: str, counts: Sequence[FacetCount], sent: QueryPairs) -> list[FacetLink]:
    """Return the values of a facet as links."""
    rest = _without_cursor(sent)
    made = []
    for found in counts:
        same = [pair for pair in rest if pair[0] == name and fold(pair[1]) == fold(found.value)]
        others = [pair for pair in rest if pair not in same]
        made.append(
            FacetLink(found.value, found.count, address(others if same else [*rest, (name, found.value)]), bool(same))
        )
    return made


def active_filters(sent: QueryPairs, names: Mapping[str, str]) -> list[ActiveFilter]:
    """Return the filters in force."""
    rest = _without_cursor(sent)
    return [
        ActiveFilter(
            names[name],
            value.removeprefix("-"),
            value.startswith("-"),
            address([p for p in rest if p != (name, value)]),
        )
        for name, value in rest
        if name in names
    ]


def _without_cursor(sent: QueryPairs) -> list[tuple[str, str]]:
    return [pair for pair in sent if pair[0] != "cursor"]

"""Addresses of searches that differ from this one by a filter or a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from newswire.folding import fold
from newswire_search.index import FacetCount

Sent = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Choice:
    """A facet value as a link that turns the filter on, or off again."""

    value: str
    count: int
    href: str
    on: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """A filter in force, and the address without it."""

    name: str
    value: str
    excluded: bool
    href: str


def address(sent: Sent) -> str:
    """Return the address of a search."""
    return f"/search?{urlencode(list(sent))}" if sent else "/search"


def with_cursor(sent: Sent, cursor: str | None) -> str | None:
    """Return the address of the next page, if there is one."""
    return address([*_without_cursor(sent), ("cursor", cursor)]) if cursor else None


def with_query(sent: Sent, q: str | None) -> str | None:
    """Return the address of the same search for something else, if there is anything."""
    return address([(name, q if name == "q" else value) for name, value in _without_cursor(sent)]) if q else None


def choices(name: str, counts: Sequence[FacetCount], sent: Sent) -> list[Choice]:
    """Return the values of a facet as links."""
    rest = _without_cursor(sent)
    made = []
    for found in counts:
        same = [pair for pair in rest if pair[0] == name and fold(pair[1]) == fold(found.value)]
        others = [pair for pair in rest if pair not in same]
        made.append(
            Choice(found.value, found.count, address(others if same else [*rest, (name, found.value)]), bool(same))
        )
    return made


def applied(sent: Sent, names: Mapping[str, str]) -> list[Applied]:
    """Return the filters in force."""
    rest = _without_cursor(sent)
    return [
        Applied(
            names[name],
            value.removeprefix("-"),
            value.startswith("-"),
            address([p for p in rest if p != (name, value)]),
        )
        for name, value in rest
        if name in names
    ]


def _without_cursor(sent: Sent) -> list[tuple[str, str]]:
    return [pair for pair in sent if pair[0] != "cursor"]

"""The query parameters of a search, parsed strictly."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from newswire.cost_limits import FILTER_VALUES, HIGHLIGHTED_CHARACTERS, QUERY_PREFIXES
from newswire.filters import Filter
from newswire.http.problems import invalid
from newswire.http.request_parsing import query_params
from newswire.text import query as language
from newswire.text.folding import fold
from newswire.timestamps import epoch_ms_nearest
from newswire.validation.rfc3339 import parse_date_time, parse_full_date
from newswire_search.index.mapping import DAY_MS
from newswire_search.index.models import (
    FACETS,
    FieldFilter,
    SearchRequest,
    Sort,
)
from newswire_search.index.ranking import recency_counts

FILTER_SCALARS = ("q", "from", "to")
SCALARS = (*FILTER_SCALARS, "sort", "limit", "cursor", "fields", "facets")
EXTRA_FIELDS = ("body", "text")
MAX_VALUES_PER_FILTER = 100
MAX_IDS = 100
MAX_SUGGESTIONS = 20

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_MONTH_SCHEMA = WithJsonSchema({"type": "string", "pattern": "^-?[0-9]{4}-(0[1-9]|1[0-2])$"})
_MONTHS = "as 2026-03, in UTC; repeatable: any of the values; a leading '-' excludes"
_FILTER = "repeatable: any of the values; a leading '-' excludes"
_VALUES = Annotated[list[str], Field(max_length=MAX_VALUES_PER_FILTER, description=_FILTER)]
_EXTRA = "'body', 'text' or both, comma-separated: added to each result"
_COUNTED = f"which of {', '.join(FACETS)} are counted, comma-separated; empty: none; default: all"
_DATE = "a date (the whole UTC day) or an RFC 3339 date-time; inclusive"


_DATE_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}], "description": _DATE}
)


class SearchFilterParams(BaseModel):
    """The parameters that select articles, for searches and feeds alike."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[
        str, Field(description='words, "phrases", OR, NOT or -, (…), prefix*, field:, published:2026-01..2026-03')
    ] = ""
    from_: Annotated[str | None, Field(alias="from", description=_DATE), _DATE_SCHEMA] = None
    to: Annotated[str | None, Field(description=_DATE), _DATE_SCHEMA] = None
    category: _VALUES = []
    topic: _VALUES = []
    author: _VALUES = []
    publisher: _VALUES = []
    language: _VALUES = []
    month: Annotated[
        list[Annotated[str, _MONTH_SCHEMA]],
        Field(max_length=MAX_VALUES_PER_FILTER, description=f"as 2026-03, in UTC; {_FILTER}"),
    ] = []


class SearchParams(SearchFilterParams):
    """The parameters of ``GET /v1/search``."""

    sort: Annotated[Sort | None, Field(description="default: relevance with words in q, otherwise newest")] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str | None, Field(description="'next_cursor' of the previous page")] = None
    fields: Annotated[
        str | None,
        Field(description=_EXTRA),
        WithJsonSchema({"type": "string", "pattern": "^((body|text)(,(body|text))*)?$", "description": _EXTRA}),
    ] = None
    facets: Annotated[
        str | None,
        Field(description=_COUNTED),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^(({'|'.join(FACETS)})(,({'|'.join(FACETS)}))*)?$",
                "description": _COUNTED,
            }
        ),
    ] = None
    ids: Annotated[
        list[str],
        Field(description=f"up to {MAX_IDS} article ids, comma-separated or repeated; results are in this order"),
    ] = []


class SuggestParams(BaseModel):
    """The parameters of ``GET /v1/search/suggest``."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, Field(description="the text typed so far")] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_SUGGESTIONS)] = 10
    format: Annotated[
        Literal["json", "opensearch"],
        Field(description="'opensearch': OpenSearch Suggestions 1.0, which browsers read"),
    ] = "json"


class RelatedParams(BaseModel):
    """The parameters of ``GET /v1/search/related/{id}``."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MAX_SUGGESTIONS)] = 5


search_params = query_params(SearchParams)
search_filter_params = query_params(SearchFilterParams)
suggest_params = query_params(SuggestParams)
related_params = query_params(RelatedParams)


def requested_ids(params: SearchParams) -> list[str]:
    """Return the ids of the requested articles, each once; none if this is a search.

    Raises:
        ProblemError: 422 for no or too many ids, or for other parameters that would filter or sort.
    """
    if not params.ids:
        return []
    for name, field in SearchParams.model_fields.items():
        if name not in ("ids", "fields") and getattr(params, name) != field.default:
            raise invalid(field.alias or name, "cannot be combined with 'ids'", "send 'ids' alone, or with 'fields'")
    ids = list(dict.fromkeys(one.strip() for several in params.ids for one in several.split(",") if one.strip()))
    if not 1 <= len(ids) <= MAX_IDS:
        raise invalid("ids", f"names {len(ids)} articles", f"send 1 to {MAX_IDS} ids")
    return ids


def extra_fields(params: SearchParams) -> tuple[str, ...]:
    """Return the members to add to each result."""
    return _names("fields", params.fields or "", EXTRA_FIELDS)


def _names(parameter: str, sent: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names in a comma-separated parameter, each once.

    Raises:
        ProblemError: 422 for one that is not among the known ones.
    """
    names = tuple(dict.fromkeys(name.strip() for name in sent.split(",") if name.strip()))
    for name in names:
        if name not in known:
            raise invalid(parameter, f"'{name[:50]}' is unknown", f"send any of: {', '.join(known)}")
    return names


def to_request(
    params: SearchParams,
    entitlement: Filter | None = None,
    *,
    snapshot_owner: str = "",
    erased: Mapping[int, Sequence[str]] | None = None,
    clock: Callable[[], float] = time.time,
) -> SearchRequest:
    """Return the first page that the parameters request, within what the caller may read; the cursor is not read here.

    ``snapshot_owner`` and ``erased`` are those of `SearchRequest`.

    Raises:
        ProblemError: 422 for an invalid value.
    """
    try:
        query = language.parse(params.q)
    except language.QueryTooLongError as error:
        raise invalid("q", str(error), "send a shorter query") from None
    _check_cost(query, params)
    since = _instant("from", params.from_, end=False) if params.from_ is not None else None
    until = _instant("to", params.to, end=True) if params.to is not None else None
    if since is not None and until is not None and since > until:
        raise invalid("from", "is after 'to'", "swap the two")
    has_words, extra = _has_words(query), extra_fields(params)
    counted = FACETS if params.facets is None else _names("facets", params.facets, FACETS)
    sort = params.sort or (Sort.RELEVANCE if has_words else Sort.NEWEST)
    aging = sort is Sort.RELEVANCE and recency_counts(query, since, until)
    return SearchRequest(
        query=query,
        filters={name: chosen for name in FACETS if (chosen := _field_filter(name, getattr(params, name)))},
        since_ms=since,
        until_ms=until,
        sort=sort,
        limit=params.limit,
        with_text=has_words or "text" in extra,
        text_characters=None
        if "text" in extra
        else HIGHLIGHTED_CHARACTERS + 1,  # one more, to detect that the text is longer
        with_body="body" in extra,
        with_facets=bool(counted),
        facet_fields=counted,
        entitlement=entitlement,
        now_ms=round(clock() * 1000) if aging else None,
        snapshot_owner=snapshot_owner,
        erased=erased,
    )


def _check_cost(query: language.Query, params: SearchFilterParams) -> None:
    prefixes = sum(isinstance(leaf, language.Prefix) for leaf in language.leaves(query))
    if prefixes > QUERY_PREFIXES:
        raise invalid(
            "q",
            f"contains {prefixes} prefixes such as 'word*'; each matches any number of words",
            f"send at most {QUERY_PREFIXES}, or whole words",
        )
    values = sum(len(getattr(params, name)) for name in FACETS)
    if values > FILTER_VALUES:
        longest = max(FACETS, key=lambda name: len(getattr(params, name)))
        raise invalid(
            longest,
            f"makes the filters have {values} values in total",
            f"send at most {FILTER_VALUES} values in all filters together",
        )


def _has_words(query: language.Query) -> bool:
    """Return whether a query contains words by which results can be ranked, not only fields and dates."""
    return any(
        isinstance(leaf, language.Prefix) or (isinstance(leaf, language.Words) and leaf.field in (None, "title"))
        for leaf in language.leaves(query, forbidden=False)
    )


def _field_filter(field: str, values: list[str]) -> FieldFilter | None:
    included = tuple(fold(value) for value in values if not value.startswith("-"))
    excluded = tuple(fold(value[1:]) for value in values if value.startswith("-"))
    if not all((*included, *excluded)):
        raise invalid(field, "is empty", "send a value, or omit the parameter")
    if field == "month" and not all(_MONTH.fullmatch(value) for value in (*included, *excluded)):
        raise invalid(field, "is not a month", "send a year and a month, such as 2026-03")
    return FieldFilter(included, excluded) if values else None


def _instant(field: str, text: str, *, end: bool) -> int:
    # an unescaped plus in a query string is read as a space
    value = re.sub(r"([Tt][0-9]{2}:[0-9]{2}\S*) ([0-9]{2}:[0-9]{2})$", r"\1+\2", text.strip())
    try:
        if (day := parse_full_date(value)) is not None:
            start = datetime.combine(day, datetime.min.time(), UTC)
            return epoch_ms_nearest(start) + (DAY_MS - 1 if end else 0)
        return _rounded_ms(parse_date_time(value), end=end)
    except ValueError:
        raise invalid(
            field, "is not a date or an RFC 3339 date-time", "send 2026-03-01 or 2026-03-01T09:30:00Z ('+' as %2B)"
        ) from None


def _rounded_ms(time_: datetime, *, end: bool) -> int:
    """Round to the ms so that the time itself stays inside the range."""
    exact = (time_ - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)
    return int(exact // 1000) if end else int(-(-exact // 1000))

"""The search page."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.http.problems import from_validation_error
from newswire.http.read_limits import Cost, charged
from newswire.text.query import hints, interpreted, truncate_query
from newswire_search.index.facets import respelled
from newswire_search.index.models import FACETS, SearchPage, SearchRequest, Sort
from newswire_search.index.port import PublicIndexReader
from newswire_search.query import service
from newswire_search.query.cursor import CursorScope, next_cursor, page_request, scope_of
from newswire_search.query.dependencies import errors_as_problems
from newswire_search.query.offload import offload
from newswire_search.query.parameters import SCALARS, SearchParams
from newswire_search.query.serializers import results
from newswire_search.site.frame import Frame, PageRequest
from newswire_search.site.links import FacetLink, active_filters, facet_links, with_cursor, with_query
from newswire_search.site.localisation import Localisation
from newswire_search.site.presentation import Teaser, teaser

MAX_FACET_VALUES_SHOWN = 12
PARAMETERS = frozenset((*SCALARS, *FACETS)) - {"fields", "facets"}
"""What a search page reads of its address; all others, such as those of campaigns, are ignored."""


def facet_names(words: Localisation) -> dict[str, str]:
    """Return the names of the facets in the language of the frame."""
    _ = words.translations.gettext
    return {
        "category": _("Section"),
        "topic": _("Topic"),
        "author": _("Author"),
        "publisher": _("Publisher"),
        "language": _("Language"),
        "month": _("Month"),
    }


def add_search(routes: APIRouter, index: PublicIndexReader, frame: Frame) -> None:
    """Add the route of the search page."""
    Asked = Annotated[PageRequest, Depends(frame.request)]
    _ = frame.localisation.translations.gettext
    names = facet_names(frame.localisation)
    orders = [
        (Sort.RELEVANCE, _("Best match")),
        (Sort.NEWEST, _("Newest first")),
        (Sort.OLDEST, _("Oldest first")),
    ]

    async def cursor_scope(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> CursorScope:
        return scope_of(request, caller, "/search")

    @routes.get("/search", dependencies=[Depends(charged(Cost.SEARCH))])
    async def search(asked: Asked, cursors: Annotated[CursorScope, Depends(cursor_scope)]) -> Response:
        sent = sent_parameters(asked.http)
        fitted = [(name, truncate_query(value) if name == "q" else value) for name, value in sent]
        params = _params(fitted)
        request = await page_request(params, asked.entitlement, cursors)
        async with errors_as_problems():
            found = await service.search(index, request, params.q)
        page, partial_matches = found.page, found.partial_matches
        understood = interpreted(request.query)
        return await frame.respond(
            asked,
            "search.html",
            head=frame.heads.plain(f"{params.q[:100]} · {_('Search')}" if params.q else _("Search")),
            q=params.q,
            truncated=any(name == "q" and value != params.q for name, value in sent),
            understood=understood if _differs(understood, params.q) else "",
            hints=[hint.message for hint in hints(params.q)],
            from_date=(params.from_ or "")[:10],
            to_date=(params.to or "")[:10],
            orders=[(sort.value, name) for sort, name in orders],
            sort=request.sort.value,
            hidden=[(name, value) for name, value in sent if name in FACETS],
            total=page.total,
            articles=await offload.run(lambda _: _listed(request, page)),
            partial_matches=(await offload.run(lambda _: _listed(request, partial_matches)) if partial_matches else []),
            facets=_facets(page, sent, names, frame.localisation),
            active_filters=active_filters(sent, names),
            next_page=with_cursor(sent, await next_cursor(request, page, cursors)),
            is_later_page=params.cursor is not None,
            suggestion=found.suggestion,
            suggestion_path=with_query(sent, found.suggestion),
            feeds=frame.feeds(fitted),
        )


def sent_parameters(http: Request) -> list[tuple[str, str]]:
    """Return the parameters of an address that a search reads: of those that may be given once, the first."""
    sent: list[tuple[str, str]] = []
    for name, value in http.query_params.multi_items():
        if name not in PARAMETERS or not value.strip():
            continue
        if name in FACETS or all(name != other for other, _ in sent):
            sent.append((name, value))
    return sent


def _params(sent: list[tuple[str, str]]) -> SearchParams:
    scalars: dict[str, Any] = {name: value for name, value in sent if name not in FACETS}
    lists = {name: [value for key, value in sent if key == name] for name in FACETS}
    try:
        return SearchParams.model_validate({**scalars, **lists})
    except ValidationError as error:
        raise from_validation_error(error, SearchParams) from None


def _differs(understood: str, q: str) -> bool:
    return bool(understood) and understood != '""' and understood.lower() != " ".join(q.lower().split())


def _listed(request: SearchRequest, page: SearchPage) -> list[Teaser]:
    return [teaser(article, article["highlights"]) for article in results(page, request.query)]


def _facets(
    page: SearchPage, sent: list[tuple[str, str]], names: dict[str, str], words: Localisation
) -> list[tuple[str, list[FacetLink]]]:
    facets = []
    for name in FACETS:
        selected = [value for key, value in sent if key == name]
        all_values = facet_links(name, respelled(page.facets[name], selected), sent)
        # Selected values stay visible, so that they can be removed.
        shown = [link for at, link in enumerate(all_values) if at < MAX_FACET_VALUES_SHOWN or link.selected]
        if shown:
            facets.append((names[name], [replace(link, label=_label(name, link.value, words)) for link in shown]))
    return facets


def _label(field: str, value: str, words: Localisation) -> str:
    """Return a value as readers see it."""
    if field == "language":
        return words.language_name(value)
    if field == "month":
        return words.month(value)
    return value

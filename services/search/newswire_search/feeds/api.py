"""Feeds: the newest articles of all, of one field value, and of any search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.cost_limits import PAGE_BYTES
from newswire.http.conditional_responses import conditional_response
from newswire.http.problem_responses import problems
from newswire.http.read_limits import Cost, charged
from newswire.http.request_parsing import parse_scalar_params
from newswire_search.feeds.atom import atom
from newswire_search.feeds.feed import LATEST, MEDIA_TYPES, Feed, FeedEntry, Format, feed_entry, feed_title, page_path
from newswire_search.feeds.index_changes import LastModified
from newswire_search.feeds.json_feed import json_feed
from newswire_search.feeds.rss import rss
from newswire_search.index.models import Sort
from newswire_search.index.port import IndexReader
from newswire_search.query.dependencies import errors_as_problems
from newswire_search.query.offload import offload
from newswire_search.query.parameters import SearchFilterParams, SearchParams, search_filter_params, to_request
from newswire_search.settings import SearchSettings
from newswire_search.site.links import QueryPairs, feed_address
from newswire_search.site.localisation import localisation

WRITERS: dict[Format, Callable[[Feed], bytes]] = {Format.RSS: rss, Format.ATOM: atom, Format.JSON: json_feed}

FormatParam = Annotated[Format, Path(alias="format", description="`xml` (RSS 2.0), `atom` or `json` (JSON Feed 1.1)")]
Field = Annotated[Literal["category", "topic", "author", "publisher", "language", "month"], Path()]
Reader = Annotated[Caller | None, Depends(reader)]

_A_FEED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The feed",
        "content": {
            kind: {"schema": {"type": "object" if form is Format.JSON else "string"}}
            for form, kind in MEDIA_TYPES.items()
        },
    },
    304: {"description": "The feed is unchanged according to `If-None-Match` or `If-Modified-Since`"},
    **problems("invalid"),
}


def router(index: IndexReader, settings: SearchSettings, last_change: LastModified) -> APIRouter:
    """Return the routes of the feeds on an index."""
    routes = APIRouter(
        dependencies=[Depends(charged(Cost.SEARCH))], prefix="/feeds", tags=["feeds"], default_response_class=Response
    )
    full = settings.feed_content == "full"
    latest_title = localisation(settings.site_language).translations.gettext(LATEST)

    async def answer(
        request: Request, caller: Caller | None, format_: Format, params: SearchFilterParams, pairs: QueryPairs
    ) -> Response:
        options = {"sort": Sort.NEWEST, "limit": settings.feed_entries, "fields": "body,text" if full else "text"}
        last_modified = (
            await last_change() if caller is None else None
        )  # before the search, which may see later changes
        search = SearchParams.model_validate(params.model_dump(by_alias=True) | options)
        entitlement = caller.entitlement if caller is not None else None
        search_request = replace(to_request(search, entitlement), with_total=False, with_facets=False)
        async with errors_as_problems():
            page = await index.search(search_request)

        address = settings.site + feed_address(pairs, format_)
        hub = settings.hub_url if caller is None else None  # what the hub pushes was fetched without a key
        links = {"Link": f'<{hub}>; rel="hub", <{address}>; rel="self"'} if hub else {}

        def feed() -> Feed:
            return Feed(
                title=feed_title(pairs, settings.site_name, latest_title),
                home=settings.site + page_path(pairs),
                address=address,
                entries=_entries(page.articles, full=full),
                hub=hub,
            )

        body = await offload.run(lambda _: WRITERS[format_](feed()))
        return conditional_response(
            request,
            body,
            MEDIA_TYPES[format_],
            last_modified=last_modified,
            private=caller is not None,
            headers=links,
        )

    @routes.get("/latest.{format}", summary="The newest articles as a feed", responses=_A_FEED)
    async def latest(request: Request, format_: FormatParam, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        return await answer(request, caller, format_, SearchFilterParams(), [])

    @routes.get("/search.{format}", summary="A search as a feed", responses=_A_FEED)
    async def search(
        request: Request,
        format_: FormatParam,
        caller: Reader,
        params: Annotated[SearchFilterParams, Depends(search_filter_params)],
    ) -> Response:
        return await answer(request, caller, format_, params, request.query_params.multi_items())

    @routes.get("/{field}/{value:path}.{format}", summary="One category, topic or author as a feed", responses=_A_FEED)
    async def one(request: Request, field: Field, value: str, format_: FormatParam, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        return await answer(
            request, caller, format_, SearchFilterParams.model_validate({field: [value]}), [(field, value)]
        )

    return routes


def _entries(articles: Sequence[Mapping[str, Any]], *, full: bool) -> list[FeedEntry]:
    """Return articles as entries: with their bodies, if ``full``, up to `PAGE_BYTES`, and summaries after that."""
    entries, size = [], 0
    for article in articles:
        size += len(article.get("body", "")) if full else 0
        entries.append(feed_entry(article, full=full and size <= PAGE_BYTES))
    return entries

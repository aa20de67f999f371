"""Feeds: the newest articles of everything, of one category, topic or author, and of any search."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.http.cost_limits import PAGE_BYTES
from newswire.http.problem_responses import problems
from newswire.http.read_limits import Cost, charged
from newswire.http.request_parsing import parse_scalar_params
from newswire_search.feeds.atom import atom
from newswire_search.feeds.feed import MEDIA_TYPES, Feed, FeedEntry, Format, feed_entry, feed_title, page_path
from newswire_search.feeds.http_cache import LastModified, conditional_response
from newswire_search.feeds.json_feed import json_feed
from newswire_search.feeds.rss import rss
from newswire_search.index.port import IndexReader, Sort
from newswire_search.query.api import find
from newswire_search.query.offload import offload
from newswire_search.query.parameters import SearchFilterParams, SearchParams, search_filter_params
from newswire_search.settings import SearchSettings
from newswire_search.site.links import QueryPairs, feed_address

WRITERS: dict[Format, Callable[[Feed], bytes]] = {Format.RSS: rss, Format.ATOM: atom, Format.JSON: json_feed}

Form = Annotated[Format, Path(description="`xml` (RSS 2.0), `atom` or `json` (JSON Feed 1.1)")]
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
    304: {"description": "The feed is what `If-None-Match` or `If-Modified-Since` say"},
    **problems("invalid"),
}


def router(index: IndexReader, settings: SearchSettings, changed: LastModified) -> APIRouter:
    """Return the feeds on an index."""
    routes = APIRouter(
        dependencies=[Depends(charged(Cost.SEARCH))], prefix="/feeds", tags=["feeds"], default_response_class=Response
    )
    whole = settings.feed_content == "full"

    async def answer(
        request: Request, caller: Caller | None, form: Format, params: SearchFilterParams, sent: QueryPairs
    ) -> Response:
        wanted = {"sort": Sort.NEWEST, "limit": settings.feed_entries, "fields": "body,text" if whole else "text"}
        moment = await changed() if caller is None else None  # before the search: what comes meanwhile is a change
        asked = SearchParams.model_validate(params.model_dump(by_alias=True) | wanted)
        entitlement = caller.entitlement if caller is not None else None
        _, page = await find(index, asked, entitlement, with_facets=False)

        def feed() -> Feed:
            return Feed(
                title=feed_title(sent),
                home=settings.site + page_path(sent),
                address=settings.site + feed_address(sent, form),
                entries=_entries(page.articles, whole=whole),
            )

        body = await offload.run(lambda _: WRITERS[form](feed()))
        return conditional_response(request, body, MEDIA_TYPES[form], changed=moment, private=caller is not None)

    @routes.get("/latest.{form}", summary="The newest articles as a feed", responses=_A_FEED)
    async def latest(request: Request, form: Form, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        return await answer(request, caller, form, SearchFilterParams(), [])

    @routes.get("/search.{form}", summary="A search as a feed", responses=_A_FEED)
    async def search(
        request: Request,
        form: Form,
        caller: Reader,
        params: Annotated[SearchFilterParams, Depends(search_filter_params)],
    ) -> Response:
        return await answer(request, caller, form, params, request.query_params.multi_items())

    @routes.get("/{field}/{value:path}.{form}", summary="One category, topic or author as a feed", responses=_A_FEED)
    async def one(request: Request, field: Field, value: str, form: Form, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        return await answer(
            request, caller, form, SearchFilterParams.model_validate({field: [value]}), [(field, value)]
        )

    return routes


def _entries(articles: Sequence[Mapping[str, Any]], *, whole: bool) -> list[FeedEntry]:
    """Return articles as entries: whole ones, if so wanted, while they are not too much together, then summaries."""
    entries, size = [], 0
    for article in articles:
        size += len(article.get("body", "")) if whole else 0
        entries.append(feed_entry(article, whole=whole and size <= PAGE_BYTES))
    return entries

"""The reader site: latest articles, search, and an article's page."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from markupsafe import Markup
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.responses import RedirectResponse

from newswire.article import Image, Status
from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.http.middleware import CONTENT_SECURITY_POLICY
from newswire.http.problems import ProblemError, from_validation_error, unexpected
from newswire.http.read_limits import Cost, charged
from newswire.http.request_parsing import parse_scalar_params
from newswire.http.templating import add_asset, render, templates
from newswire.schema_org import news_article
from newswire.text.query import hints, interpreted, truncate_query
from newswire_search.feeds.feed import links_to
from newswire_search.index.facets import respelled
from newswire_search.index.port import FACETS, PublicIndexReader, SearchPage, SearchRequest
from newswire_search.query.api import (
    Entitlement,
    find,
    find_partial_matches,
    find_related,
    next_cursor,
    read,
    require_article,
    suggest_spelling,
)
from newswire_search.query.cursor import CursorScope, scope_of
from newswire_search.query.offload import offload
from newswire_search.query.parameters import SCALARS, SearchParams
from newswire_search.query.serializers import results
from newswire_search.site.links import FacetLink, active_filters, facet_links, path_of, slug_of, with_cursor, with_query

PACKAGE = "newswire_search.site"
templates(PACKAGE).globals |= {
    "search_style_sheet": add_asset(PACKAGE, "search.css"),
    "suggest_script": add_asset(PACKAGE, "suggest.js"),
}

FACET_NAMES = {
    "category": "Category",
    "topic": "Topic",
    "author": "Author",
    "publisher": "Publisher",
    "language": "Language",
    "month": "Month",
}
FACETS_SHOWN = 12
RELATED = 4

_SCRIPTED = {"Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; script-src 'self'; connect-src 'self'"}
"""For pages with a search box: its script is a file of ours, and asks this site alone."""

_TITLES = {
    400: "This address cannot be read",
    401: "A key is needed",
    403: "Not with this key",
    404: "There is nothing here",
    410: "No longer here",
    429: "Too fast",
    422: "This address cannot be read",
    503: "Back in a moment",
}


async def _cursor_scope(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> CursorScope:
    return scope_of(request, caller, "/search")


PageCursors = Annotated[CursorScope, Depends(_cursor_scope)]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Handler:
        """Return the handler, with problems shown to people."""
        handle = super().get_route_handler()

        async def handle_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as error:
                return problem_page(error)
            except Exception as error:  # noqa: BLE001 (the last resort of a page is a page)
                return problem_page(unexpected(request.method, request.url.path, error))

        return handle_or_explain


def router(index: PublicIndexReader) -> APIRouter:
    """Return the pages on an index."""
    routes = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(reader)])

    @routes.get("/", dependencies=[Depends(charged(Cost.SEARCH))])
    async def latest(request: Request, entitlement: Entitlement, cursors: PageCursors) -> Response:
        parse_scalar_params(request.query_params, ())
        asked, page = await find(index, SearchParams(limit=30), entitlement, cursors=cursors)
        return render(
            "latest.html",
            PACKAGE,
            headers=_SCRIPTED,
            articles=_listed(asked, page),
            next_page=with_cursor([], await next_cursor(asked, page, cursors)),
            facets=_facets(page, []),
            feeds=links_to([]),
        )

    @routes.get("/search", dependencies=[Depends(charged(Cost.SEARCH))])
    async def search(request: Request, entitlement: Entitlement, cursors: PageCursors) -> Response:
        sent = [
            (name, value) for name, value in request.query_params.multi_items() if value.strip() and name != "fields"
        ]
        fitted = [(name, truncate_query(value) if name == "q" else value) for name, value in sent]
        params = _params(fitted)
        asked, page = await find(index, params, entitlement, cursors=cursors)
        some, suggestion = await asyncio.gather(
            find_partial_matches(index, asked, page), suggest_spelling(index, params, asked, page)
        )
        return render(
            "search.html",
            PACKAGE,
            headers=_SCRIPTED,
            q=params.q,
            cut_short=any(name == "q" and value != params.q for name, value in sent),
            understood=interpreted(asked.query),
            hints=[hint.message for hint in hints(params.q)],
            params=params,
            sort=asked.sort.value,
            hidden=[(name, value) for name, value in sent if name in FACETS],
            total=page.total,
            articles=await offload.run(lambda _: _listed(asked, page)),
            partial_matches=await offload.run(lambda _: _listed(asked, some)) if some else [],
            facets=_facets(page, sent),
            active_filters=active_filters(sent, FACET_NAMES),
            next_page=with_cursor(sent, await next_cursor(asked, page, cursors)),
            following=params.cursor is not None,
            suggestion=suggestion,
            suggested=with_query(sent, suggestion),
            feeds=links_to(fitted),
        )

    @routes.get("/articles/{article_id}", dependencies=[Depends(charged(Cost.RECORD))])
    @routes.get("/articles/{article_id}/{slug}", dependencies=[Depends(charged(Cost.RECORD))])
    async def article(article_id: str, entitlement: Entitlement, slug: str = "") -> Response:
        found = require_article(await read(index, article_id, entitlement))
        if quote(slug) != slug_of(found):  # an address is encoded, a parameter is not
            # The title may change back one day: the redirection must not be kept for ever.
            return RedirectResponse(path_of(found), 301, headers={"Cache-Control": "no-cache"})
        category = found.get("category")
        return render(
            "article.html",
            PACKAGE,
            language=_language(found),
            **_shown(found),
            body=Markup(found["body"]),  # noqa: S704
            linked_data=news_article({"status": Status.PUBLISHED, **found}),
            feeds=links_to([("category", category)] if category else []),
            related=[_shown(each) for each in await find_related(index, found, entitlement, RELATED)],
        )

    return routes


def problem_page(error: ProblemError) -> Response:
    """Return a page that says what went wrong and where to go from there."""
    return render(
        "problem.html",
        PACKAGE,
        status=error.status,
        headers={"Cache-Control": "no-store"} | error.headers,
        heading=_TITLES.get(error.status, error.title),
        detail=f"{error.detail[:1].upper()}{error.detail[1:]}.",
        errors=error.errors,
        code=error.status,
    )


def _params(sent: list[tuple[str, str]]) -> SearchParams:
    scalars = parse_scalar_params(QueryParams(sent), SCALARS, FACETS)
    lists = {name: [value for key, value in sent if key == name] for name in FACETS}
    try:
        return SearchParams.model_validate({**scalars, **lists})
    except ValidationError as error:
        raise from_validation_error(error, SearchParams) from None


def _listed(request: SearchRequest, page: SearchPage) -> list[dict[str, Any]]:
    listed = []
    for article in results(page, request.query):
        highlights = article["highlights"]
        title, passages = highlights["title"], highlights["body"]
        marked_title = Markup(title[0]) if title else article["title"]  # noqa: S704 (escaped but for its marks)
        marked = [Markup(passage) for passage in passages]  # noqa: S704 (likewise)
        listed.append({**_shown(article), "marked_title": marked_title, "passages": marked})
    return listed


def _shown(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return what templates show of an article."""
    published, updated, image = _moment(article["published_at"]), _moment(article["updated_at"]), article.get("image")
    return {
        "path": path_of(article),
        "title": article["title"],
        "summary": article.get("summary"),
        "authors": article.get("authors") or [],
        "publisher": article["publisher"],
        "category": article.get("category"),
        "topics": article.get("topics") or [],
        "image": Image.model_validate(image) if image else None,
        "published": published,
        "updated": updated if article["version"] > 1 and updated > published else None,
        "correction_note": article.get("correction_note"),
        "canonical": article.get("canonical_url") or article["url"],
        "lang": _language(article),
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _language(article: Mapping[str, Any]) -> str:
    # An empty lang says "unknown", as HTML has it.
    language = str(article.get("language") or "und")
    return "" if language == "und" else language


def _facets(page: SearchPage, sent: list[tuple[str, str]]) -> list[tuple[str, list[FacetLink]]]:
    made = []
    for name in FACETS:
        asked = [value for key, value in sent if key == name]
        all_values = facet_links(name, respelled(page.facets[name], asked), sent)
        # What is chosen stays in sight, to be let go again.
        shown = [choice for at, choice in enumerate(all_values) if at < FACETS_SHOWN or choice.on]
        if shown:
            made.append((FACET_NAMES[name], shown))
    return made

"""The reader site: latest articles, search, and an article's page."""

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
from newswire_search.feeds.feed import feed_links
from newswire_search.index.facets import respelled
from newswire_search.index.models import FACETS, SearchPage, SearchRequest
from newswire_search.index.port import PublicIndexReader
from newswire_search.query import service
from newswire_search.query.cursor import CursorScope, next_cursor, page_request, scope_of
from newswire_search.query.dependencies import Entitlement, errors_as_problems
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
MAX_FACET_VALUES_SHOWN = 12
MAX_RELATED = 4
ARTICLES_ON_FRONT_PAGE = 30

_WITH_SCRIPT = {"Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; script-src 'self'; connect-src 'self'"}
"""For pages with a search box: its script is a file of this site and sends requests to this site alone."""

_TITLES = {
    400: "This address is not valid",
    401: "A key is needed",
    403: "Not with this key",
    404: "There is nothing here",
    410: "No longer here",
    429: "Too fast",
    422: "This address is not valid",
    503: "Back in a moment",
}


async def _cursor_scope(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> CursorScope:
    return scope_of(request, caller, "/search")


PageCursors = Annotated[CursorScope, Depends(_cursor_scope)]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route that answers errors with a page."""

    def get_route_handler(self) -> Handler:
        """Return the handler that turns problems into pages."""
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
    """Return the routes of the pages on an index."""
    routes = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(reader)])

    @routes.get("/", dependencies=[Depends(charged(Cost.SEARCH))])
    async def latest(request: Request, entitlement: Entitlement, cursors: PageCursors) -> Response:
        parse_scalar_params(request.query_params, ())
        search_request = await page_request(SearchParams(limit=ARTICLES_ON_FRONT_PAGE), entitlement, cursors)
        async with errors_as_problems():
            page = await index.search(search_request)
        return render(
            "latest.html",
            PACKAGE,
            headers=_WITH_SCRIPT,
            articles=_listed(search_request, page),
            next_page=with_cursor([], await next_cursor(search_request, page, cursors)),
            facets=_facets(page, []),
            feeds=feed_links([]),
        )

    @routes.get("/search", dependencies=[Depends(charged(Cost.SEARCH))])
    async def search(request: Request, entitlement: Entitlement, cursors: PageCursors) -> Response:
        sent = [
            (name, value) for name, value in request.query_params.multi_items() if value.strip() and name != "fields"
        ]
        fitted = [(name, truncate_query(value) if name == "q" else value) for name, value in sent]
        params = _params(fitted)
        search_request = await page_request(params, entitlement, cursors)
        async with errors_as_problems():
            found = await service.search(index, search_request, params.q)
        page, partial_matches = found.page, found.partial_matches
        return render(
            "search.html",
            PACKAGE,
            headers=_WITH_SCRIPT,
            q=params.q,
            truncated=any(name == "q" and value != params.q for name, value in sent),
            interpreted=interpreted(search_request.query),
            hints=[hint.message for hint in hints(params.q)],
            params=params,
            sort=search_request.sort.value,
            hidden=[(name, value) for name, value in sent if name in FACETS],
            total=page.total,
            articles=await offload.run(lambda _: _listed(search_request, page)),
            partial_matches=(
                await offload.run(lambda _: _listed(search_request, partial_matches)) if partial_matches else []
            ),
            facets=_facets(page, sent),
            active_filters=active_filters(sent, FACET_NAMES),
            next_page=with_cursor(sent, await next_cursor(search_request, page, cursors)),
            is_later_page=params.cursor is not None,
            suggestion=found.suggestion,
            suggestion_path=with_query(sent, found.suggestion),
            feeds=feed_links(fitted),
        )

    @routes.get("/articles/{article_id}", dependencies=[Depends(charged(Cost.RECORD))])
    @routes.get("/articles/{article_id}/{slug}", dependencies=[Depends(charged(Cost.RECORD))])
    async def article(article_id: str, entitlement: Entitlement, slug: str = "") -> Response:
        async with errors_as_problems():
            found = await service.get_article(index, article_id, entitlement)
        if quote(slug) != slug_of(found):  # an address is encoded, a parameter is not
            # The title may change back one day: the redirect must not be cached.
            return RedirectResponse(path_of(found), 301, headers={"Cache-Control": "no-cache"})
        async with errors_as_problems():
            related = await index.related(found, entitlement, MAX_RELATED)
        category = found.get("category")
        return render(
            "article.html",
            PACKAGE,
            language=_language(found),
            **_for_template(found),
            body=Markup(found["body"]),  # noqa: S704
            linked_data=news_article({"status": Status.PUBLISHED, **found}),
            feeds=feed_links([("category", category)] if category else []),
            related=[_for_template(each) for each in related],
        )

    return routes


def problem_page(error: ProblemError) -> Response:
    """Return a page that explains a problem and links to other pages."""
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
        listed.append({**_for_template(article), "marked_title": marked_title, "passages": marked})
    return listed


def _for_template(article: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of an article that templates show."""
    published, updated, image = (
        _parse_time(article["published_at"]),
        _parse_time(article["updated_at"]),
        article.get("image"),
    )
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


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _language(article: Mapping[str, Any]) -> str:
    # In HTML, an empty lang means "unknown".
    language = str(article.get("language") or "und")
    return "" if language == "und" else language


def _facets(page: SearchPage, sent: list[tuple[str, str]]) -> list[tuple[str, list[FacetLink]]]:
    facets = []
    for name in FACETS:
        selected = [value for key, value in sent if key == name]
        all_values = facet_links(name, respelled(page.facets[name], selected), sent)
        # Selected values stay visible, so that they can be removed.
        shown = [link for at, link in enumerate(all_values) if at < MAX_FACET_VALUES_SHOWN or link.selected]
        if shown:
            facets.append((FACET_NAMES[name], shown))
    return facets

"""The readers' API: search, suggestions, related articles and one article."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Depends, Request, Response

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.cost_limits import PAGE_BYTES
from newswire.http.conditional_responses import conditional_response
from newswire.http.problem_responses import problems
from newswire.http.problems import invalid
from newswire.http.read_limits import Cost, charged
from newswire.http.request_parsing import parse_scalar_params
from newswire.text.query import hints, interpreted
from newswire_search.feeds.index_changes import IndexState
from newswire_search.index.facets import respelled
from newswire_search.index.models import FACETS, CompletionKind, SearchPage, SearchRequest
from newswire_search.index.port import PublicIndexReader
from newswire_search.query import service
from newswire_search.query.autocomplete import completions
from newswire_search.query.cursor import CursorScope, next_cursor, page_request, scope_of
from newswire_search.query.dependencies import Entitlement, errors_as_problems
from newswire_search.query.kept_answers import KeptAnswers
from newswire_search.query.offload import offload
from newswire_search.query.parameters import (
    RelatedParams,
    SearchParams,
    SuggestParams,
    extra_fields,
    related_params,
    requested_ids,
    search_params,
    suggest_params,
)
from newswire_search.query.schemas import PublishedArticle, RelatedResponse, SearchResponse, SuggestResponse
from newswire_search.query.serializers import full_article, results, summary
from newswire_search.query.state_cache import MAX_SECONDS

MAX_INLINE_CHARACTERS = 50_000
"""Characters of text that are highlighted on the event loop. They take about 2 ms. A thread would not yield sooner, because the
interpreter switches threads every 5 ms, and handing over and back would cost a tenth of a request."""

MAX_LINK_BYTES = 2048
"""A longer ``Link`` is left out: proxies limit the size of response headers, and the body has the cursor too."""
SUGGESTIONS_TYPE = "application/x-suggestions+json"
_OPENSEARCH_SUGGESTIONS = {
    "type": "array",
    "items": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    "minItems": 2,
    "maxItems": 2,
}


async def _cursor_scope(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> CursorScope:
    return scope_of(request, caller, "/v1/search")


ApiCursors = Annotated[CursorScope, Depends(_cursor_scope)]


def router(index: PublicIndexReader, answers: KeptAnswers) -> APIRouter:
    """Return the routes of the readers' API on an index."""
    routes = APIRouter(prefix="/v1/search", tags=["search"], dependencies=[Depends(reader)])

    @routes.get(
        "",
        response_model=SearchResponse,
        operation_id="searchArticles",
        summary="Search published articles",
        dependencies=[Depends(charged(Cost.SEARCH))],
    )
    async def search(
        http: Request,
        params: Annotated[SearchParams, Depends(search_params)],
        caller: Annotated[Caller | None, Depends(reader)],
        entitlement: Entitlement,
        cursors: ApiCursors,
    ) -> Response:
        began = time.perf_counter()
        extra = extra_fields(params)
        ids = requested_ids(params)
        may_be_kept = caller is None and not (ids or extra or params.cursor)
        state = await answers.state() if may_be_kept else IndexState()
        if may_be_kept and (kept := answers.get(http, state)) is not None:
            return kept
        # A state with a name has no retraction that is not indexed.
        erased: dict[int, list[str]] | None = None if state.name is None else {}
        request = (
            SearchRequest(entitlement=entitlement) if ids else await page_request(params, entitlement, cursors, erased)
        )
        async with errors_as_problems():
            if ids:
                page = await service.get_by_ids(
                    index, ids, entitlement, with_text="text" in extra, with_body="body" in extra
                )
                found = service.SearchResults(page)
            else:
                found = await service.search(index, request, params.q)
        page, partial_matches = found.page, found.partial_matches
        articles, partial_articles = await _serialize(request, (page, partial_matches), extra)
        cursor = await next_cursor(request, page, cursors, kept_seconds=MAX_SECONDS if may_be_kept else 0.0)
        answer = {
            "total": page.total,
            "interpreted": interpreted(request.query),
            "hints": list(map(asdict, hints(params.q))),
            "took_ms": round((time.perf_counter() - began) * 1000, 1),
            "articles": articles,
            "partial_matches": (
                {"total": partial_matches.total, "articles": partial_articles} if partial_matches else None
            ),
            # Facets that were not requested are empty lists.
            # Encoding dictionaries is several times as fast as encoding objects with slots, of which there are up to 300.
            "facets": {
                name: [
                    {"value": each.value, "count": each.count}
                    for each in respelled(page.facets.get(name, ()), getattr(params, name))
                ]
                for name in FACETS
            },
            "next_cursor": cursor,
            "suggestion": found.suggestion,
        }
        body = await offload.run(lambda _: orjson.dumps(answer)) if extra else orjson.dumps(answer)
        headers = _next_link(http, cursor)
        if may_be_kept:
            return answers.put(http, state, body, headers)
        return Response(body, media_type="application/json", headers=headers)

    @routes.get(
        "/suggest",
        response_model=SuggestResponse,
        operation_id="suggest",
        summary="Complete what is being typed",
        responses={200: {"content": {SUGGESTIONS_TYPE: {"schema": _OPENSEARCH_SUGGESTIONS}}}},
        dependencies=[Depends(charged(Cost.RECORD))],
    )
    async def suggest(params: Annotated[SuggestParams, Depends(suggest_params)], entitlement: Entitlement) -> Response:
        async with errors_as_problems():
            found = await completions(index, params.q, entitlement, params.limit)
        if params.format == "opensearch":
            values = list(dict.fromkeys(each.value for each in found))
            return Response(orjson.dumps([params.q, values]), media_type=SUGGESTIONS_TYPE)
        suggestions = [
            {
                "kind": each.kind,
                "value": each.value,
                "id": each.article_id if each.kind is CompletionKind.TITLE else None,
            }
            for each in found
        ]
        return Response(orjson.dumps({"suggestions": suggestions}), media_type="application/json")

    @routes.get(
        "/related/{article_id}",
        response_model=RelatedResponse,
        operation_id="listRelatedArticles",
        summary="Find related articles",
        responses=problems("gone"),
        dependencies=[Depends(charged(Cost.LISTING))],
    )
    async def related(
        article_id: str, params: Annotated[RelatedParams, Depends(related_params)], entitlement: Entitlement
    ) -> Response:
        async with errors_as_problems():
            article = await service.get_article(index, article_id, entitlement)
            found = await index.related(article, entitlement, params.limit)
        return Response(orjson.dumps({"articles": list(map(summary, found))}), media_type="application/json")

    @routes.get(
        "/articles/{article_id}",
        response_model=PublishedArticle,
        operation_id="getPublishedArticle",
        summary="Read one published article",
        responses={304: {"description": "The article is what `If-None-Match` says"}, **problems("gone")},
        dependencies=[Depends(charged(Cost.RECORD))],
    )
    async def article(article_id: str, request: Request, entitlement: Entitlement) -> Response:
        parse_scalar_params(request.query_params, ())
        async with errors_as_problems():
            found = await service.get_article(index, article_id, entitlement)
        return conditional_response(
            request, orjson.dumps(full_article(found)), "application/json", private="authorization" in request.headers
        )

    return routes


def _next_link(http: Request, cursor: str | None) -> dict[str, str]:
    """Return the header that names the next page (RFC 8288), relative to this one."""
    if cursor is None:
        return {}
    pairs = [(name, value) for name, value in http.query_params.multi_items() if name != "cursor"]
    link = f'<{http.scope["path"]}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'
    return {"Link": link} if len(link) <= MAX_LINK_BYTES else {}


async def _serialize(
    request: SearchRequest, pages: Sequence[SearchPage | None], extra: tuple[str, ...]
) -> list[list[dict[str, Any]]]:
    """Return the results of pages, in a thread if their texts are long."""

    def serialize() -> list[list[dict[str, Any]]]:
        return [results(page, request.query, extra) if page else [] for page in pages]

    articles = [article for page in pages if page for article in page.articles]
    if extra:
        check_page_size(articles, extra)
    characters = sum(len(article.get("text", "")) for article in articles)
    return serialize() if characters <= MAX_INLINE_CHARACTERS else await offload.run(lambda _: serialize())


def check_page_size(articles: Sequence[Mapping[str, Any]], extra: Sequence[str]) -> None:
    """Check that the extra members of a page do not exceed `PAGE_BYTES`; a single article may.

    Raises:
        ProblemError: 422 that names how many articles fit.
    """
    size = 0
    for count, article in enumerate(articles):
        size += sum(len(article.get(name, "")) for name in extra)
        if size > PAGE_BYTES and count:
            raise invalid(
                "limit",
                f"these {len(articles)} articles have more than {PAGE_BYTES // 2**20} MiB of {' and '.join(extra)} together",
                f"send limit={count} and continue with the cursor; or fetch each article by its id",
            )

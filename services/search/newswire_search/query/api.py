"""The readers' API: search, and one article."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from newswire.article import Author, Image
from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.filters import Filter
from newswire.http.cost_limits import INLINE_TEXT_BYTES, PAGE_BYTES
from newswire.http.problem_responses import problems
from newswire.http.problems import gone, invalid, not_found, unavailable
from newswire.http.read_limits import Cost, charged
from newswire.http.request_parsing import parse_scalar_params
from newswire.messaging.messages import DependencyUnavailableError
from newswire.text.query import hints, interpreted
from newswire_search.index.facets import respelled
from newswire_search.index.port import (
    FACETS,
    CompletionKind,
    IndexReader,
    PublicIndexReader,
    Retracted,
    SearchPage,
    SearchRequest,
    SnapshotExpiredError,
    Sort,
    WordMatch,
)
from newswire_search.index.ranking import can_match_partially
from newswire_search.query.autocomplete import completions
from newswire_search.query.cursor import CursorScope, expired, read_cursor, scope_of, write_cursor
from newswire_search.query.entitlement import filter_readable, may_read
from newswire_search.query.offload import offload
from newswire_search.query.parameters import (
    RelatedParams,
    SearchParams,
    SuggestParams,
    asked_ids,
    extra_fields,
    related_params,
    search_params,
    suggest_params,
    to_request,
)
from newswire_search.query.serializers import full_article, results, summary
from newswire_search.query.spelling import correction

MOST_AT_ONCE = 50_000
"""Characters of text that are highlighted on the event loop. They take about 2 ms, and a thread would give way to others no
sooner, for the interpreter takes turns every 5 ms; to and fro it would cost a tenth of a request."""

SUGGESTIONS_TYPE = "application/x-suggestions+json"
_OPENSEARCH_SUGGESTIONS = {
    "type": "array",
    "items": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    "minItems": 2,
    "maxItems": 2,
}
_ARTICLE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


class Highlights(BaseModel):
    """Escaped text in which ``<mark>`` is the only markup."""

    title: list[str]
    body: list[str]


class ArticleSummary(BaseModel):
    """A published article, without its body."""

    id: str
    version: int
    title: str
    summary: str | None
    authors: list[Author]
    category: str | None
    topics: list[str]
    language: str
    publisher: str
    image: Image | None
    published_at: datetime
    updated_at: datetime
    canonical_url: str | None
    correction_note: str | None
    url: str


class SearchResult(ArticleSummary):
    """An article that was found."""

    highlights: Highlights
    body: str | None = None
    """With ``fields=body``."""
    text: str | None = None
    """With ``fields=text``."""


class PublishedArticle(ArticleSummary):
    """A published article as readers see it; the body is sanitised HTML."""

    body: str
    word_count: int
    urgency: int | None
    metadata: dict[str, str]


class FacetValue(BaseModel):
    """A value, and how many of the results carry it."""

    value: str
    count: int


class Facets(BaseModel):
    """The most frequent values among the results."""

    category: list[FacetValue]
    topic: list[FacetValue]
    author: list[FacetValue]
    publisher: list[FacetValue]
    language: list[FacetValue]
    month: list[FacetValue]
    """The latest first, as ``2026-03`` in UTC."""


class PartialMatches(BaseModel):
    """What has some of the words, the best first, where too little has all of them."""

    total: int
    articles: list[SearchResult]


class QueryHint(BaseModel):
    """A remark on one part of ``q``."""

    code: str
    """Which remark, for programs: see the readers' guide."""
    message: str
    """What was done, and what to type instead."""
    at: str
    """The part of ``q``."""


class SearchResponse(BaseModel):
    """One page of results."""

    total: int
    interpreted: str
    """How ``q`` was understood: a query that is understood the same."""
    hints: list[QueryHint]
    """What in ``q`` may not have been understood as it was meant, or why nothing is found; most often empty."""
    took_ms: float
    articles: list[SearchResult]
    partial_matches: PartialMatches | None
    """On a first page, by relevance, that articles with all words do not fill."""
    facets: Facets
    next_cursor: str | None
    suggestion: str | None
    """Another spelling of ``q``, where it found little and this would find more."""


class Suggestion(BaseModel):
    """What a reader may be about to type."""

    kind: CompletionKind
    value: str
    id: str | None
    """The article, where the suggestion is its title."""


class SuggestResponse(BaseModel):
    """Suggestions, the best first."""

    suggestions: list[Suggestion]


class RelatedResponse(BaseModel):
    """Related articles, the nearest first."""

    articles: list[ArticleSummary]


async def entitlement(caller: Annotated[Caller | None, Depends(reader)]) -> Filter | None:
    """Return what narrows all that the caller may read: the dependency of every path that shows articles."""
    return caller.entitlement if caller is not None else None


Entitlement = Annotated[Filter | None, Depends(entitlement)]


async def _cursor_scope(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> CursorScope:
    return scope_of(request, caller, "/v1/search")


ApiCursors = Annotated[CursorScope, Depends(_cursor_scope)]


def router(index: PublicIndexReader) -> APIRouter:
    """Return the paths of the readers' API on an index."""
    routes = APIRouter(prefix="/v1/search", tags=["search"], dependencies=[Depends(reader)])

    @routes.get(
        "",
        response_model=SearchResponse,
        summary="Search published articles",
        dependencies=[Depends(charged(Cost.SEARCH))],
    )
    async def search(
        params: Annotated[SearchParams, Depends(search_params)], entitlement: Entitlement, cursors: ApiCursors
    ) -> Response:
        began = time.perf_counter()
        extra = extra_fields(params)
        if ids := asked_ids(params):
            request, page = await get_by_ids(index, ids, entitlement, extra)
            some, suggestion = None, None
        else:
            request, page = await find(index, params, entitlement, cursors=cursors)
            some, suggestion = await asyncio.gather(
                find_partial_matches(index, request, page), suggest_spelling(index, params, request, page)
            )
        articles, others = await _shown(request, (page, some), extra)
        answer = {
            "total": page.total,
            "interpreted": interpreted(request.query),
            "hints": list(map(asdict, hints(params.q))),
            "took_ms": round((time.perf_counter() - began) * 1000, 1),
            "articles": articles,
            "partial_matches": {"total": some.total, "articles": others} if some else None,
            "facets": {name: respelled(counts, getattr(params, name)) for name, counts in page.facets.items()},
            "next_cursor": await next_cursor(request, page, cursors),
            "suggestion": suggestion,
        }
        body = await offload.run(lambda _: orjson.dumps(answer)) if extra else orjson.dumps(answer)
        return Response(body, media_type="application/json")

    @routes.get(
        "/suggest",
        response_model=SuggestResponse,
        summary="Complete what is being typed",
        responses={200: {"content": {SUGGESTIONS_TYPE: {"schema": _OPENSEARCH_SUGGESTIONS}}}},
        dependencies=[Depends(charged(Cost.RECORD))],
    )
    async def suggest(params: Annotated[SuggestParams, Depends(suggest_params)], entitlement: Entitlement) -> Response:
        async with reachable():
            found = await completions(index, params.q, entitlement, params.limit)
        if params.format == "opensearch":
            values = list(dict.fromkeys(each.value for each in found))
            return Response(orjson.dumps([params.q, values]), media_type=SUGGESTIONS_TYPE)
        shown = [
            {
                "kind": each.kind,
                "value": each.value,
                "id": each.article_id if each.kind is CompletionKind.TITLE else None,
            }
            for each in found
        ]
        return Response(orjson.dumps({"suggestions": shown}), media_type="application/json")

    @routes.get(
        "/related/{article_id}",
        response_model=RelatedResponse,
        summary="Find articles like one",
        responses=problems("gone"),
        dependencies=[Depends(charged(Cost.LISTING))],
    )
    async def related(
        article_id: str, params: Annotated[RelatedParams, Depends(related_params)], entitlement: Entitlement
    ) -> Response:
        article = require_article(await read(index, article_id, entitlement))
        found = await find_related(index, article, entitlement, params.limit)
        return Response(orjson.dumps({"articles": list(map(summary, found))}), media_type="application/json")

    @routes.get(
        "/articles/{article_id}",
        response_model=PublishedArticle,
        summary="Read one published article",
        responses=problems("gone"),
        dependencies=[Depends(charged(Cost.RECORD))],
    )
    async def article(article_id: str, request: Request, entitlement: Entitlement) -> Response:
        parse_scalar_params(request.query_params, ())
        found = require_article(await read(index, article_id, entitlement))
        return Response(orjson.dumps(full_article(found)), media_type="application/json")

    return routes


async def _shown(
    request: SearchRequest, pages: Sequence[SearchPage | None], extra: Sequence[str]
) -> list[list[dict[str, Any]]]:
    def shown() -> list[list[dict[str, Any]]]:
        return [results(page, request.query, extra) if page else [] for page in pages]

    articles = [article for page in pages if page for article in page.articles]
    if extra:
        _check_size(articles, extra)
    letters = sum(len(article.get("text", "")) for article in articles)
    return shown() if letters <= MOST_AT_ONCE else await offload.run(lambda _: shown())


def _check_size(articles: Sequence[Mapping[str, Any]], extra: Sequence[str]) -> None:
    size = 0
    for count, article in enumerate(articles):
        size += sum(len(article.get(name, "")) for name in extra)
        if size > PAGE_BYTES and count:
            raise invalid(
                "limit",
                f"these {len(articles)} articles have more than {PAGE_BYTES // 2**20} MiB of {' and '.join(extra)} together",
                f"send limit={count}, and go on with the cursor; or fetch each by its id",
            )


async def find(
    index: IndexReader,
    params: SearchParams,
    entitlement: Filter | None,
    *,
    with_facets: bool = True,
    cursors: CursorScope | None = None,
) -> tuple[SearchRequest, SearchPage]:
    """Run the search that parameters ask for, in what the caller may read.

    Raises:
        ProblemError: 422 for what cannot be used, 400 for a cursor that is not this search's, 410 for an old one, 503 while the
            index is down.
    """
    request = replace(to_request(params, entitlement), with_facets=with_facets)
    if cursors is not None:
        request = replace(request, reader=cursors.reader)
        if params.cursor is not None:
            after = await read_cursor(params.cursor, request, cursors)
            request = replace(request, after=after, now=after.now)
    async with reachable():
        try:
            return request, await index.search(request)
        except SnapshotExpiredError:
            raise expired() from None


async def find_partial_matches(index: IndexReader, request: SearchRequest, page: SearchPage) -> SearchPage | None:
    """Look for articles with some of the words, where those with all of them leave room on the first page.

    Raises:
        ProblemError: 503 while the index is down.
    """
    room = request.limit - page.total
    first_by_relevance = request.after is None and request.sort is Sort.RELEVANCE
    if room <= 0 or not first_by_relevance or not can_match_partially(request.query):
        return None
    async with reachable():
        some = await index.search(replace(request, word_match=WordMatch.PARTIAL, limit=room, with_facets=False))
    return some if some.articles else None


async def suggest_spelling(
    index: IndexReader, params: SearchParams, request: SearchRequest, page: SearchPage
) -> str | None:
    """Return another spelling of what was searched for, where it found little and this would find more."""
    async with reachable():
        return await correction(index, params.q, request, page)


async def next_cursor(request: SearchRequest, page: SearchPage, cursors: CursorScope) -> str | None:
    """Return the cursor of the page after this one, if there is one."""
    return await write_cursor(page.next, request, cursors) if page.next is not None else None


async def get_by_ids(
    index: IndexReader, ids: Sequence[str], entitlement: Filter | None, extra: Sequence[str] = ()
) -> tuple[SearchRequest, SearchPage]:
    """Return those of some articles that are published and may be read by the caller, in the order asked, as one page."""
    known = [article_id for article_id in ids if _ARTICLE_ID.fullmatch(article_id)]
    searched = entitlement is not None and entitlement.query is not None
    async with reachable():
        found = await index.get_all(known, with_text=searched or "text" in extra, with_body="body" in extra)
    articles = await offload.run(lambda _: filter_readable(entitlement, found)) if entitlement else found
    return SearchRequest(entitlement=entitlement), SearchPage(len(articles), articles, dict.fromkeys(FACETS, ()))


async def read(
    index: PublicIndexReader, article_id: str, entitlement: Filter | None
) -> Mapping[str, Any] | Retracted | None:
    """Look up one article; what cannot be an id is no article, nor is what the caller may not read."""
    if not _ARTICLE_ID.fullmatch(article_id):
        return None
    async with reachable():
        found = await index.get(article_id)
    if isinstance(found, Retracted):
        return found if entitlement is None or await index.may_know(article_id, entitlement) else None
    if not found or entitlement is None:
        return found
    if entitlement.query is not None and len(found.get("text", "")) > INLINE_TEXT_BYTES:
        return found if await offload.run(lambda _: may_read(entitlement, found)) else None
    return found if may_read(entitlement, found) else None


def require_article(found: Mapping[str, Any] | Retracted | None) -> Mapping[str, Any]:
    """Return an article that was looked up.

    Raises:
        ProblemError: 404 where there is none, 410 where it was retracted.
    """
    if found is None:
        raise not_found("article")
    if isinstance(found, Retracted):
        raise gone("article")
    return found


async def find_related(
    index: IndexReader, article: Mapping[str, Any], entitlement: Filter | None, limit: int
) -> list[Mapping[str, Any]]:
    """Return the articles related to one, the nearest first."""
    async with reachable():
        return await index.related(article, entitlement, limit)


@asynccontextmanager
async def reachable() -> AsyncIterator[None]:
    """Answer 503 where the index is down."""
    try:
        yield
    except DependencyUnavailableError:
        raise unavailable("the index cannot be reached at the moment; the same request will work again later") from None

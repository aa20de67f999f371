"""The readers' API: search, and one article."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from newswire.accounts import reader
from newswire.article import Author, Image
from newswire.consume import Unavailable
from newswire.problems import gone, not_found, unavailable
from newswire.query import interpreted
from newswire.requests import scalar_params
from newswire_search.cursor import expired, read_cursor, write_cursor
from newswire_search.index import Reading, Retracted, SearchPage, SearchRequest, SnapshotGone
from newswire_search.parameters import SearchParams, extra_fields, search_params, to_request
from newswire_search.presenting import results, whole

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


class SearchAnswer(BaseModel):
    """One page of results."""

    total: int
    interpreted: str
    """How ``q`` was understood: a query that is understood the same."""
    took_ms: float
    articles: list[SearchResult]
    facets: Facets
    next_cursor: str | None


def router(index: Reading) -> APIRouter:
    """Return the paths of the readers' API on an index."""
    routes = APIRouter(prefix="/v1/search", tags=["search"], dependencies=[Depends(reader)])

    @routes.get("", response_model=SearchAnswer, summary="Search published articles")
    async def search(params: Annotated[SearchParams, Depends(search_params)]) -> Response:
        began = time.perf_counter()
        extra = extra_fields(params)
        request, page = await find(index, params)
        articles = await asyncio.to_thread(results, page, request.query, extra)
        answer = {
            "total": page.total,
            "interpreted": interpreted(request.query),
            "took_ms": round((time.perf_counter() - began) * 1000, 1),
            "articles": articles,
            "facets": page.facets,
            "next_cursor": next_cursor(request, page),
        }
        return Response(orjson.dumps(answer), media_type="application/json")

    @routes.get("/articles/{article_id}", response_model=PublishedArticle, summary="Read one published article")
    async def article(article_id: str, request: Request) -> Response:
        scalar_params(request.query_params, ())
        found = await read(index, article_id)
        if found is None:
            raise not_found("article")
        if isinstance(found, Retracted):
            raise gone("article")
        return Response(orjson.dumps(whole(found)), media_type="application/json")

    return routes


async def find(index: Reading, params: SearchParams) -> tuple[SearchRequest, SearchPage]:
    """Run the search that parameters ask for.

    Raises:
        Problem: 422 for what cannot be used, 410 for an old cursor, 503 while the index is down.
    """
    request = to_request(params)
    if params.cursor is not None:
        request = replace(request, after=read_cursor(params.cursor, request))
    async with reachable():
        try:
            return request, await index.search(request)
        except SnapshotGone:
            raise expired() from None


def next_cursor(request: SearchRequest, page: SearchPage) -> str | None:
    """Return the cursor of the page after this one, if there is one."""
    return write_cursor(page.next, request) if page.next is not None else None


async def read(index: Reading, article_id: str) -> Mapping[str, Any] | Retracted | None:
    """Look up one article; what cannot be an id is no article."""
    if not _ARTICLE_ID.fullmatch(article_id):
        return None
    async with reachable():
        return await index.get(article_id)


@asynccontextmanager
async def reachable() -> AsyncIterator[None]:
    """Answer 503 where the index is down."""
    try:
        yield
    except Unavailable:
        raise unavailable("the index cannot be reached at the moment; the same request will work again later") from None

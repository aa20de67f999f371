"""The publishers' API: lists of articles and of their versions."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from newswire.article import Status
from newswire.auth.credentials import Scope
from newswire.http.pagination import next_cursor, requested_position
from newswire.http.problem_responses import problems
from newswire.http.problems import forbidden, gone, not_found
from newswire.http.request_parsing import JSON, NoParameters, query_params
from newswire_ingest.articles import schemas as answers
from newswire_ingest.articles.api import ArticleId, NoBody, Owner
from newswire_ingest.articles.models import PATH
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.results import listed_view
from newswire_ingest.articles.service import ArticleService

READ_BATCH_SIZE = 10
"""Documents in memory at a time: each may be some MiB."""
_LIMIT = Field(ge=1, le=100)
_CURSOR = Field(description="the `next_cursor` of the previous page")


class ArticleListParams(BaseModel):
    """The parameters of ``GET /v1/articles``."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[Status | None, Field(description="only articles with this status; by default all")] = None
    limit: Annotated[int, _LIMIT] = 20
    cursor: Annotated[str | None, _CURSOR] = None


class VersionListParams(BaseModel):
    """The parameters of ``GET /v1/articles/{id}/versions``."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, _LIMIT] = 100
    cursor: Annotated[str | None, _CURSOR] = None


def router(store: ArticleStore, articles: ArticleService) -> APIRouter:
    """Return the routes of lists."""
    routes = APIRouter(prefix=PATH, tags=["publishing"])

    @routes.get("", response_model=answers.ArticleList, summary="List your own articles, newest first")
    async def list_articles(
        request: Request,
        caller: Owner,
        _: NoBody,
        wanted: Annotated[ArticleListParams, Depends(query_params(ArticleListParams))],
    ) -> Response:
        after = await requested_position(request, caller)
        if wanted.status is Status.SCHEDULED and not caller.sees_scheduled:
            raise forbidden(Scope.PUBLISH)
        seen = [status for status in Status if status is not Status.SCHEDULED or caller.sees_scheduled]
        statuses = [wanted.status] if wanted.status else seen
        ids = await store.list_articles(caller.account, statuses, after, wanted.limit + 1)
        page, more = ids[: wanted.limit], len(ids) > wanted.limit
        listed: list[dict[str, Any]] = []
        for at in range(0, len(page), READ_BATCH_SIZE):
            found = await store.find_all(page[at : at + READ_BATCH_SIZE])
            listed += [_without_body(listed_view(one)) for one in found]
        following = await next_cursor(request, caller, page[-1] if more else None)
        return _json({"articles": listed, "next_cursor": following})

    @routes.get(
        "/{article_id}/versions",
        response_model=answers.VersionList,
        summary="List the versions of one of your own articles, newest first",
        responses=problems("gone"),
    )
    async def versions(
        request: Request,
        caller: Owner,
        _: NoBody,
        article_id: ArticleId,
        wanted: Annotated[VersionListParams, Depends(query_params(VersionListParams))],
    ) -> Response:
        sent = await requested_position(request, caller)
        before = int(sent) if sent is not None else None
        state = (await articles.find(article_id, caller)).state
        if state.status is Status.RETRACTED:
            raise gone("article")
        newest = min(state.version, before - 1) if before is not None else state.version
        oldest = max(newest - wanted.limit, 0) + 1
        found = await store.list_versions(article_id, newest, oldest)
        following = await next_cursor(request, caller, str(oldest) if oldest > 1 else None)
        return _json({"versions": found, "next_cursor": following})

    @routes.get(
        "/{article_id}/versions/{number}",
        response_class=Response,
        summary="Read one version of one of your own articles as it was published",
        responses={200: {"model": answers.ArticleVersion}, **problems("gone")},
    )
    async def version(
        caller: Owner, _: NoParameters, article_id: ArticleId, number: Annotated[int, Path(ge=1, le=2**53 - 1)]
    ) -> Response:
        state = (await articles.find(article_id, caller)).state
        document = await store.version(article_id, number) if number <= state.version else None
        if document is None and number <= state.version:
            raise gone("version")
        if document is None:
            raise not_found("version of this article")
        return _json(answers.version(orjson.loads(document)))

    return routes


def _without_body(article: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in article.items() if name != "body"}


def _json(answer: Any) -> Response:
    return Response(orjson.dumps(answer), 200, {"Cache-Control": "private, no-store"}, JSON)

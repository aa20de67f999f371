"""The operators' API for articles: take down any article, and release it again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.article import Tombstone
from newswire.auth.authentication import request_actor
from newswire.http.pagination import json_answer
from newswire.http.problems import not_found
from newswire.http.request_parsing import ParsedBody, json_body, parse_scalar_params, single_headers
from newswire.keys import Keyspace
from newswire.observability import tracing
from newswire.observability.audit import Act, record
from newswire.validation.fields import Line
from newswire_ingest.accounts.keys_api import Admin
from newswire_ingest.articles.models import WriteCommand
from newswire_ingest.articles.publishing import fingerprint, is_article_id
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.schemas import Cancelled
from newswire_ingest.articles.service import ArticleService


class TakedownRequest(BaseModel):
    """Why an operator takes an article down. Readers and subscribers see the reason in the tombstone."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Line, StringConstraints(min_length=1, max_length=1000)] = Field()


def router(articles: ArticleService, store: ArticleStore, redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the paths under ``/v1/admin/articles``."""
    routes = APIRouter(prefix="/v1/admin/articles", tags=["operators"])

    @routes.delete(
        "/{article_id}",
        response_class=Response,
        summary="Retract any article; its publisher cannot publish it again until it is released",
        responses={
            200: {
                "model": Tombstone | Cancelled,
                "description": "Its tombstone; nothing remains of a cancelled article",
            }
        },
    )
    async def take_down(
        request: Request,
        caller: Admin,
        sent: Annotated[ParsedBody[TakedownRequest], Depends(json_body(TakedownRequest))],
        article_id: str,
    ) -> Response:
        trace = tracing.traceparent(request.headers.get("traceparent"))
        done = await articles.take_down(
            article_id, sent.model.reason, WriteCommand(caller, fingerprint(sent.raw), trace)
        )
        by, reason = request_actor(caller, request), sent.model.reason
        await record(redis, keys, by, Act.ARTICLE_RETRACTED, "article", article_id, reason=reason)
        return json_answer(done.view)

    @routes.post(
        "/{article_id}/release",
        status_code=204,
        dependencies=[Depends(single_headers)],
        summary="Let a publisher publish an article again that an operator retracted",
    )
    async def release(caller: Admin, article_id: str, request: Request) -> Response:
        parse_scalar_params(request.query_params, ())
        if not is_article_id(article_id) or not await store.release(article_id):
            raise not_found("article that an operator retracted")
        await record(redis, keys, request_actor(caller, request), Act.ARTICLE_RELEASED, "article", article_id)
        return Response(status_code=204)

    return routes

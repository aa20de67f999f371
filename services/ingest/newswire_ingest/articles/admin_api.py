"""The operators' API for articles: take down any article, and release it again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from newswire.article import Tombstone
from newswire.auth.authentication import request_actor
from newswire.http.operation_ids import operation_id
from newswire.http.pagination import json_answer
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body
from newswire.observability import tracing
from newswire.validation.fields import Line
from newswire_ingest.accounts.keys_api import Admin
from newswire_ingest.articles.models import WriteCommand
from newswire_ingest.articles.operator_actions import OperatorActions
from newswire_ingest.articles.publishing import fingerprint
from newswire_ingest.articles.schemas import Cancelled


class TakedownRequest(BaseModel):
    """Why an operator takes an article down. Readers and subscribers see the reason in the tombstone."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Line, StringConstraints(min_length=1, max_length=1000)] = Field()


def router(actions: OperatorActions) -> APIRouter:
    """Return the paths under ``/v1/admin/articles``."""
    routes = APIRouter(prefix="/v1/admin/articles", tags=["operators"], generate_unique_id_function=operation_id)

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
        command = WriteCommand(caller, fingerprint(sent.raw), trace, actor=request_actor(caller, request))
        done = await actions.retract(article_id, sent.model.reason, command)
        return json_answer(done.view)

    @routes.post(
        "/{article_id}/release",
        status_code=204,
        summary="Let a publisher publish an article again that an operator retracted",
    )
    async def release(caller: Admin, _: NoParameters, article_id: str, request: Request) -> Response:
        await actions.release(request_actor(caller, request), article_id)
        return Response(status_code=204)

    return routes

"""The operators' API of dead deliveries of all accounts."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from redis.asyncio import Redis

from newswire.auth.authentication import authorised, request_actor
from newswire.auth.credentials import Caller, Scope
from newswire.http.pagination import (
    PageParams,
    json_answer,
    list_position,
    next_cursor,
    parse_list_position,
    requested_position,
)
from newswire.http.problem_responses import problems
from newswire.http.problems import not_found, problem
from newswire.http.request_parsing import NoParameters, query_params, single_headers
from newswire_notify.deliveries.dead_letters import DeadDeliveryNotFoundError, drop, list_dead, retry
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import NotReplayableError

PATH = "/v1/dead-letters"

Admin = Annotated[Caller, Depends(authorised(Scope.ADMIN))]


class DeadLetterView(BaseModel):
    """A dead delivery."""

    id: str
    subscription: str
    event: str
    article: str
    version: int
    attempts: int
    error: str | None
    """How the last attempt failed."""
    ended: datetime


class DeadLetterList(BaseModel):
    """Dead deliveries, oldest first."""

    dead_letters: list[DeadLetterView]
    next_cursor: str | None


def router(queue: Queue, records: "Redis") -> APIRouter:
    """Return the paths of dead letters. ``records`` is the Redis of the audit log."""
    routes = APIRouter(prefix=PATH, tags=["deliveries"], dependencies=[Depends(single_headers)])

    @routes.get(
        "",
        response_model=DeadLetterList,
        summary="List dead deliveries",
    )
    async def list_all(
        caller: Admin, request: Request, params: Annotated[PageParams, Depends(query_params(PageParams))]
    ) -> Response:
        limit = params.limit
        found = await list_dead(
            queue.redis, queue.keys, limit + 1, parse_list_position(await requested_position(request, caller))
        )
        last = found[limit - 1] if len(found) > limit else None
        following = await next_cursor(request, caller, list_position(last.ended, last.id) if last else None)
        return json_answer({"dead_letters": [asdict(dead) for dead in found[:limit]], "next_cursor": following})

    @routes.post(
        "/{delivery_id}/retry",
        status_code=202,
        summary="Retry a dead delivery",
        responses=problems("not-replayed"),
    )
    async def try_again(request: Request, caller: Admin, _: NoParameters, delivery_id: str) -> Response:
        try:
            await retry(queue, records, delivery_id, by=request_actor(caller, request))
        except DeadDeliveryNotFoundError:
            raise not_found("dead delivery") from None
        except NotReplayableError as error:
            detail = f"the delivery cannot be retried: {error}"
            raise problem(409, "not-replayed", detail, title="Not sent again") from None
        return Response(status_code=202)

    @routes.delete("/{delivery_id}", status_code=204, summary="Delete a dead delivery")
    async def forget(request: Request, caller: Admin, _: NoParameters, delivery_id: str) -> Response:
        if not await drop(queue.redis, records, queue.keys, delivery_id, by=request_actor(caller, request)):
            raise not_found("dead delivery")
        return Response(status_code=204)

    return routes

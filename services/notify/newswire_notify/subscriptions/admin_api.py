"""The operators' API of subscriptions: list, read, pause, resume and delete those of any account."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
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
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body, query_params, single_headers
from newswire.keys import Keyspace
from newswire.validation.fields import Line
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.subscriptions.schemas import SubscriptionView
from newswire_notify.subscriptions.service import OperatorActions

PATH = "/v1/admin/subscriptions"

Admin = Annotated[Caller, Depends(authorised(Scope.ADMIN))]


class OperatorReason(BaseModel):
    """An operator's reason; the owner of the subscription can read it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Line, StringConstraints(min_length=1, max_length=1000)]


class AccountSubscriptionView(SubscriptionView):
    """A subscription with its account."""

    account: str


class AccountSubscriptionList(BaseModel):
    """Subscriptions of an account, oldest first."""

    subscriptions: list[AccountSubscriptionView]
    next_cursor: str | None


class AccountParams(PageParams):
    """The query parameters of ``GET /v1/admin/subscriptions``."""

    account: Annotated[str, StringConstraints(min_length=1), Field(description="Only those of this account.")]


Reason = Annotated[ParsedBody[OperatorReason], Depends(json_body(OperatorReason))]


def router(subscriptions: Subscriptions, records: "Redis", keys: Keyspace) -> APIRouter:
    """Return the paths under ``/v1/admin/subscriptions``."""
    routes = APIRouter(prefix=PATH, tags=["operators"])
    actions = OperatorActions(subscriptions, records, keys)

    @routes.get(
        "",
        response_model=AccountSubscriptionList,
        dependencies=[Depends(single_headers)],
        summary="List the subscriptions of an account",
    )
    async def list_subscriptions(
        caller: Admin, request: Request, params: Annotated[AccountParams, Depends(query_params(AccountParams))]
    ) -> Response:
        limit = params.limit
        page: list[Subscription] = []
        async for found in subscriptions.of(
            params.account, parse_list_position(await requested_position(request, caller))
        ):
            page.append(found)
            if len(page) > limit:
                break
        last = page[limit - 1] if len(page) > limit else None
        following = await next_cursor(request, caller, list_position(last.created_at, last.id) if last else None)
        return json_answer({"subscriptions": list(map(_view, page[:limit])), "next_cursor": following})

    @routes.get(
        "/{subscription_id}",
        response_model=AccountSubscriptionView,
        summary="Read a subscription of any account",
    )
    async def read(caller: Admin, _: NoParameters, subscription_id: str) -> Response:
        return json_answer(_view(await actions.find(subscription_id)))

    @routes.post(
        "/{subscription_id}/pause",
        response_model=AccountSubscriptionView,
        summary="Pause a subscription until an operator resumes it",
    )
    async def pause(request: Request, caller: Admin, sent: Reason, subscription_id: str) -> Response:
        await actions.pause(request_actor(caller, request), subscription_id, sent.model.reason)
        return json_answer(_view(await actions.find(subscription_id)))

    @routes.post(
        "/{subscription_id}/resume",
        response_model=AccountSubscriptionView,
        summary="Undo an operator's pause",
    )
    async def resume(caller: Admin, _: NoParameters, subscription_id: str, request: Request) -> Response:
        await actions.resume(request_actor(caller, request), subscription_id)
        return json_answer(_view(await actions.find(subscription_id)))

    @routes.delete("/{subscription_id}", status_code=204, summary="End a subscription of any account")
    async def end(request: Request, caller: Admin, sent: Reason, subscription_id: str) -> Response:
        await actions.end(request_actor(caller, request), subscription_id, sent.model.reason)
        return Response(status_code=204)

    return routes


def _view(found: Subscription) -> dict[str, object]:
    return found.public_view() | {"account": found.account}

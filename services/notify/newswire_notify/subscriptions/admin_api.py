"""The operators' API of subscriptions: list, read, pause, resume and delete those of any account."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints
from redis.asyncio import Redis

from newswire.auth.authentication import authorised, request_actor
from newswire.auth.credentials import Caller, Scope
from newswire.http.pagination import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    document_parameters,
    json_answer,
    list_position,
    next_cursor,
    parse_list_position,
    requested_position,
)
from newswire.http.problems import invalid, not_found, problem, unavailable
from newswire.http.request_parsing import ParsedBody, json_body, limit_param, parse_scalar_params, single_headers
from newswire.keys import Keyspace
from newswire.observability.audit import Act, record
from newswire.validation.fields import Line
from newswire_notify.subscriptions.models import PausedBy, Subscription, SubscriptionConflictError
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.subscriptions.schemas import SubscriptionView

PATH = "/v1/admin/subscriptions"
MAX_UPDATE_ATTEMPTS = 100
"""How often a change is retried after a concurrent one."""

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


Reason = Annotated[ParsedBody[OperatorReason], Depends(json_body(OperatorReason))]


def router(subscriptions: Subscriptions, records: "Redis", keys: Keyspace) -> APIRouter:
    """Return the paths under ``/v1/admin/subscriptions``."""
    routes = APIRouter(prefix=PATH, tags=["operators"])

    @routes.get(
        "",
        response_model=AccountSubscriptionList,
        dependencies=[Depends(single_headers)],
        summary="List the subscriptions of an account",
        openapi_extra=document_parameters("account", "cursor", "limit"),
    )
    async def list_subscriptions(caller: Admin, request: Request) -> Response:
        params = parse_scalar_params(request.query_params, ("account", "cursor", "limit"))
        account = params.get("account")
        if not account:
            raise invalid("account", "is missing", "send for example account=reader")
        limit = limit_param(params.get("limit"), DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        page: list[Subscription] = []
        async for found in subscriptions.of(account, parse_list_position(await requested_position(request, caller))):
            page.append(found)
            if len(page) > limit:
                break
        last = page[limit - 1] if len(page) > limit else None
        following = await next_cursor(request, caller, list_position(last.created_at, last.id) if last else None)
        return json_answer({"subscriptions": list(map(_view, page[:limit])), "next_cursor": following})

    @routes.get(
        "/{subscription_id}",
        response_model=AccountSubscriptionView,
        dependencies=[Depends(single_headers)],
        summary="Read a subscription of any account",
    )
    async def read(caller: Admin, subscription_id: str, request: Request) -> Response:
        parse_scalar_params(request.query_params, ())
        return json_answer(_view(await _existing(subscription_id)))

    @routes.post(
        "/{subscription_id}/pause",
        response_model=AccountSubscriptionView,
        summary="Pause a subscription until an operator resumes it",
    )
    async def pause(request: Request, caller: Admin, sent: Reason, subscription_id: str) -> Response:
        found = await _existing(subscription_id)
        try:
            await subscriptions.pause(found, PausedBy.OPERATOR, sent.model.reason)
        except SubscriptionConflictError as error:
            raise _not_changed(error) from None
        await _record(request, caller, Act.SUBSCRIPTION_PAUSED, found, sent.model.reason)
        return json_answer(_view(await _existing(subscription_id)))

    @routes.post(
        "/{subscription_id}/resume",
        response_model=AccountSubscriptionView,
        dependencies=[Depends(single_headers)],
        summary="Undo an operator's pause",
    )
    async def resume(caller: Admin, subscription_id: str, request: Request) -> Response:
        parse_scalar_params(request.query_params, ())
        for _ in range(MAX_UPDATE_ATTEMPTS):
            found = await _existing(subscription_id)
            try:
                if await subscriptions.resume(found, PausedBy.OPERATOR):
                    await _record(request, caller, Act.SUBSCRIPTION_RESUMED, found, None)
                    return json_answer(_view(await _existing(subscription_id)))
            except SubscriptionConflictError as error:
                raise _not_changed(error) from None
        raise unavailable("the subscription is being changed concurrently; send the request again")

    @routes.delete("/{subscription_id}", status_code=204, summary="End a subscription of any account")
    async def end(request: Request, caller: Admin, sent: Reason, subscription_id: str) -> Response:
        found = await _existing(subscription_id)
        if not await subscriptions.remove(found.account, found.id, sent.model.reason):
            raise not_found("subscription")
        await _record(request, caller, Act.SUBSCRIPTION_ENDED, found, sent.model.reason)
        return Response(status_code=204)

    async def _existing(subscription_id: str) -> Subscription:
        found = await subscriptions.find(subscription_id)
        if found is None:
            raise not_found("subscription")
        return found

    async def _record(request: Request, caller: Caller, act: Act, found: Subscription, reason: str | None) -> None:
        details = {"account": found.account, "reason": reason}
        await record(records, keys, request_actor(caller, request), act, "subscription", found.id, **details)

    return routes


def _view(found: Subscription) -> dict[str, object]:
    return found.public_view() | {"account": found.account}


def _not_changed(error: SubscriptionConflictError) -> Exception:
    return problem(409, "not-changed", f"the subscription cannot be changed: {error}", title="Not changed")

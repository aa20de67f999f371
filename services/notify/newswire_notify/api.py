"""The subscribers' API: subscriptions, and what became of their deliveries."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from newswire.accounts import Caller, Scope, authorised
from newswire.filters import Filter
from newswire.problems import Problem, not_found, problem
from newswire.requests import Sent, json_body, limit_param, scalar_params, single_headers
from newswire_notify.deliveries import Deliveries
from newswire_notify.guard import Policy, check_endpoint
from newswire_notify.rendering import Content
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions import SubscriptionDraft, Subscriptions, TooMany, Wanted, Webhook


class SubscriptionView(BaseModel):
    """A subscription."""

    id: str
    channel: Webhook
    filter: Filter
    events: list[Wanted]
    content: Content
    status: str
    """``active``, or ``disabled`` after its endpoint answered 410."""
    created_at: datetime


class CreatedSubscription(SubscriptionView):
    """A new subscription."""

    secret: str
    """Verifies the signatures; shown this once."""


class SubscriptionList(BaseModel):
    """All subscriptions of an account, oldest first."""

    subscriptions: list[SubscriptionView]


class AttemptView(BaseModel):
    """One attempt to deliver."""

    time: datetime
    attempt: int
    status: int | None
    latency_ms: float
    error: str | None
    answer: str | None


class DeliveryView(BaseModel):
    """One event on its way to one endpoint; ``id`` is the ``webhook-id`` it carries."""

    id: str
    event: str
    type: str
    article: str
    version: int
    reason: str
    state: str
    created_at: datetime
    due_at: datetime | None
    ended_at: datetime | None
    attempts: list[AttemptView]


class DeliveryList(BaseModel):
    """The newest deliveries of a subscription, newest first."""

    deliveries: list[DeliveryView]


Subscriber = Annotated[Caller, Depends(authorised(Scope.SUBSCRIBE))]


def subscriptions_router(
    subscriptions: Subscriptions, deliveries: Deliveries, policy: Policy, settings: NotifySettings
) -> APIRouter:
    """Return the paths under ``/v1/subscriptions``."""
    routes = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"])
    body = json_body(SubscriptionDraft)

    @routes.post("", status_code=201, response_model=CreatedSubscription, summary="Subscribe to articles")
    async def subscribe(caller: Subscriber, sent: Annotated[Sent[SubscriptionDraft], Depends(body)]) -> Response:
        draft = sent.model
        url = await check_endpoint(draft.channel.url, policy)
        draft = draft.model_copy(update={"channel": Webhook(type="webhook", url=url)})
        try:
            made = await subscriptions.add(caller.account, draft, limit=settings.subscriptions_per_account)
        except TooMany:
            raise _too_many(settings.subscriptions_per_account) from None
        headers = {"Location": f"/v1/subscriptions/{made.id}", "Cache-Control": "no-store"}
        return _json(made.shown() | {"secret": made.secret}, 201, headers)

    @routes.get(
        "", response_model=SubscriptionList, dependencies=[Depends(single_headers)], summary="List subscriptions"
    )
    async def list_subscriptions(caller: Subscriber, request: Request) -> Response:
        scalar_params(request.query_params, ())
        return _json({"subscriptions": [found.shown() for found in await subscriptions.of(caller.account)]})

    @routes.get(
        "/{subscription_id}",
        response_model=SubscriptionView,
        dependencies=[Depends(single_headers)],
        summary="Read a subscription",
    )
    async def read(caller: Subscriber, subscription_id: str, request: Request) -> Response:
        scalar_params(request.query_params, ())
        found = await subscriptions.get(caller.account, subscription_id)
        if found is None:
            raise not_found("subscription")
        return _json(found.shown())

    @routes.delete("/{subscription_id}", status_code=204, dependencies=[Depends(single_headers)], summary="Unsubscribe")
    async def unsubscribe(caller: Subscriber, subscription_id: str, request: Request) -> Response:
        scalar_params(request.query_params, ())
        if not await subscriptions.remove(caller.account, subscription_id):
            raise not_found("subscription")
        return Response(status_code=204)

    @routes.get(
        "/{subscription_id}/deliveries",
        response_model=DeliveryList,
        dependencies=[Depends(single_headers)],
        summary="See what became of a subscription's deliveries, attempt by attempt",
    )
    async def list_deliveries(caller: Subscriber, subscription_id: str, request: Request) -> Response:
        params = scalar_params(request.query_params, ("limit",))
        limit = limit_param(params.get("limit"), 100, 1000)
        if await subscriptions.get(caller.account, subscription_id) is None:
            raise not_found("subscription")
        return _json({"deliveries": await deliveries.of(subscription_id, limit)})

    return routes


def _too_many(limit: int) -> Problem:
    detail = f"this account has {limit} subscriptions, as many as it may have; delete one first"
    return problem(409, "too-many-subscriptions", detail, title="Too many subscriptions")


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, {"Cache-Control": "no-store"} | (headers or {}), "application/json")

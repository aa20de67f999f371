"""The subscribers' API: subscriptions."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from newswire.accounts import Caller, Scope, authorised
from newswire.filters import Filter
from newswire.paging import json_answer
from newswire.problems import Problem, not_found, problem
from newswire.requests import Sent, json_body, scalar_params, single_headers
from newswire_notify.channel import WebhookView
from newswire_notify.guard import Policy, check_endpoint
from newswire_notify.health import HealthView
from newswire_notify.rendering import Content
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions import SubscriptionDraft, Subscriptions, TooMany, Wanted

PATH = "/v1/subscriptions"

Subscriber = Annotated[Caller, Depends(authorised(Scope.SUBSCRIBE))]


class SubscriptionView(BaseModel):
    """A subscription."""

    id: str
    channel: WebhookView
    filter: Filter
    events: list[Wanted]
    content: Content
    status: str
    """``active``, or ``disabled``: nothing is delivered until its owner enables it again."""
    status_reason: str | None
    """Why it was disabled: ``gone`` (its endpoint answered 410), or ``failing`` (for days it took nothing)."""
    endpoint: HealthView
    created_at: datetime


class CreatedSubscription(SubscriptionView):
    """A new subscription."""

    secret: str
    """Verifies the signatures; shown this once."""


class SubscriptionList(BaseModel):
    """All subscriptions of an account, oldest first."""

    subscriptions: list[SubscriptionView]


def router(subscriptions: Subscriptions, policy: Policy, settings: NotifySettings) -> APIRouter:
    """Return the paths of subscriptions."""
    routes = APIRouter(prefix=PATH, tags=["subscriptions"])
    body = json_body(SubscriptionDraft)

    @routes.post("", status_code=201, response_model=CreatedSubscription, summary="Subscribe to articles")
    async def subscribe(caller: Subscriber, sent: Annotated[Sent[SubscriptionDraft], Depends(body)]) -> Response:
        draft = sent.model
        url = await check_endpoint(draft.channel.url, policy)
        draft = draft.model_copy(update={"channel": draft.channel.model_copy(update={"url": url})})
        try:
            made = await subscriptions.add(caller.account, draft, limit=settings.subscriptions_per_account)
        except TooMany:
            raise _too_many(settings.subscriptions_per_account) from None
        headers = {"Location": f"{PATH}/{made.id}"}
        return json_answer(made.shown() | {"secret": made.secret}, 201, headers)

    @routes.get(
        "", response_model=SubscriptionList, dependencies=[Depends(single_headers)], summary="List subscriptions"
    )
    async def list_subscriptions(caller: Subscriber, request: Request) -> Response:
        scalar_params(request.query_params, ())
        return json_answer({"subscriptions": [found.shown() async for found in subscriptions.of(caller.account)]})

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
        return json_answer(found.shown())

    @routes.delete("/{subscription_id}", status_code=204, dependencies=[Depends(single_headers)], summary="Unsubscribe")
    async def unsubscribe(caller: Subscriber, subscription_id: str, request: Request) -> Response:
        scalar_params(request.query_params, ())
        if not await subscriptions.remove(caller.account, subscription_id):
            raise not_found("subscription")
        return Response(status_code=204)

    return routes


def _too_many(limit: int) -> Problem:
    detail = f"this account has {limit} subscriptions, as many as it may have; delete one first"
    return problem(409, "too-many-subscriptions", detail, title="Too many subscriptions")

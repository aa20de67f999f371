"""The subscribers' API: what became of the deliveries of a subscription."""

from datetime import datetime

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from newswire.paging import json_answer
from newswire.problems import not_found
from newswire.requests import limit_param, scalar_params, single_headers
from newswire_notify.deliveries import Deliveries
from newswire_notify.subscriptions import Subscriptions
from newswire_notify.subscriptions_api import PATH, Subscriber


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


def router(subscriptions: Subscriptions, deliveries: Deliveries) -> APIRouter:
    """Return the paths of deliveries."""
    routes = APIRouter(prefix=PATH, tags=["deliveries"])

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
        return json_answer({"deliveries": await deliveries.of(subscription_id, limit)})

    return routes

"""The subscribers' API of endpoints: rotate the secret, send a test, enable."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from newswire.auth.authentication import request_actor
from newswire.http.pagination import json_answer
from newswire.http.problem_responses import problems
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body
from newswire.validation.fields import WHOLE
from newswire_notify.subscriptions.api import ENDED, PATH
from newswire_notify.subscriptions.dependencies import SubscriptionWriter
from newswire_notify.subscriptions.owner_actions import OwnerActions
from newswire_notify.subscriptions.schemas import SubscriptionView

MAX_SECRET_OVERLAP = timedelta(days=7)


class SecretRotation(BaseModel):
    """How long the former secret also signs, in seconds."""

    model_config = ConfigDict(extra="forbid")

    overlap: Annotated[int, Field(ge=0, le=int(MAX_SECRET_OVERLAP.total_seconds())), WHOLE] = 86_400


class RotatedSecret(BaseModel):
    """A subscription's new secret."""

    secret: str
    """Key for verifying signatures from now on; shown only once."""
    former_valid_until: datetime
    """Until then the former secret also signs every delivery."""


class TestedEndpoint(BaseModel):
    """The result of a test event."""

    delivered: bool
    time: datetime
    status: int | None
    latency_ms: float
    error: str | None
    """The stage that failed, and how."""
    answer: str
    """The first 4 KiB of the response body."""


def router(actions: OwnerActions) -> APIRouter:
    """Return the paths of endpoints."""
    routes = APIRouter(prefix=PATH, tags=["subscriptions"])

    @routes.post(
        "/{subscription_id}/secret/rotate",
        response_model=RotatedSecret,
        summary="Rotate the signing secret",
        responses=problems("too-many-secrets"),
    )
    async def rotate_secret(
        request: Request,
        caller: SubscriptionWriter,
        subscription_id: str,
        sent: Annotated[ParsedBody[SecretRotation], Depends(json_body(SecretRotation, optional=True))],
    ) -> Response:
        overlap = sent.model.overlap
        by = request_actor(caller, request)
        secret = await actions.rotate_secret(caller.account, subscription_id, overlap, by=by)
        until = datetime.now(UTC) + timedelta(seconds=overlap)
        return json_answer({"secret": secret, "former_valid_until": until})

    @routes.post(
        "/{subscription_id}/test",
        response_model=TestedEndpoint,
        summary="Send a test event to the endpoint now",
        responses=ENDED,
    )
    async def test(request: Request, caller: SubscriptionWriter, _: NoParameters, subscription_id: str) -> Response:
        tested = await actions.test(caller.account, subscription_id, by=request_actor(caller, request))
        attempt = tested.attempt
        return json_answer(
            {
                "delivered": attempt.error is None,
                "time": datetime.fromtimestamp(attempt.time, UTC),
                "status": attempt.status,
                "latency_ms": round(attempt.latency_ms, 1),
                "error": attempt.error,
                "answer": attempt.answer,
            }
        )

    @routes.post(
        "/{subscription_id}/enable",
        response_model=SubscriptionView,
        summary="Enable a disabled subscription",
        responses=ENDED,
    )
    async def enable(request: Request, caller: SubscriptionWriter, _: NoParameters, subscription_id: str) -> Response:
        found = await actions.enable(caller.account, subscription_id, by=request_actor(caller, request))
        return json_answer(found.public_view())

    return routes

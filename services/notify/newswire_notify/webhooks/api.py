"""The subscribers' API of endpoints: rotate the secret, send a test, enable."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis

from newswire.auth.authentication import request_actor
from newswire.http.pagination import json_answer
from newswire.http.problem_responses import problems
from newswire.http.problems import not_found, problem
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body
from newswire.keys import Keyspace
from newswire.observability.audit import Act, record
from newswire.validation.fields import WHOLE
from newswire_notify.subscriptions.api import ENDED, PATH
from newswire_notify.subscriptions.dependencies import SubscriptionWriter
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.subscriptions.schemas import SubscriptionView
from newswire_notify.subscriptions.service import owned
from newswire_notify.webhooks.service import Endpoints, TooManySecretsError

MAX_SECRET_OVERLAP = timedelta(days=7)
MAX_CONCURRENT_TESTS = 16


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


def router(subscriptions: Subscriptions, endpoints: Endpoints, records: "Redis", keys: Keyspace) -> APIRouter:
    """Return the paths of endpoints."""
    routes = APIRouter(prefix=PATH, tags=["subscriptions"])
    testing = asyncio.Semaphore(MAX_CONCURRENT_TESTS)

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
        try:
            secret = await endpoints.rotate_secret(caller.account, subscription_id, overlap)
        except TooManySecretsError:
            detail = "this secret was rotated too often recently; wait until former secrets have expired, or send an overlap of 0"
            raise problem(409, "too-many-secrets", detail, title="Too many secrets") from None
        if secret is None:
            raise not_found("subscription")
        by = request_actor(caller, request)
        await record(records, keys, by, Act.SECRET_ROTATED, "subscription", subscription_id, overlap_seconds=overlap)
        until = datetime.now(UTC) + timedelta(seconds=overlap)
        return json_answer({"secret": secret, "former_valid_until": until})

    @routes.post(
        "/{subscription_id}/test",
        response_model=TestedEndpoint,
        summary="Send a test event to the endpoint now",
        responses=ENDED,
    )
    async def test(caller: SubscriptionWriter, _: NoParameters, subscription_id: str) -> Response:
        found = await owned(subscriptions, caller.account, subscription_id)
        async with testing:
            attempt = await endpoints.test(found)
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
    async def enable(caller: SubscriptionWriter, _: NoParameters, subscription_id: str) -> Response:
        found = await owned(subscriptions, caller.account, subscription_id)
        await subscriptions.enable(found)
        found = await subscriptions.get(caller.account, subscription_id) or found
        return json_answer(found.public_view())

    return routes

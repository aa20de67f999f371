"""The subscribers' API of deliveries: list, read, replay, cancel."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from newswire.auth.authentication import request_actor
from newswire.http.pagination import (
    OptionalMoment,
    OptionalText,
    PageParams,
    json_answer,
    list_position,
    next_cursor,
    parse_list_position,
    requested_position,
)
from newswire.http.problem_responses import problems
from newswire.http.problems import not_found, problem
from newswire.http.request_parsing import (
    NoParameters,
    ParsedBody,
    json_body,
    query_params,
    single_headers,
)
from newswire.timestamps import epoch_ms
from newswire.validation.fields import Moment
from newswire_notify.deliveries.history import removed_early
from newswire_notify.deliveries.owner_replays import OwnerReplays
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import Deliveries, DeliveryFilter, State
from newswire_notify.fanout.backfill import BackfillStatus, backfill_status
from newswire_notify.subscriptions.api import ENDED, PATH
from newswire_notify.subscriptions.dependencies import Subscriber
from newswire_notify.subscriptions.errors import SubscriptionConflictError
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.subscriptions.service import owned


class AttemptMade(BaseModel):
    """One delivery attempt."""

    time: datetime
    attempt: int
    status: int | None
    latency_ms: float
    error: str | None
    """The stage that failed, and how."""
    advice: str | None
    """The remedy."""


class AttemptView(AttemptMade):
    """One delivery attempt and the first 4 KiB of the response."""

    answer: str | None
    """Null where there was none, where the article was retracted since, or where the kept responses exceeded their limit."""


class AttemptList(BaseModel):
    """The last attempts of a delivery, oldest first."""

    attempts: list[AttemptView]


class DeliveryView(BaseModel):
    """One event for one endpoint; ``id`` is its ``webhook-id``."""

    id: str
    event: str
    type: str
    article: str
    version: int
    reason: str
    state: State
    created_at: datetime
    due_at: datetime | None
    ended_at: datetime | None
    attempts: list[AttemptMade]


class HistoryRemoved(BaseModel):
    """Ended deliveries that were removed before the operator's retention time, to save memory."""

    count: int
    until: datetime
    """End of the newest of them: deliveries that ended later are kept for the full retention time."""


class DeliveryList(BaseModel):
    """Deliveries of a subscription, newest first. A page may hold fewer than ``limit`` and still have a ``next_cursor``."""

    deliveries: list[DeliveryView]
    next_cursor: str | None
    removed: HistoryRemoved | None
    """Null where everything within the retention time is listed."""


class DeliveryListParams(PageParams):
    """The query parameters of ``GET /v1/subscriptions/{id}/deliveries``."""

    state: Annotated[
        State | None,
        Field(description="Only those in this state."),
        WithJsonSchema({"type": "string", "enum": list(State)}),
    ] = None
    article: Annotated[OptionalText, Field(description="Only those about this article.")] = None
    since: Annotated[OptionalMoment, Field(description="Only those created since this time (RFC 3339).")] = None


class ReplayWanted(BaseModel):
    """The start time of a replay."""

    model_config = ConfigDict(extra="forbid")

    since: Moment


class ReplayView(BaseModel):
    """Progress of a replay, of a start in the past, or of a resumption."""

    state: str
    """``waiting``, ``running`` or ``done``."""
    since: datetime
    reached: datetime
    """All events up to this time were examined."""
    looked_at: int
    enqueued: int
    """Number of deliveries enqueued."""
    created_at: datetime
    ended_at: datetime | None


def router(subscriptions: Subscriptions, deliveries: Deliveries, replays: OwnerReplays, queue: Queue) -> APIRouter:
    """Return the paths of deliveries."""
    routes = APIRouter(prefix=f"{PATH}/{{subscription_id}}", tags=["deliveries"])

    @routes.get(
        "/deliveries",
        response_model=DeliveryList,
        dependencies=[Depends(single_headers)],
        summary="List the deliveries of a subscription",
        responses=ENDED,
    )
    async def list_deliveries(
        caller: Subscriber,
        subscription_id: str,
        request: Request,
        params: Annotated[DeliveryListParams, Depends(query_params(DeliveryListParams))],
    ) -> Response:
        limit = params.limit
        wanted = DeliveryFilter(
            params.state,
            params.article,
            None if params.since is None else epoch_ms(params.since),
            after=parse_list_position(await requested_position(request, caller)),
        )
        await owned(subscriptions, caller.account, subscription_id)
        page = await deliveries.of(subscription_id, limit, wanted)
        removed = await removed_early(queue, subscription_id)
        after = list_position(_at(page.next[0]), page.next[1]) if page.next else None
        return json_answer(
            {
                "deliveries": page.rows,
                "next_cursor": await next_cursor(request, caller, after),
                "removed": removed.public_view() if removed else None,
            }
        )

    @routes.get(
        "/deliveries/{delivery_id}",
        response_model=DeliveryView,
        summary="Read a delivery",
        responses=ENDED,
    )
    async def read(caller: Subscriber, _: NoParameters, subscription_id: str, delivery_id: str) -> Response:
        await owned(subscriptions, caller.account, subscription_id)
        return json_answer(await _existing(subscription_id, delivery_id))

    @routes.get(
        "/deliveries/{delivery_id}/attempts",
        response_model=AttemptList,
        summary="List the attempts of a delivery with their responses",
        responses=ENDED,
    )
    async def list_attempts(caller: Subscriber, _: NoParameters, subscription_id: str, delivery_id: str) -> Response:
        await owned(subscriptions, caller.account, subscription_id)
        found = await deliveries.attempts(subscription_id, delivery_id)
        if found is None:
            raise not_found("delivery")
        return json_answer({"attempts": found})

    @routes.post(
        "/deliveries/{delivery_id}/replay",
        status_code=202,
        response_model=DeliveryView,
        summary="Send a delivery again now, with the same id",
        responses=problems("ended-by-operator", "not-replayed"),
    )
    async def replay_one(
        request: Request, caller: Subscriber, _: NoParameters, subscription_id: str, delivery_id: str
    ) -> Response:
        found = await owned(subscriptions, caller.account, subscription_id)
        if not await replays.one(found, delivery_id, by=request_actor(caller, request)):
            raise not_found("delivery")
        return json_answer(await _existing(subscription_id, delivery_id), 202)

    @routes.post(
        "/deliveries/{delivery_id}/cancel",
        response_model=DeliveryView,
        summary="Cancel a delivery; an attempt in flight may still arrive",
        responses=problems("ended-by-operator", "ended"),
    )
    async def cancel(
        request: Request, caller: Subscriber, _: NoParameters, subscription_id: str, delivery_id: str
    ) -> Response:
        subscription = await owned(subscriptions, caller.account, subscription_id)
        ended = await replays.cancel(subscription, delivery_id, by=request_actor(caller, request))
        found = await _existing(subscription_id, delivery_id)
        if not ended and found["state"] != State.CANCELLED:
            detail = f"the delivery has already ended: it is {found['state']}"
            raise problem(409, "ended", detail, title="Ended already")
        return json_answer(found)

    @routes.post(
        "/replay",
        status_code=202,
        response_model=ReplayView,
        summary="Replay everything since a time, in the background, with the same ids",
        responses=problems("ended-by-operator", "not-replayed", "replay-running"),
    )
    async def replay_all(
        request: Request,
        caller: Subscriber,
        sent: Annotated[ParsedBody[ReplayWanted], Depends(json_body(ReplayWanted))],
        subscription_id: str,
    ) -> Response:
        found = await owned(subscriptions, caller.account, subscription_id)
        try:
            await replays.since(found, epoch_ms(sent.model.since), by=request_actor(caller, request))
        except SubscriptionConflictError as error:
            raise problem(409, "not-replayed", f"nothing can be replayed: {error}", title="Not sent again") from None
        return json_answer(await _backlog(subscription_id), 202)

    @routes.get(
        "/replay",
        response_model=ReplayView,
        summary="Read the progress of the latest replay, start in the past or resumption",
        responses=ENDED,
    )
    async def read_replay(caller: Subscriber, _: NoParameters, subscription_id: str) -> Response:
        await owned(subscriptions, caller.account, subscription_id)
        return json_answer(await _backlog(subscription_id))

    async def _existing(subscription_id: str, delivery_id: str) -> dict[str, Any]:
        found = await deliveries.get(subscription_id, delivery_id)
        if found is None:
            raise not_found("delivery")
        return found

    async def _backlog(subscription_id: str) -> dict[str, Any]:
        found = await backfill_status(queue, subscription_id)
        if found is None:
            raise not_found("replay")
        return _replay(found)

    return routes


def _replay(found: BackfillStatus) -> dict[str, Any]:
    return ReplayView(
        state=found.state,
        since=_at(found.since),
        reached=max(_at(found.reached), _at(found.since)),
        looked_at=found.examined,
        enqueued=found.enqueued,
        created_at=_at(found.created),
        ended_at=None if found.ended is None else _at(found.ended),
    ).model_dump()


def _at(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, UTC)

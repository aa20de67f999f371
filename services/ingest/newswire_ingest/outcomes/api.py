"""The outcomes API: what happened to an article after publication, for its publisher."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.article import Status
from newswire.auth.authentication import authorised
from newswire.auth.credentials import Caller, Scope
from newswire.http.pagination import json_answer
from newswire.http.problems import not_found
from newswire.http.request_parsing import NoParameters
from newswire.keys import Keyspace
from newswire.storage.article_records import read_article_state
from newswire_ingest.outcomes.repository import Outcomes


class MailOutcomeView(BaseModel):
    """The mails at once about a version, of all newsletters together. Digests are not counted: their mails hold many articles."""

    planned: int
    accepted: int
    """Taken by the mail server."""
    pending: int
    """Mails that are waiting, being sent, or to be tried again."""
    deferred: int
    """Attempts after which the mail server asked to try again later."""
    bounced: int
    """Mails to mailboxes that do not exist, also those that came back after they were accepted."""
    failed: int
    cancelled: int
    """Mails that were not sent any more: the reader unsubscribed, or the article was retracted."""


class OutcomeView(BaseModel):
    """The outcome of one version, or of a retraction. null: not known yet, or no longer known after 30 days."""

    version: int
    type: str
    """``published`` (also updated and corrected), or ``retracted``."""
    searchable_after_ms: float | None
    """The time from publication until the version was searchable; for a retraction, until it was no longer."""
    index: str | None
    matched: int | None
    """Subscriptions that its content matched."""
    previously_matched: int | None
    """Subscriptions that are notified because they received an earlier version."""
    delivered: int
    pending: int | None
    """Deliveries that are waiting or being retried."""
    dead: int
    """Deliveries that failed permanently."""
    superseded: int
    """Deliveries that were superseded by a later version."""
    cancelled: int
    """Deliveries that ended with their subscription, or with the article."""
    mails: MailOutcomeView
    live_readers: int
    """Clients of the live stream that were connected and received it as it happened."""


class OutcomeList(BaseModel):
    """The outcomes of an article's versions and retractions, newest first."""

    id: str
    outcomes: list[OutcomeView]


def outcome_routes(outcomes: Outcomes, redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the path ``/v1/articles/{id}/outcomes``."""
    routes = APIRouter(tags=["publishing"])

    @routes.get(
        "/v1/articles/{article_id}/outcomes", response_model=OutcomeList, summary="Read the outcomes of an article"
    )
    async def read(
        caller: Annotated[Caller, Depends(authorised(Scope.PUBLISH, Scope.READ))],
        _: NoParameters,
        article_id: Annotated[str, Path(description="The id from the response to publishing.")],
    ) -> Response:
        state = await read_article_state(redis, keys, article_id)
        hidden = state is not None and state.status is Status.SCHEDULED and not caller.sees_scheduled
        if state is None or state.publisher != caller.account or hidden:
            raise not_found("article of yours")
        return json_answer({"id": state.id, "outcomes": await outcomes.of(state)})

    return routes

"""The operators' API for the audit log."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.http.pagination import (
    OptionalMoment,
    OptionalText,
    PageParams,
    json_answer,
    next_cursor,
    requested_position,
)
from newswire.http.request_parsing import query_params, single_headers
from newswire.keys import Keyspace
from newswire.observability.audit import Act, AuditEntry, read_page
from newswire.validation.rules import broken_rule
from newswire_ingest.accounts.keys_api import Admin

_GROUPS = sorted({f"{act.partition('.')[0]}." for act in Act})


class ActorView(BaseModel):
    """Who did something."""

    type: str
    """``key``; ``user``; ``portal_link``: who opened a link that the key made; ``command_line``; or ``system``: Newswire itself."""
    key_id: str | None
    user_id: str | None
    account: str | None
    address: str | None
    """The client's address, as reported by trusted proxies."""


class TargetView(BaseModel):
    """The object of an act."""

    type: str
    id: str


class AuditEntryView(BaseModel):
    """One entry."""

    id: str
    time: datetime
    actor: ActorView
    act: str
    target: TargetView
    details: dict[str, Any]
    """Never a secret or the text of an article."""


class AuditPageView(BaseModel):
    """Entries, newest first."""

    entries: list[AuditEntryView]
    next_cursor: str | None


def _check_act(sent: str | None) -> str | None:
    if sent is not None and sent not in _GROUPS and sent not in list(Act):
        raise broken_rule(f"is not one of: {', '.join([*Act, *_GROUPS])}", "send for example act=account.disabled")
    return sent


class AuditLogParams(PageParams):
    """The query parameters of ``GET /v1/audit-log``."""

    act: Annotated[
        str | None,
        AfterValidator(_check_act),
        Field(description="Only this act, such as `account.disabled`, or all acts of a kind, such as `account.`."),
        WithJsonSchema({"type": "string", "enum": [*Act, *_GROUPS]}),
    ] = None
    target: Annotated[
        OptionalText,
        Field(
            description="Only acts on this target: the id of a key, an article or a subscription, or the name of an account."
        ),
    ] = None
    since: Annotated[OptionalMoment, Field(description="Only acts since this time (RFC 3339).")] = None


def router(redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the path of the audit log."""
    routes = APIRouter(prefix="/v1/audit-log", tags=["operators"])

    @routes.get(
        "",
        response_model=AuditPageView,
        summary="Read who did what, newest first",
    )
    async def read_log(
        caller: Admin,
        request: Request,
        _: Annotated[None, Depends(single_headers)],
        params: Annotated[AuditLogParams, Depends(query_params(AuditLogParams))],
    ) -> Response:
        page = await read_page(
            redis,
            keys,
            limit=params.limit,
            before=await requested_position(request, caller),
            since=params.since,
            act=params.act,
            target=params.target,
        )
        following = await next_cursor(request, caller, page.next_id)
        return json_answer({"entries": [_view(entry) for entry in page.entries], "next_cursor": following})

    return routes


def _view(entry: AuditEntry) -> dict[str, Any]:
    actor = entry.actor
    return {
        "id": entry.id,
        "time": entry.time,
        "actor": {
            "type": actor.type,
            "key_id": actor.key_id,
            "user_id": actor.user_id,
            "account": actor.account,
            "address": actor.address,
        },
        "act": entry.act,
        "target": {"type": entry.target_type, "id": entry.target},
        "details": dict(entry.details),
    }

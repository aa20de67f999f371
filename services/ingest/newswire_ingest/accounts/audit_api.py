"""The operators' API for the audit log."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.http.pagination import (
    DATE_TIME,
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    document_parameters,
    json_answer,
    next_cursor,
    requested_position,
)
from newswire.http.problems import invalid
from newswire.http.request_parsing import limit_param, parse_scalar_params, single_headers
from newswire.keys import Keyspace
from newswire.observability.audit import Act, AuditEntry, read_page
from newswire.validation.fields import Moment
from newswire_ingest.accounts.keys_api import Admin

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
_GROUPS = sorted({f"{act.partition('.')[0]}." for act in Act})


class ActorView(BaseModel):
    """Who did something."""

    type: str
    """``key``; ``command_line``; or ``system``: Newswire itself."""
    key_id: str | None
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


def router(redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the path of the audit log."""
    routes = APIRouter(prefix="/v1/audit-log", tags=["operators"])

    @routes.get(
        "",
        response_model=AuditPageView,
        summary="Read who did what, newest first",
        openapi_extra=document_parameters(
            "cursor",
            "limit",
            act=(
                "Only this act, such as `account.disabled`, or all acts of a kind, such as `account.`.",
                {"type": "string", "enum": [*Act, *_GROUPS]},
            ),
            target="Only acts on this target: the id of a key, an article or a subscription, or the name of an account.",
            since=("Only acts since this time (RFC 3339).", DATE_TIME),
        ),
    )
    async def read_log(caller: Admin, request: Request, _: Annotated[None, Depends(single_headers)]) -> Response:
        params = parse_scalar_params(request.query_params, ("cursor", "limit", "act", "target", "since"))
        page = await read_page(
            redis,
            keys,
            limit=limit_param(params.get("limit"), DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE),
            before=await requested_position(request, caller),
            since=_since(params.get("since")),
            act=_act(params.get("act")),
            target=params.get("target"),
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
            "account": actor.account,
            "address": actor.address,
        },
        "act": entry.act,
        "target": {"type": entry.target_type, "id": entry.target},
        "details": dict(entry.details),
    }


def _act(sent: str | None) -> str | None:
    if sent is not None and sent not in _GROUPS and sent not in list(Act):
        raise invalid("act", f"is not one of: {', '.join([*Act, *_GROUPS])}", "send for example act=account.disabled")
    return sent


def _since(sent: str | None) -> datetime | None:
    if sent is None:
        return None
    try:
        return _MOMENT.validate_python(sent)
    except ValidationError:
        raise invalid("since", "is not an RFC 3339 date-time", "send for example 2026-03-01T09:30:00Z") from None

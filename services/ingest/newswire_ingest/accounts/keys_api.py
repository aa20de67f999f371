"""The operators' API for keys."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.auth.account_names import MAX_ACCOUNT_NAME_CHARS, ConfusableNameError, check_account_name
from newswire.auth.api_keys import (
    DEFAULT_OVERLAP,
    MAX_OVERLAP,
    AccountDisabledError,
    Key,
    KeyRotationError,
    create_key,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from newswire.auth.authentication import authorised, request_actor
from newswire.auth.credentials import Caller, Scope
from newswire.http.pagination import (
    OptionalText,
    PageParams,
    json_answer,
    next_cursor,
    requested_position,
)
from newswire.http.problem_responses import problems
from newswire.http.problems import not_found, problem
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body, query_params, single_headers
from newswire.keys import Keyspace
from newswire.validation.fields import WHOLE, Moment, Text

PATH = "/v1/keys"

Admin = Annotated[Caller, Depends(authorised(Scope.ADMIN))]


def _ends_later(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return moment


Expiry = Annotated[Moment, AfterValidator(_ends_later)]
AccountName = Annotated[
    Text, StringConstraints(min_length=1, max_length=MAX_ACCOUNT_NAME_CHARS), AfterValidator(check_account_name)
]


class KeyDraft(BaseModel):
    """The request body for a new key. The account is created with its first key."""

    model_config = ConfigDict(extra="forbid")

    account: AccountName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    label: Annotated[Text, StringConstraints(max_length=200)] | None = None
    expires_at: Expiry | None = None


class KeyRotationRequest(BaseModel):
    """How a key is replaced. Without an expiry time, the new key has the lifetime of the old one."""

    model_config = ConfigDict(extra="forbid")

    overlap: Annotated[int, Field(ge=0, le=int(MAX_OVERLAP.total_seconds())), WHOLE] = int(
        DEFAULT_OVERLAP.total_seconds()
    )
    """Seconds for which the old key stays valid."""
    expires_at: Expiry | None = None


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str
    account: str
    scopes: list[Scope]
    label: str | None
    state: str
    """``valid``, ``revoked``, ``expired``, or ``disabled`` with its account."""
    created_at: datetime
    created_by: str | None
    """The id of the key that created it; null for a key created on the command line."""
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""
    revoked_at: datetime | None
    replaces: str | None
    replaced_by: str | None


class CreatedKeyView(KeyView):
    """A new key."""

    token: str
    """The bearer token. It is returned only once."""


class KeyList(BaseModel):
    """Keys, oldest first."""

    keys: list[KeyView]
    next_cursor: str | None


class KeyListParams(PageParams):
    """The query parameters of ``GET /v1/keys``."""

    account: Annotated[OptionalText, Field(description="Only those of this account.")] = None


def key_routes(redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the paths under ``/v1/keys``."""
    routes = APIRouter(prefix=PATH, tags=["accounts and keys"])

    @routes.post(
        "",
        status_code=201,
        response_model=CreatedKeyView,
        summary="Create a key",
        responses=problems("account-exists", "account-disabled"),
    )
    async def make_key(
        request: Request, caller: Admin, sent: Annotated[ParsedBody[KeyDraft], Depends(json_body(KeyDraft))]
    ) -> Response:
        draft = sent.model
        try:
            created = await create_key(
                redis,
                keys,
                draft.account,
                set(draft.scopes),
                label=draft.label,
                expires_at=draft.expires_at,
                by=request_actor(caller, request),
            )
        except ConfusableNameError as error:
            raise problem(409, "account-exists", str(error), title="Account exists") from None
        except AccountDisabledError as error:
            raise problem(409, "account-disabled", str(error), title="Account disabled") from None
        return await _created(created.id, created.token)

    @routes.get("", response_model=KeyList, summary="List keys")
    async def read_keys(
        caller: Admin,
        request: Request,
        _: Annotated[None, Depends(single_headers)],
        params: Annotated[KeyListParams, Depends(query_params(KeyListParams))],
    ) -> Response:
        limit = params.limit
        after = await requested_position(request, caller) or ""
        found = await list_keys(redis, keys, account=params.account, after=after, limit=limit + 1)
        page = found[:limit]
        following = await next_cursor(request, caller, page[-1].id if len(found) > limit else None)
        return json_answer({"keys": [_view(key) for key in page], "next_cursor": following})

    @routes.get("/{key_id}", response_model=KeyView, summary="Read a key")
    async def read_key(caller: Admin, _: NoParameters, key_id: str) -> Response:
        return json_answer(_view(await _existing(key_id)))

    @routes.post(
        "/{key_id}/rotate",
        status_code=201,
        response_model=CreatedKeyView,
        summary="Replace a key by a new one",
        responses=problems("not-rotated"),
    )
    async def replace_key(
        request: Request,
        caller: Admin,
        sent: Annotated[ParsedBody[KeyRotationRequest], Depends(json_body(KeyRotationRequest, optional=True))],
        key_id: str,
    ) -> Response:
        wanted = sent.model
        try:
            created = await rotate_key(
                redis,
                keys,
                key_id,
                overlap=timedelta(seconds=wanted.overlap),
                expires_at=wanted.expires_at,
                by=request_actor(caller, request),
            )
        except KeyRotationError as error:
            raise problem(409, "not-rotated", f"this key cannot be replaced: {error}", title="Not rotated") from None
        if created is None:
            raise not_found("key")
        return await _created(created.id, created.token)

    @routes.delete("/{key_id}", response_model=KeyView, summary="Revoke a key: it is rejected immediately")
    async def revoke(caller: Admin, _: NoParameters, key_id: str, request: Request) -> Response:
        if not await revoke_key(redis, keys, key_id, by=request_actor(caller, request)):
            raise not_found("key")
        return json_answer(_view(await _existing(key_id)))

    async def _existing(key_id: str) -> Key:
        found = await find_key(redis, keys, key_id)
        if found is None:
            raise not_found("key")
        return found

    async def _created(key_id: str, token: str) -> Response:
        shown = _view(await _existing(key_id)) | {"token": token}
        return json_answer(shown, 201, {"Location": f"{PATH}/{key_id}"})

    return routes


def _view(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "account": key.account,
        "scopes": sorted(key.scopes),
        "label": key.label,
        "state": key.state(datetime.now(UTC)),
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "replaces": key.replaces,
        "replaced_by": key.replaced_by,
    }

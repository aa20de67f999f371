"""The operators' API for accounts."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.auth.account_names import ConfusableNameError
from newswire.auth.accounts import (
    Account,
    create_account,
    disable_account,
    enable_account,
    entitle_account,
    find_account,
    limit_account,
    list_accounts,
)
from newswire.auth.authentication import request_actor
from newswire.filter_input import FilterInput
from newswire.filters import Filter
from newswire.http.pagination import (
    PageParams,
    json_answer,
    next_cursor,
    requested_position,
)
from newswire.http.problem_responses import problems
from newswire.http.problems import not_found, problem
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body, query_params, single_headers
from newswire.keys import Keyspace
from newswire.validation.fields import WHOLE, Flag, Number
from newswire_ingest.accounts.keys_api import AccountName, Admin

PATH = "/v1/accounts"

Rate = Annotated[Number, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Quota = Annotated[int, Field(ge=1, le=1_000_000_000), WHOLE]


class AccountPatch(BaseModel):
    """The changes to an account: absent members stay unchanged, null removes a limit or an entitlement."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    publish_rate: Rate | None = None
    """Publishing requests per second and key, in place of the setting."""
    daily_quota: Quota | None = None
    """New articles per day (UTC), in place of the setting."""
    entitlement: FilterInput | None = None
    """A filter on everything that the account reads, receives and replays, in the format of subscription filters."""
    disabled: Flag = False

    @model_validator(mode="after")
    def _has_changes(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("contains no change")
        return self


class AccountDraft(BaseModel):
    """The request body for a new account."""

    model_config = ConfigDict(extra="forbid")

    name: AccountName
    publish_rate: Rate | None = None
    daily_quota: Quota | None = None
    entitlement: FilterInput | None = None


class AccountView(BaseModel):
    """An account."""

    name: str
    created_at: datetime
    disabled_at: datetime | None
    publish_rate: float | None
    daily_quota: int | None
    entitlement: Filter | None
    """null: the account may read everything."""


class AccountList(BaseModel):
    """Accounts by name."""

    accounts: list[AccountView]
    next_cursor: str | None


def account_routes(redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the paths under ``/v1/accounts``."""
    routes = APIRouter(prefix=PATH, tags=["accounts and keys"])

    @routes.post(
        "",
        status_code=201,
        response_model=AccountView,
        summary="Create an account",
        responses=problems("account-exists"),
    )
    async def make_account(
        request: Request, caller: Admin, sent: Annotated[ParsedBody[AccountDraft], Depends(json_body(AccountDraft))]
    ) -> Response:
        name, by = sent.model.name, request_actor(caller, request)
        try:
            new = await create_account(redis, keys, name, by=by)
        except ConfusableNameError as error:
            raise problem(409, "account-exists", str(error), title="Account exists") from None
        if not new:
            raise problem(409, "account-exists", f"the account {name!r} exists already", title="Account exists")
        limits = sent.model.model_dump(include={"publish_rate", "daily_quota"}, exclude_none=True)
        await limit_account(redis, keys, name, limits, by=by)
        if sent.model.entitlement is not None:
            await entitle_account(redis, keys, name, sent.model.entitlement, by=by)
        return json_answer(_view(await _account(name)), 201)

    @routes.get("", response_model=AccountList, summary="List accounts")
    async def read_accounts(
        caller: Admin,
        request: Request,
        _: Annotated[None, Depends(single_headers)],
        params: Annotated[PageParams, Depends(query_params(PageParams))],
    ) -> Response:
        limit = params.limit
        after = await requested_position(request, caller) or ""
        found = await list_accounts(redis, keys, after=after, limit=limit + 1)
        page = found[:limit]
        following = await next_cursor(request, caller, page[-1].name if len(found) > limit else None)
        return json_answer({"accounts": [_view(account) for account in page], "next_cursor": following})

    @routes.get("/{name:path}", response_model=AccountView, summary="Read an account")
    async def read_account(caller: Admin, _: NoParameters, name: str) -> Response:
        return json_answer(_view(await _account(name)))

    @routes.patch("/{name:path}", response_model=AccountView, summary="Limit, entitle, disable or enable an account")
    async def change_account(
        request: Request,
        caller: Admin,
        sent: Annotated[ParsedBody[AccountPatch], Depends(json_body(AccountPatch))],
        name: str,
    ) -> Response:
        await _account(name)
        by = request_actor(caller, request)
        changes = sent.model.model_dump(exclude_unset=True)
        disabled = changes.pop("disabled", None)
        if "entitlement" in changes:
            await entitle_account(redis, keys, name, sent.model.entitlement, by=by)
            del changes["entitlement"]
        await limit_account(redis, keys, name, changes, by=by)
        if disabled is not None:
            await (disable_account if disabled else enable_account)(redis, keys, name, by=by)
        return json_answer(_view(await _account(name)))

    async def _account(name: str) -> Account:
        found = await find_account(redis, keys, name)
        if found is None:
            raise not_found("account")
        return found

    return routes


def _view(account: Account) -> dict[str, Any]:
    entitlement = account.entitlement
    return {
        **{field: value for field, value in asdict(account).items() if field != "entitlement"},
        "entitlement": None if entitlement is None else entitlement.model_dump(mode="json", exclude_defaults=True),
    }

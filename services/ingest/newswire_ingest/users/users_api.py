"""The operators' API for users."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from newswire.auth.account_names import MAX_ACCOUNT_NAME_CHARS
from newswire.auth.authentication import request_actor
from newswire.http.pagination import OptionalText, PageParams, json_answer, next_cursor, requested_position
from newswire.http.problem_responses import problems
from newswire.http.problems import invalid, not_found, problem
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body, query_params, single_headers
from newswire.users.models import (
    EmailTakenError,
    InvalidUserError,
    LastAdminError,
    User,
    UserChangedError,
    UserError,
)
from newswire.users.names import MAX_NAME_CHARS
from newswire.users.one_time_links import LIFETIMES, LinkPurpose
from newswire.users.records import user_document
from newswire.users.roles import Role
from newswire.users.service import UserService
from newswire.validation.email_addresses import MAX_ADDRESS_LENGTH
from newswire.validation.fields import Text
from newswire_ingest.accounts.keys_api import Admin

PATH = "/v1/users"
Email = Annotated[Text, StringConstraints(min_length=3, max_length=MAX_ADDRESS_LENGTH)]
Name = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS)]
Roles = Annotated[list[Role], Field(min_length=1, max_length=len(Role))]
Memberships = Annotated[
    dict[Annotated[str, StringConstraints(max_length=MAX_ACCOUNT_NAME_CHARS)], Roles],
    Field(min_length=1, max_length=50, description="The accounts of the user, each with the roles in it."),
]


class UserDraft(BaseModel):
    """The request body for a new user."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    name: Name
    memberships: Memberships
    invite: Annotated[
        bool, Field(description="Whether the user is sent a mail with a link by which it sets a password.")
    ] = False


class UserPatch(BaseModel):
    """The members of a user to change; those not sent stay."""

    model_config = ConfigDict(extra="forbid")

    email: Email | None = None
    name: Name | None = None
    memberships: Memberships | None = None
    disabled: bool | None = None


class LinkRequest(BaseModel):
    """Which one-time link to make."""

    model_config = ConfigDict(extra="forbid")

    purpose: LinkPurpose


class UserView(BaseModel):
    """A user."""

    id: str
    email: str
    name: str
    memberships: dict[str, list[Role]]
    created_at: datetime
    disabled_at: datetime | None
    last_sign_in_at: datetime | None
    has_password: bool


class UserList(BaseModel):
    """Users, oldest first."""

    users: list[UserView]
    next_cursor: str | None


class LinkView(BaseModel):
    """A one-time link. It is returned only once."""

    url: str
    purpose: LinkPurpose
    expires_at: datetime


class UserListParams(PageParams):
    """The query parameters of ``GET /v1/users``."""

    account: Annotated[OptionalText, Field(description="Only users of this account.")] = None


def router(service: UserService, site: str) -> APIRouter:
    """Return the paths under ``/v1/users``."""
    routes = APIRouter(prefix=PATH, tags=["accounts and keys"])

    @routes.post(
        "", status_code=201, response_model=UserView, summary="Create a user", responses=problems("email-taken")
    )
    async def create_user(
        request: Request, caller: Admin, sent: Annotated[ParsedBody[UserDraft], Depends(json_body(UserDraft))]
    ) -> Response:
        draft = sent.model
        memberships = _read_memberships(draft.memberships)
        try:
            user = await service.create(draft.email, draft.name, memberships, by=request_actor(caller, request))
            if draft.invite:
                await service.invite(user)
        except UserError as error:
            raise _problem(error) from None
        return json_answer(user_document(user), 201, {"Location": f"{PATH}/{user.id}"})

    @routes.get("", response_model=UserList, summary="List users")
    async def read_users(
        caller: Admin,
        request: Request,
        _: Annotated[None, Depends(single_headers)],
        params: Annotated[UserListParams, Depends(query_params(UserListParams))],
    ) -> Response:
        after = await requested_position(request, caller) or ""
        found = await service.users.list(account=params.account, after=after, limit=params.limit + 1)
        page = found[: params.limit]
        following = await next_cursor(request, caller, page[-1].id if len(found) > params.limit else None)
        return json_answer({"users": [user_document(user) for user in page], "next_cursor": following})

    @routes.get("/{user_id}", response_model=UserView, summary="Read a user")
    async def read_user(caller: Admin, _: NoParameters, user_id: str) -> Response:
        return json_answer(user_document(await existing(user_id)))

    @routes.patch(
        "/{user_id}",
        response_model=UserView,
        summary="Change, disable or enable a user",
        responses=problems("email-taken", "last-admin", "user-changed"),
    )
    async def change_user(
        request: Request,
        caller: Admin,
        sent: Annotated[ParsedBody[UserPatch], Depends(json_body(UserPatch))],
        user_id: str,
    ) -> Response:
        user, patch, by = await existing(user_id), sent.model, request_actor(caller, request)
        memberships = None if patch.memberships is None else _read_memberships(patch.memberships)
        try:
            if (patch.email, patch.name, memberships) != (None, None, None):
                user = await service.change(user, email=patch.email, name=patch.name, memberships=memberships, by=by)
            if patch.disabled is True and user.disabled_at is None:
                await service.disable(user, by=by)
            elif patch.disabled is False and user.disabled_at is not None:
                await service.enable(user, by=by)
        except UserError as error:
            raise _problem(error) from None
        return json_answer(user_document(await existing(user_id)))

    @routes.delete(
        "/{user_id}", status_code=204, summary="Delete a user: its sessions end", responses=problems("last-admin")
    )
    async def delete_user(request: Request, caller: Admin, _: NoParameters, user_id: str) -> Response:
        try:
            await service.delete(await existing(user_id), by=request_actor(caller, request))
        except UserError as error:
            raise _problem(error) from None
        return Response(status_code=204)

    @routes.post(
        "/{user_id}/links", status_code=201, response_model=LinkView, summary="Make a one-time link for a user"
    )
    async def make_link(
        request: Request,
        caller: Admin,
        sent: Annotated[ParsedBody[LinkRequest], Depends(json_body(LinkRequest))],
        user_id: str,
    ) -> Response:
        user, purpose, by = await existing(user_id), sent.model.purpose, request_actor(caller, request)
        token = await service.make_link(user, purpose, by=by)
        ends = datetime.now(UTC) + LIFETIMES[purpose]
        view = {"url": f"{site}/{purpose}/{token}", "purpose": purpose, "expires_at": ends.replace(microsecond=0)}
        return json_answer(view, 201, {"Cache-Control": "no-store"})

    @routes.post("/{user_id}/sign-out", status_code=204, summary="End all sessions of a user")
    async def sign_out(request: Request, caller: Admin, _: NoParameters, user_id: str) -> Response:
        await service.sign_out_everywhere(await existing(user_id), by=request_actor(caller, request))
        return Response(status_code=204)

    async def existing(user_id: str) -> User:
        found = await service.users.find(user_id)
        if found is None:
            raise not_found("user")
        return found

    return routes


def _read_memberships(sent: Mapping[str, list[Role]]) -> dict[str, frozenset[Role]]:
    return {account: frozenset(roles) for account, roles in sent.items()}


def _problem(error: UserError) -> Exception:
    match error:
        case InvalidUserError():
            member = error.field if error.field in ("email", "name") else "memberships"
            return invalid(member, str(error), "send another value")
        case EmailTakenError():
            return problem(409, "email-taken", "another user has this e-mail address", title="Address taken")
        case LastAdminError():
            return problem(409, "last-admin", str(error), title="Last admin")
        case UserChangedError():
            return problem(
                409, "user-changed", "the user was changed by another request; read it again", title="User changed"
            )
        case _:
            raise error

"""The pages on which admins manage the users of their accounts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.http.forms import FormData
from newswire.http.problems import not_found, problem
from newswire.observability.audit import Actor
from newswire.users.models import (
    EmailTakenError,
    InvalidUserError,
    LastAdminError,
    Memberships,
    User,
    UserChangedError,
)
from newswire.users.one_time_links import LinkPurpose
from newswire.users.roles import Permission, Role
from newswire.users.service import UserService, actor_of
from newswire.workspace.browser_sessions import (
    BrowserSessions,
    SignedIn,
    check_permission,
    client_of_request,
)
from newswire.workspace.frame import Workspace
from newswire.workspace.texts import texts
from newswire_ingest.users.account_pages import prove_address
from newswire_ingest.users.sign_in_pages import PACKAGE

PATH = "/users"
PAGE = 200
_ERRORS = {"email": "invalid_email", "name": "invalid_name", "roles": "no_roles"}


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link that was just made, shown once."""

    address: str
    user: User
    lifetime: str


def router(service: UserService, browsers: BrowserSessions, workspace: Workspace, site: str) -> APIRouter:
    """Return the pages. An admin sees and changes the roles in the admin's own accounts alone."""
    routes = workspace.routes()

    async def admin(request: Request) -> tuple[SignedIn, str]:
        """Return the admin and the account that the page is about."""
        signed_in = await browsers.require(request)
        accounts = signed_in.user.accounts_with(Permission.MANAGE_USERS)
        account = request.query_params.get("account") or next(iter(accounts or signed_in.user.memberships))
        check_permission(signed_in, account, Permission.MANAGE_USERS)
        return signed_in, account

    def is_proven(signed_in: SignedIn) -> bool:
        return service.sessions.is_fresh(signed_in.session)

    def prove_first(request: Request) -> Response:
        path = f"{request.url.path}?{request.url.query}" if request.method == "GET" else PATH
        return RedirectResponse(prove_address(path), 303)

    async def listed(
        request: Request,
        signed_in: SignedIn,
        account: str,
        *,
        status: int = 200,
        made: MadeLink | None = None,
        errors: Mapping[str, str] | None = None,
        sent: FormData | None = None,
    ) -> Response:
        return workspace.page(
            request,
            "users.html",
            signed_in,
            package=PACKAGE,
            status=status,
            account=account,
            accounts=signed_in.user.accounts_with(Permission.MANAGE_USERS),
            users=await service.users.list(account=account, limit=PAGE),
            roles=list(Role),
            made=made,
            errors=errors or {},
            sent=sent or FormData({}),
        )

    @routes.get(PATH)
    async def users_page(request: Request) -> Response:
        signed_in, account = await admin(request)
        return await listed(request, signed_in, account) if is_proven(signed_in) else prove_first(request)

    @routes.post(PATH)
    async def add_user(request: Request) -> Response:
        signed_in, account = await admin(request)
        sent = await browsers.read_form(request, signed_in)
        if not is_proven(signed_in):
            return prove_first(request)
        by = actor_of(signed_in.user, client_of_request(request), account)
        try:
            user = await service.create(sent.one("email"), sent.one("name"), {account: _roles(sent)}, by=by)
        except (InvalidUserError, EmailTakenError) as error:
            errors = explained(request, error)
            return await listed(request, signed_in, account, status=422, errors=errors, sent=sent)
        await service.invite(user, language=workspace.language(request))
        return await listed(request, signed_in, account, status=201, made=await link_for(user, by))

    async def link_for(user: User, by: Actor) -> MadeLink:
        """Return the link by which a user sets a first password, or a new one."""
        purpose = LinkPurpose.RESET_PASSWORD if user.has_password else LinkPurpose.INVITATION
        token = await service.make_link(user, purpose, by=by)
        return MadeLink(f"{site}/{purpose}/{token}", user, "hour_1" if user.has_password else "days_7")

    async def member(request: Request, user_id: str) -> tuple[SignedIn, str, User]:
        signed_in, account = await admin(request)
        user = await service.users.find(user_id)
        if user is None or account not in user.memberships:
            raise not_found("user")
        return signed_in, account, user

    def manages_all_of(signed_in: SignedIn, user: User) -> bool:
        """Return whether an admin manages every account of a user: only then may the admin sign in for it, or lock it out."""
        return user.memberships.keys() <= set(signed_in.user.accounts_with(Permission.MANAGE_USERS))

    async def edited(
        request: Request, signed_in: SignedIn, account: str, user: User, *, status: int = 200, error: str = ""
    ) -> Response:
        return workspace.page(
            request,
            "user.html",
            signed_in,
            package=PACKAGE,
            status=status,
            account=account,
            edited=user,
            roles=list(Role),
            error=error,
            managed=manages_all_of(signed_in, user),
        )

    @routes.get(f"{PATH}/{{user_id}}")
    async def user_page(request: Request, user_id: str) -> Response:
        signed_in, account, user = await member(request, user_id)
        return await edited(request, signed_in, account, user) if is_proven(signed_in) else prove_first(request)

    @routes.post(f"{PATH}/{{user_id}}")
    async def change_user(request: Request, user_id: str) -> Response:
        signed_in, account, user = await member(request, user_id)
        sent = await browsers.read_form(request, signed_in)
        if not is_proven(signed_in):
            return prove_first(request)
        by = actor_of(signed_in.user, client_of_request(request), account)
        seen = replace(user, revision=int(sent.one("revision")) if sent.one("revision").isdecimal() else 0)
        wanted: Memberships = {**user.memberships, account: _roles(sent)}
        act = sent.one("act")
        if act in ("disable", "enable", "link") and not manages_all_of(signed_in, user):
            detail = f"{user.name} is also a user of accounts that you do not manage"
            raise problem(403, "not-permitted", detail, title="Not permitted")
        try:
            match act:
                case "disable":
                    await service.disable(seen, by=by)
                case "enable":
                    await service.enable(seen, by=by)
                case "link":
                    made = await link_for(user, by)
                    return await listed(request, signed_in, account, status=201, made=made)
                case _:
                    await service.change(seen, memberships=wanted, by=by)
        except (InvalidUserError, LastAdminError, UserChangedError) as error:
            current = await service.users.find(user.id) or user
            message = next(iter(explained(request, error).values()))
            return await edited(request, signed_in, account, current, status=409, error=message)
        return RedirectResponse(f"{PATH}?account={quote(account, safe='')}", 303)

    def explained(request: Request, error: Exception) -> dict[str, str]:
        """Return what is wrong, by field, in the language of the browser."""
        wording = texts(workspace.language(request))
        match error:
            case InvalidUserError():
                return {error.field: wording[_ERRORS.get(error.field, "no_roles")]}
            case EmailTakenError():
                return {"email": wording["email_taken"]}
            case LastAdminError():
                return {"roles": wording["last_admin"]}
            case _:
                return {"roles": wording["changed_meanwhile"]}

    return routes


def _roles(sent: FormData) -> frozenset[Role]:
    """Return the roles that a form names; unknown ones are ignored."""
    known = {role.value for role in Role}
    return frozenset(Role(name) for name in sent.all("roles") if name in known)

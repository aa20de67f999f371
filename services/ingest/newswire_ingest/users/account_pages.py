"""The pages on which users manage their own sign-in: name, password, browsers, and proving again who they are."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.users.models import InvalidUserError, WeakPasswordError
from newswire.users.service import UserService, actor_of
from newswire.users.sign_in_limits import TooManyFailuresError
from newswire.workspace.browser_sessions import BrowserSessions, SignedIn, client_of_request, local_path
from newswire.workspace.frame import ACCOUNT_PATH, Workspace
from newswire.workspace.texts import texts
from newswire_ingest.users.browser_names import browser_name
from newswire_ingest.users.sign_in_pages import PACKAGE, too_many_failures

PROVE_PATH = "/account/prove"


def router(service: UserService, browsers: BrowserSessions, workspace: Workspace) -> APIRouter:
    """Return the pages."""
    routes = workspace.routes()

    async def account(
        request: Request, signed_in: SignedIn, shown: Mapping[str, str] | None = None, *, status: int = 200
    ) -> Response:
        return workspace.page(
            request,
            "account.html",
            signed_in,
            package=PACKAGE,
            status=status,
            session=signed_in.session,
            sessions=await service.sessions.list(signed_in.user.id),
            shown=shown or {},
            browser_name=browser_name,
        )

    @routes.get(ACCOUNT_PATH)
    async def account_page(request: Request) -> Response:
        signed_in = await browsers.require(request)
        done = request.query_params.get("done")
        known = {"password": "password_set", "saved": "saved"}
        wording = texts(workspace.language(request))
        return await account(request, signed_in, {"done": wording[known[done]]} if done in known else {})

    @routes.post(f"{ACCOUNT_PATH}/name")
    async def change_name(request: Request) -> Response:
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        try:
            await service.change(
                signed_in.user, name=sent.one("name"), by=actor_of(signed_in.user, client_of_request(request))
            )
        except InvalidUserError:
            error = texts(workspace.language(request))["invalid_name"]
            return await account(request, signed_in, {"name_error": error}, status=422)
        return RedirectResponse(f"{ACCOUNT_PATH}?done=saved", 303)

    @routes.post(f"{ACCOUNT_PATH}/password")
    async def change_password(request: Request) -> Response:
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        user, client, wording = signed_in.user, client_of_request(request), texts(workspace.language(request))
        if user.has_password:
            try:
                confirmed = await service.confirm_password(signed_in.session, user, sent.one("current"), client)
            except TooManyFailuresError as error:
                message = too_many_failures(wording, error)
                return await account(request, signed_in, {"current_error": message}, status=429)
            if confirmed is None:
                return await account(request, signed_in, {"current_error": wording["wrong_password"]}, status=403)
        elif not service.sessions.is_fresh(signed_in.session):
            return RedirectResponse(PROVE_PATH, 303)
        try:
            by = actor_of(user, client)
            await service.set_password(user, sent.one("password"), by=by, keep_session=signed_in.session.id)
        except WeakPasswordError:
            return await account(request, signed_in, {"password_error": wording["weak_password"]}, status=422)
        return RedirectResponse(f"{ACCOUNT_PATH}?done=password", 303)

    @routes.post(f"{ACCOUNT_PATH}/sessions/end")
    async def end_session(request: Request) -> Response:
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        by = actor_of(signed_in.user, client_of_request(request))
        if wanted := sent.one("session"):
            await service.sign_out(signed_in.user, wanted, by=by)
        else:
            await service.sign_out_everywhere(signed_in.user, by=by, but=signed_in.session.id)
        return RedirectResponse(ACCOUNT_PATH, 303)

    @routes.get(PROVE_PATH)
    async def prove_page(request: Request) -> Response:
        return prove(request, await browsers.require(request))

    @routes.post(PROVE_PATH)
    async def prove_identity(request: Request) -> Response:
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        wording = texts(workspace.language(request))
        try:
            confirmed = await service.confirm_password(
                signed_in.session, signed_in.user, sent.one("password"), client_of_request(request)
            )
        except TooManyFailuresError as error:
            return prove(request, signed_in, 429, too_many_failures(wording, error))
        if confirmed is None:
            return prove(request, signed_in, 403, wording["wrong_password"])
        return RedirectResponse(local_path(request.query_params.get("next", ""), ACCOUNT_PATH), 303)

    def prove(request: Request, signed_in: SignedIn, status: int = 200, error: str = "") -> Response:
        following = local_path(request.query_params.get("next", ""), ACCOUNT_PATH)
        return workspace.page(
            request, "prove.html", signed_in, package=PACKAGE, status=status, error=error, following=following
        )

    return routes

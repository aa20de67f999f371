"""The pages for signing in: by password, or by a one-time link. GET never changes anything, and never uses a link up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.concurrency.offload import OffloadError
from newswire.http.forms import FormData, read_form
from newswire.http.templating import add_asset
from newswire.users.models import StartedSession, UserChangedError, WeakPasswordError
from newswire.users.one_time_links import LinkPurpose
from newswire.users.service import UserService, actor_of
from newswire.users.sign_in_limits import TooManyFailuresError
from newswire.workspace.browser_sessions import (
    SIGN_IN_PATH,
    BrowserSessions,
    check_origin,
    client_of_request,
    local_path,
)
from newswire.workspace.frame import Workspace, home_of
from newswire.workspace.texts import texts
from newswire_ingest.openid.providers import OpenIdProvider
from newswire_ingest.openid.service import OpenIdService
from newswire_ingest.passkeys.models import RelyingParty

PACKAGE = "newswire_ingest.users"
FORGOT_PATH = "/forgot-password"
PASSKEYS_SCRIPT = add_asset(PACKAGE, "passkeys.js")


@dataclass(frozen=True, slots=True)
class SignInForm:
    """Shows the page, and what follows it."""

    workspace: Workspace
    browsers: BrowserSessions
    site: RelyingParty | None
    """For passkeys; None where browsers cannot have them."""
    providers: Sequence[OpenIdProvider] = ()

    def show(
        self, request: Request, *, email: str = "", error: str = "", status: int = 200, **headers: str
    ) -> Response:
        """Return the page; ``email`` is what was typed."""
        with_passkeys = self.site is not None and self.site.is_at(request.headers.get("host", ""))
        return self.workspace.page(
            request,
            "sign_in.html",
            None,
            package=PACKAGE,
            status=status,
            headers=headers,
            scripts=[PASSKEYS_SCRIPT] if with_passkeys else (),
            email=email[:254],
            error=error,
            following=local_path(request.query_params.get("next", ""), ""),
            with_passkeys=with_passkeys,
            providers=self.providers,
        )

    async def welcome(self, request: Request, started: StartedSession, path: str = "") -> Response:
        """Return the response that puts a session into the browser and leads to a page, by default to where the user works."""
        response = RedirectResponse(path or home_of(started.user), 303)
        await self.browsers.start(request, response, started)
        return response


def leave(workspace: Workspace, request: Request, address: str, provider: str, *, signs_out: bool = False) -> Response:
    """Return the page that leads to a provider.

    It is no redirect: browsers apply the policy of the page with the form to every redirect that follows its sending, and
    providers redirect further, to addresses that are not known here.
    """
    following = {"Refresh": f"0; url={address}"}
    return workspace.page(
        request,
        "leaving.html",
        None,
        package=PACKAGE,
        headers=following,
        address=address,
        label=provider,
        signs_out=signs_out,
    )


def router(
    service: UserService, browsers: BrowserSessions, workspace: Workspace, form: SignInForm, openid: OpenIdService
) -> APIRouter:
    """Return the pages."""
    routes = workspace.routes()

    @routes.get(SIGN_IN_PATH)
    async def sign_in_page(request: Request) -> Response:
        signed_in = await browsers.find(request)
        if signed_in:
            return RedirectResponse(local_path(request.query_params.get("next", ""), home_of(signed_in.user)), 303)
        return form.show(request)

    @routes.post(SIGN_IN_PATH)
    async def sign_in(request: Request) -> Response:
        check_origin(request)
        sent = await read_form(request)
        wording, email = texts(workspace.language(request)), sent.one("email")
        try:
            started = await service.sign_in(email, sent.one("password"), client_of_request(request))
        except TooManyFailuresError as error:
            message = too_many_failures(wording, error)
            return form.show(request, email=email, error=message, status=429, **{"Retry-After": str(error.seconds)})
        except OffloadError:
            return form.show(request, email=email, error=wording["busy"], status=503, **{"Retry-After": "2"})
        if started is None:
            return form.show(request, email=email, error=wording["wrong_sign_in"], status=403)
        return await form.welcome(request, started, local_path(request.query_params.get("next", ""), ""))

    @routes.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        signed_in = await browsers.find(request)
        if signed_in is not None:
            await browsers.read_form(request, signed_in)
            by = actor_of(signed_in.user, client_of_request(request))
            await service.sign_out(signed_in.user, signed_in.session.id, by=by)
        response: Response = RedirectResponse(SIGN_IN_PATH, 303)
        at_provider = signed_in.session.at_provider if signed_in else None
        if at_provider and (address := await openid.sign_out_address(at_provider)):
            label = openid.clients[at_provider.provider].provider.label
            response = leave(workspace, request, address, label, signs_out=True)
        browsers.clear(response)
        return response

    @routes.get("/sign-in/{token}")
    async def sign_in_link_page(request: Request, token: str) -> Response:
        return await link_page(request, LinkPurpose.SIGN_IN, token)

    @routes.post("/sign-in/{token}")
    async def sign_in_by_link(request: Request, token: str) -> Response:
        check_origin(request)
        user = await service.linked_user(LinkPurpose.SIGN_IN, token, use=True)
        if user is None:
            return ended(request)
        return await form.welcome(request, await service.start_session(user, client_of_request(request), method="link"))

    @routes.get("/invitation/{token}")
    async def invitation_page(request: Request, token: str) -> Response:
        return await link_page(request, LinkPurpose.INVITATION, token)

    @routes.post("/invitation/{token}")
    async def accept_invitation(request: Request, token: str) -> Response:
        return await set_password(request, LinkPurpose.INVITATION, token)

    @routes.get("/reset-password/{token}")
    async def reset_page(request: Request, token: str) -> Response:
        return await link_page(request, LinkPurpose.RESET_PASSWORD, token)

    @routes.post("/reset-password/{token}")
    async def reset_password(request: Request, token: str) -> Response:
        return await set_password(request, LinkPurpose.RESET_PASSWORD, token)

    async def link_page(
        request: Request, purpose: LinkPurpose, token: str, *, error: str = "", status: int = 200
    ) -> Response:
        user = await service.linked_user(purpose, token)
        if user is None:
            return ended(request)
        return workspace.page(
            request,
            "link.html",
            None,
            package=PACKAGE,
            status=status,
            linked=user,
            with_password=purpose is not LinkPurpose.SIGN_IN,
            error=error,
        )

    async def set_password(request: Request, purpose: LinkPurpose, token: str) -> Response:
        check_origin(request)
        sent: FormData = await read_form(request)
        user = await service.linked_user(purpose, token)
        if user is None:
            return ended(request)
        client = client_of_request(request)
        try:
            # The password changes the user's revision, with which the link ends: no second request can set another one.
            await service.set_password(user, sent.one("password"), by=actor_of(user, client))
        except WeakPasswordError:
            wording = texts(workspace.language(request))
            return await link_page(request, purpose, token, error=wording["weak_password"], status=422)
        except UserChangedError:
            return ended(request)
        await service.linked_user(purpose, token, use=True)
        return await form.welcome(request, await service.start_session(user, client, method="link"))

    def ended(request: Request) -> Response:
        wording = texts(workspace.language(request))
        return workspace.page(
            request,
            "problem.html",
            None,
            status=404,
            heading=wording["link_ended"],
            detail=wording["link_ended_detail"],
        )

    return routes


def too_many_failures(wording: Mapping[str, str], error: TooManyFailuresError) -> str:
    """Return the text that says when the next attempt is accepted."""
    return wording["too_many"].format(minutes=ceil(error.seconds / 60))

"""The pages on which users manage their own sign-in: name, password, browsers, and proving again who they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.users.models import InvalidUserError, UsableCredentials, WeakPasswordError
from newswire.users.service import UserService, actor_of
from newswire.users.sign_in_limits import TooManyFailuresError
from newswire.workspace.browser_sessions import BrowserSessions, SignedIn, client_of_request, local_path
from newswire.workspace.frame import ACCOUNT_PATH, Workspace
from newswire.workspace.texts import texts
from newswire_ingest.openid.service import OpenIdService
from newswire_ingest.passkeys.models import MAX_PASSKEYS
from newswire_ingest.passkeys.service import PasskeyService
from newswire_ingest.users.browser_names import browser_name
from newswire_ingest.users.sign_in_pages import PACKAGE, PASSKEYS_SCRIPT, too_many_failures

PROVE_PATH = "/account/prove"


def prove_address(following: str) -> str:
    """Return where a user proves again who it is, and goes on from to a page."""
    return f"{PROVE_PATH}?next={quote(following, safe='')}"


@dataclass(frozen=True, slots=True)
class AccountView:
    """Shows the page of the account, and the one on which users prove who they are."""

    service: UserService
    passkeys: PasskeyService | None
    openid: OpenIdService
    workspace: Workspace
    usable: UsableCredentials

    async def account(
        self, request: Request, signed_in: SignedIn, shown: Mapping[str, str] | None = None, *, status: int = 200
    ) -> Response:
        """Return the page. ``shown``: what was done, or what is wrong with which field, and what was typed there."""
        is_fresh = self.service.sessions.is_fresh(signed_in.session)
        passkeys = await self.passkeys.passkeys.list(signed_in.user.id) if self.passkeys else None
        identities = await self.openid.identities.list(signed_in.user.id)
        linked = {each.issuer.rstrip("/") for each in identities}
        return self.workspace.page(
            request,
            "account.html",
            signed_in,
            package=PACKAGE,
            status=status,
            scripts=[PASSKEYS_SCRIPT] if self.passkeys and is_fresh else (),
            session=signed_in.session,
            sessions=await self.service.sessions.list(signed_in.user.id),
            shown=shown or {},
            browser_name=browser_name,
            passkeys=passkeys,
            max_passkeys=MAX_PASSKEYS,
            suggested=browser_name(request.headers.get("user-agent", "")),
            identities=identities,
            linkable=[each for each in self.openid.providers if each.issuer.rstrip("/") not in linked],
            is_password_removable=bool(passkeys or any(each.issuer in self.usable.issuers for each in identities)),
            labels={each.issuer.rstrip("/"): each.label for each in self.openid.providers},
            passkeys_at=self._other_address(request),
            is_fresh=is_fresh,
        )

    async def prove(
        self,
        request: Request,
        signed_in: SignedIn,
        status: int = 200,
        error: str = "",
        *,
        provider_error: str = "",
        following: str = "",
    ) -> Response:
        """Return the page on which a user proves its identity again. ``following``: where to, if the request does not name it."""
        here = self.passkeys if not self._other_address(request) else None
        with_passkeys = bool(here and await here.passkeys.list(signed_in.user.id))
        linked = {each.issuer.rstrip("/") for each in await self.openid.identities.list(signed_in.user.id)}
        return self.workspace.page(
            request,
            "prove.html",
            signed_in,
            package=PACKAGE,
            status=status,
            scripts=[PASSKEYS_SCRIPT] if with_passkeys else (),
            error=error,
            provider_error=provider_error,
            following=local_path(request.query_params.get("next", "") or following, ACCOUNT_PATH),
            with_passkeys=with_passkeys,
            providers=[each for each in self.openid.providers if each.issuer.rstrip("/") in linked],
        )

    def _other_address(self, request: Request) -> str:
        """Return where to open the site for passkeys, if that is not where the browser is."""
        site = self.passkeys.site if self.passkeys else None
        return "" if site is None or site.is_at(request.headers.get("host", "")) else site.origin


def router(service: UserService, browsers: BrowserSessions, workspace: Workspace, view: AccountView) -> APIRouter:
    """Return the pages."""
    routes = workspace.routes()

    @routes.get(ACCOUNT_PATH)
    async def account_page(request: Request) -> Response:
        signed_in = await browsers.require(request)
        done = request.query_params.get("done")
        known = {
            "password": "password_set",
            "saved": "saved",
            "passkey": "passkey_added",
            "passkey-removed": "passkey_removed",
            "password-removed": "password_removed",
            "identity": "identity_linked",
            "identity-removed": "identity_removed",
        }
        wording = texts(workspace.language(request), PACKAGE)
        return await view.account(request, signed_in, {"done": wording[known[done]]} if done in known else {})

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
            return await view.account(request, signed_in, {"name_error": error}, status=422)
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
                return await view.account(request, signed_in, {"current_error": message}, status=429)
            if confirmed is None:
                return await view.account(request, signed_in, {"current_error": wording["wrong_password"]}, status=403)
        elif not service.sessions.is_fresh(signed_in.session):
            return RedirectResponse(PROVE_PATH, 303)
        try:
            by = actor_of(user, client)
            await service.set_password(user, sent.one("password"), by=by, keep_session=signed_in.session.id)
        except WeakPasswordError:
            return await view.account(request, signed_in, {"password_error": wording["weak_password"]}, status=422)
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
        return await view.prove(request, await browsers.require(request))

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
            return await view.prove(request, signed_in, 429, too_many_failures(wording, error))
        if confirmed is None:
            return await view.prove(request, signed_in, 403, wording["wrong_password"])
        return RedirectResponse(local_path(request.query_params.get("next", ""), ACCOUNT_PATH), 303)

    return routes

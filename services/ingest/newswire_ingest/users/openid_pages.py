"""The routes by which users sign in with a provider of OpenID Connect, and prove with it who they are."""

import logging
from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.http.problems import not_found
from newswire.users.service import actor_of
from newswire.workspace.browser_sessions import (
    SIGN_IN_PATH,
    BrowserSessions,
    check_origin,
    client_of_request,
    local_path,
)
from newswire.workspace.frame import ACCOUNT_PATH, Workspace
from newswire.workspace.texts import texts
from newswire_ingest.openid.client import Answer
from newswire_ingest.openid.errors import (
    AttemptEndedError,
    IdentityRefusedError,
    OpenIdError,
    OtherIdentityError,
    ProviderRefusedError,
    ProviderUnavailableError,
    TooManyAttemptsError,
    UnknownPersonError,
    UnverifiedEmailError,
)
from newswire_ingest.openid.service import OpenIdService
from newswire_ingest.passkeys.models import LastCredentialError
from newswire_ingest.users.account_pages import PROVE_PATH, AccountView
from newswire_ingest.users.passkey_pages import BrowserTokens
from newswire_ingest.users.sign_in_pages import PACKAGE, SignInForm

log = logging.getLogger(__name__)

OPENID_PATH = f"{SIGN_IN_PATH}/openid"
_TEXTS: Mapping[type[OpenIdError], tuple[int, str]] = {
    ProviderUnavailableError: (502, "provider_unavailable"),
    ProviderRefusedError: (403, "provider_refused"),
    AttemptEndedError: (403, "attempt_ended"),
    IdentityRefusedError: (403, "identity_refused"),
    UnverifiedEmailError: (403, "unverified_email"),
    UnknownPersonError: (403, "unknown_person"),
    OtherIdentityError: (403, "other_identity"),
    TooManyAttemptsError: (429, "too_many_attempts"),
}


def router(
    service: OpenIdService,
    browsers: BrowserSessions,
    workspace: Workspace,
    form: SignInForm,
    view: AccountView,
    tokens: BrowserTokens,
) -> APIRouter:
    """Return the routes."""
    routes = workspace.routes()

    def check_provider(name: str) -> None:
        if name not in service.clients:
            raise not_found("provider")

    def leave(request: Request, address: str, provider: str) -> Response:
        """Return the page that leads to the provider.

        It is no redirect: browsers apply the policy of the page with the form to every redirect that follows its sending, and
        providers redirect further, to addresses that are not known here.
        """
        label = service.clients[provider].provider.label
        following = {"Refresh": f"0; url={address}"}
        return workspace.page(
            request, "leaving.html", None, package=PACKAGE, headers=following, address=address, label=label
        )

    def refused(request: Request, provider: str, error: OpenIdError) -> Response:
        label = service.clients[provider].provider.label
        log.warning(
            "a sign-in with a provider failed",
            extra={"provider": provider, "kind": type(error).__name__, "reason": str(error)[:300]},
        )
        status, name = _TEXTS[type(error)]
        wording = texts(workspace.language(request), PACKAGE)
        headers = {"Retry-After": str(error.seconds)} if isinstance(error, TooManyAttemptsError) else {}
        return form.show(request, error=wording[name].format(provider=label), status=status, **headers)

    @routes.post(f"{OPENID_PATH}/{{provider}}")
    async def begin(request: Request, provider: str) -> Response:
        check_origin(request)
        check_provider(provider)
        browser, new_token = tokens.ensure(request)
        following = local_path(request.query_params.get("next", ""), "")
        try:
            address = await service.begin(provider, browser, following, client_of_request(request))
        except OpenIdError as error:
            return refused(request, provider, error)
        response = leave(request, address, provider)
        tokens.set(response, new_token)
        return response

    @routes.get(f"{OPENID_PATH}/{{provider}}/callback")
    async def finish(request: Request, provider: str) -> Response:
        check_provider(provider)
        sent = request.query_params
        answer = Answer(*(sent.get(name, "") for name in ("code", "state", "iss", "error")))
        signed_in = await browsers.find(request)
        session = (signed_in.session, signed_in.user) if signed_in else None
        try:
            done = await service.finish(provider, answer, tokens.find(request), client_of_request(request), session)
        except OpenIdError as error:
            return refused(request, provider, error)
        if done.started is not None:
            return form.welcome(done.started, local_path(done.following, ""))
        return RedirectResponse(local_path(done.following, ACCOUNT_PATH), 303)

    @routes.post(f"{PROVE_PATH}/openid/{{provider}}")
    async def prove(request: Request, provider: str) -> Response:
        signed_in = await browsers.require(request)
        await browsers.read_form(request, signed_in)
        check_provider(provider)
        following = local_path(request.query_params.get("next", ""), ACCOUNT_PATH)
        client = client_of_request(request)
        try:
            address = await service.begin(provider, signed_in.session.id, following, client, user=signed_in.user)
        except OpenIdError as error:
            return refused(request, provider, error)
        return leave(request, address, provider)

    @routes.post(f"{ACCOUNT_PATH}/identities/remove")
    async def unlink(request: Request) -> Response:
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        if not view.service.sessions.is_fresh(signed_in.session):
            return RedirectResponse(PROVE_PATH, 303)
        by = actor_of(signed_in.user, client_of_request(request))
        try:
            await service.unlink(signed_in.user, sent.one("issuer"), by=by)
        except LastCredentialError:
            wording = texts(workspace.language(request), PACKAGE)
            return await view.account(request, signed_in, {"identity_error": wording["last_identity"]}, status=409)
        return RedirectResponse(f"{ACCOUNT_PATH}?done=identity-removed", 303)

    return routes

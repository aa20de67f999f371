"""The routes by which users remove credentials: the password, a passkey, or the link to a provider."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.http.forms import FormData
from newswire.observability.audit import Actor
from newswire.users.models import LastCredentialError
from newswire.users.service import UserService, actor_of
from newswire.workspace.browser_sessions import BrowserSessions, SignedIn, client_of_request
from newswire.workspace.frame import ACCOUNT_PATH
from newswire.workspace.texts import texts
from newswire_ingest.openid.service import OpenIdService
from newswire_ingest.passkeys.service import PasskeyService
from newswire_ingest.users.account_pages import AccountView, prove_address
from newswire_ingest.users.sign_in_pages import PACKAGE

Remove = Callable[[SignedIn, FormData, Actor, str], Awaitable[object]]
"""Removes what a form names. The last argument is the language of the browser."""


def router(
    users: UserService,
    passkeys: PasskeyService | None,
    openid: OpenIdService,
    browsers: BrowserSessions,
    view: AccountView,
) -> APIRouter:
    """Return the routes. Each needs a recent proof of identity, and leaves the user a way to sign in."""
    routes = view.workspace.routes()

    async def remove_credential(request: Request, kind: str, remove: Remove) -> Response:
        """Remove a credential. Its texts are ``last_<kind>`` and, by the page's ``done``, ``<kind>_removed``."""
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        if not browsers.is_fresh(signed_in):
            return RedirectResponse(prove_address(ACCOUNT_PATH), 303)
        language = view.workspace.language(request)
        try:
            await remove(signed_in, sent, actor_of(signed_in.user, client_of_request(request)), language)
        except LastCredentialError:
            wording = texts(language, PACKAGE)
            return await view.account(request, signed_in, {"error": wording[f"last_{kind}"]}, status=409)
        return RedirectResponse(f"{ACCOUNT_PATH}?done={kind}-removed", 303)

    @routes.post(f"{ACCOUNT_PATH}/password/remove")
    async def remove_password(request: Request) -> Response:
        return await remove_credential(
            request,
            "password",
            lambda signed_in, _, by, language: users.remove_password(
                signed_in.user, view.usable, by=by, keep_session=signed_in.session.id, language=language
            ),
        )

    @routes.post(f"{ACCOUNT_PATH}/identities/remove")
    async def unlink(request: Request) -> Response:
        return await remove_credential(
            request,
            "identity",
            lambda signed_in, sent, by, language: openid.unlink(
                signed_in.user, sent.one("issuer"), by=by, language=language
            ),
        )

    if passkeys is not None:

        @routes.post(f"{ACCOUNT_PATH}/passkeys/remove")
        async def remove_passkey(request: Request) -> Response:
            return await remove_credential(
                request,
                "passkey",
                lambda signed_in, sent, by, language: passkeys.remove(
                    signed_in.user, sent.one("passkey"), by=by, language=language
                ),
            )

    return routes

"""The routes with which browsers add, use and remove passkeys. The pages themselves are those of sign-in and account."""

import hashlib
import re
import secrets
from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.http.forms import read_form
from newswire.http.problems import problem
from newswire.users.service import actor_of
from newswire.users.sign_in_limits import TooManyFailuresError
from newswire.workspace.browser_sessions import (
    SIGN_IN_PATH,
    BrowserSessions,
    check_origin,
    client_of_request,
    local_path,
)
from newswire.workspace.frame import ACCOUNT_PATH, Workspace
from newswire.workspace.texts import texts
from newswire_ingest.passkeys.models import (
    ChallengeExpiredError,
    InvalidNameError,
    LastCredentialError,
    PasskeyError,
    PasskeyTakenError,
    TooManyPasskeysError,
)
from newswire_ingest.passkeys.service import PasskeyService
from newswire_ingest.users.account_pages import PROVE_PATH, AccountView
from newswire_ingest.users.sign_in_pages import PACKAGE, SignInForm, too_many_failures

PASSKEYS_PATH = f"{ACCOUNT_PATH}/passkeys"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_TEXTS: Mapping[type[PasskeyError], str] = {
    ChallengeExpiredError: "passkey_expired",
    InvalidNameError: "invalid_passkey_name",
    LastCredentialError: "last_credential",
    PasskeyTakenError: "passkey_known",
    TooManyPasskeysError: "too_many_passkeys",
}


class BrowserTokens:
    """Tells browsers in which nobody is signed in yet from each other, by a cookie: a challenge is bound to one of them."""

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure
        self._cookie = "__Host-newswire-browser" if secure else "newswire-browser"

    def find(self, request: Request) -> str:
        """Return the token of a browser, hashed; empty if it has none."""
        token = request.cookies.get(self._cookie, "")
        return hashlib.sha256(token.encode()).hexdigest() if _TOKEN.fullmatch(token) else ""

    def ensure(self, request: Request) -> tuple[str, str]:
        """Return the hashed token of a browser, and the token to set; the latter is empty if the browser has one."""
        if found := self.find(request):
            return found, ""
        token = secrets.token_urlsafe(32)
        return hashlib.sha256(token.encode()).hexdigest(), token

    def set(self, response: Response, token: str) -> None:
        """Give a browser its token, until the browser is closed."""
        if token:
            response.set_cookie(self._cookie, token, path="/", secure=self._secure, httponly=True, samesite="lax")


def router(
    service: PasskeyService,
    browsers: BrowserSessions,
    workspace: Workspace,
    form: SignInForm,
    view: AccountView,
    tokens: BrowserTokens,
) -> APIRouter:
    """Return the routes."""
    routes = workspace.routes()
    _add_sign_in(routes, service, workspace, form, tokens)
    _add_account(routes, service, browsers, workspace, view)
    _add_proof(routes, service, browsers, workspace, view)
    return routes


def _add_sign_in(
    routes: APIRouter, service: PasskeyService, workspace: Workspace, form: SignInForm, tokens: BrowserTokens
) -> None:
    @routes.get(f"{SIGN_IN_PATH}/passkey/options")
    async def sign_in_options(request: Request) -> Response:
        browser, new_token = tokens.ensure(request)
        response = _json(await service.sign_in_options(browser))
        tokens.set(response, new_token)
        return response

    @routes.post(f"{SIGN_IN_PATH}/passkey")
    async def sign_in(request: Request) -> Response:
        check_origin(request)
        sent = await read_form(request)
        wording = texts(workspace.language(request), PACKAGE)
        try:
            started = await service.sign_in(sent.one("credential"), tokens.find(request), client_of_request(request))
        except TooManyFailuresError as error:
            message = too_many_failures(wording, error)
            return form.show(request, error=message, status=429, **{"Retry-After": str(error.seconds)})
        except PasskeyError as error:
            return form.show(request, error=wording[_TEXTS.get(type(error), "passkey_refused")], status=403)
        return form.welcome(started, local_path(request.query_params.get("next", ""), ""))


def _add_account(
    routes: APIRouter, service: PasskeyService, browsers: BrowserSessions, workspace: Workspace, view: AccountView
) -> None:
    @routes.get(f"{PASSKEYS_PATH}/options")
    async def registration_options(request: Request) -> Response:
        signed_in = await browsers.require(request)
        if not view.service.sessions.is_fresh(signed_in.session):
            detail = f"prove at {PROVE_PATH} that it is you"
            raise problem(403, "not-permitted", detail, title="Not permitted")
        return _json(await service.registration_options(signed_in.user, signed_in.session))

    @routes.post(PASSKEYS_PATH)
    async def add_passkey(request: Request) -> Response:
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        if not view.service.sessions.is_fresh(signed_in.session):
            return RedirectResponse(PROVE_PATH, 303)
        name, by = sent.one("name"), actor_of(signed_in.user, client_of_request(request))
        try:
            await service.add(signed_in.user, signed_in.session, sent.one("credential"), name, by=by)
        except PasskeyError as error:
            wording = texts(workspace.language(request), PACKAGE)
            field = "passkey_name_error" if isinstance(error, InvalidNameError) else "passkey_error"
            shown = {field: wording[_TEXTS.get(type(error), "passkey_refused")], "passkey_name": name[:200]}
            return await view.account(request, signed_in, shown, status=422)
        return RedirectResponse(f"{ACCOUNT_PATH}?done=passkey", 303)

    @routes.post(f"{PASSKEYS_PATH}/remove")
    async def remove_passkey(request: Request) -> Response:
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        if not view.service.sessions.is_fresh(signed_in.session):
            return RedirectResponse(PROVE_PATH, 303)
        by = actor_of(signed_in.user, client_of_request(request))
        try:
            await service.remove(signed_in.user, sent.one("passkey"), by=by)
        except LastCredentialError:
            wording = texts(workspace.language(request), PACKAGE)
            return await view.account(request, signed_in, {"passkey_error": wording["last_credential"]}, status=409)
        return RedirectResponse(f"{ACCOUNT_PATH}?done=passkey-removed", 303)


def _add_proof(
    routes: APIRouter, service: PasskeyService, browsers: BrowserSessions, workspace: Workspace, view: AccountView
) -> None:
    @routes.get(f"{PROVE_PATH}/passkey/options")
    async def proof_options(request: Request) -> Response:
        signed_in = await browsers.require(request)
        return _json(await service.proof_options(signed_in.user, signed_in.session))

    @routes.post(f"{PROVE_PATH}/passkey")
    async def prove(request: Request) -> Response:
        signed_in = await browsers.require(request)
        sent = await browsers.read_form(request, signed_in)
        wording = texts(workspace.language(request), PACKAGE)
        try:
            await service.prove(signed_in.session, signed_in.user, sent.one("credential"), client_of_request(request))
        except TooManyFailuresError as error:
            return await view.prove(request, signed_in, 429, too_many_failures(wording, error))
        except PasskeyError as error:
            return await view.prove(request, signed_in, 403, wording[_TEXTS.get(type(error), "passkey_refused")])
        return RedirectResponse(local_path(request.query_params.get("next", ""), ACCOUNT_PATH), 303)


def _json(content: str) -> Response:
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})

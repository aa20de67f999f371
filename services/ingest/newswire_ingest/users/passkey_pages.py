"""The routes with which browsers add and use passkeys. The pages themselves are those of sign-in and account."""

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
from newswire.workspace.browser_tokens import BrowserTokens
from newswire.workspace.frame import ACCOUNT_PATH, Workspace
from newswire.workspace.texts import texts
from newswire_ingest.passkeys.models import (
    ChallengeExpiredError,
    InvalidNameError,
    PasskeyError,
    PasskeyTakenError,
    TooManyPasskeysError,
)
from newswire_ingest.passkeys.service import PasskeyService
from newswire_ingest.users.account_pages import PROVE_PATH, AccountView
from newswire_ingest.users.sign_in_pages import PACKAGE, SignInForm, too_many_failures

PASSKEYS_PATH = f"{ACCOUNT_PATH}/passkeys"
_TEXTS: Mapping[type[PasskeyError], str] = {
    ChallengeExpiredError: "passkey_expired",
    InvalidNameError: "invalid_passkey_name",
    PasskeyTakenError: "passkey_known",
    TooManyPasskeysError: "too_many_passkeys",
}


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
        return await form.welcome(request, started, local_path(request.query_params.get("next", ""), ""))


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
            language = workspace.language(request)
            await service.add(signed_in.user, signed_in.session, sent.one("credential"), name, by=by, language=language)
        except PasskeyError as error:
            wording = texts(workspace.language(request), PACKAGE)
            field = "passkey_name_error" if isinstance(error, InvalidNameError) else "error"
            shown = {field: wording[_TEXTS.get(type(error), "passkey_refused")], "passkey_name": name[:200]}
            return await view.account(request, signed_in, shown, status=422)
        return RedirectResponse(f"{ACCOUNT_PATH}?done=passkey", 303)


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

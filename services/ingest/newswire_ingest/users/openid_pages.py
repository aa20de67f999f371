"""The routes by which users sign in with a provider of OpenID Connect, prove their identity again, and link it."""

import logging
from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.http.problems import not_found
from newswire.users.service import actor_of
from newswire.workspace.browser_sessions import (
    SIGN_IN_PATH,
    BrowserSessions,
    SignedIn,
    check_origin,
    client_of_request,
    local_path,
)
from newswire.workspace.browser_tokens import BrowserTokens
from newswire.workspace.frame import ACCOUNT_PATH, Workspace
from newswire.workspace.texts import texts
from newswire_ingest.openid.attempts import Aim, Attempt
from newswire_ingest.openid.errors import (
    AttemptEndedError,
    IdentityRefusedError,
    IdentityTakenError,
    OpenIdError,
    OtherIdentityError,
    ProviderRefusedError,
    ProviderUnavailableError,
    TooManyAttemptsError,
    UnknownPersonError,
    UnverifiedEmailError,
)
from newswire_ingest.openid.models import Answer
from newswire_ingest.openid.service import OpenIdService
from newswire_ingest.users.account_pages import PROVE_PATH, AccountView, prove_address
from newswire_ingest.users.sign_in_pages import PACKAGE, SignInForm, leave

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
    IdentityTakenError: (409, "identity_taken"),
}
_LINK_TEXTS: Mapping[type[OpenIdError], str] = {
    IdentityRefusedError: "link_refused",
    UnverifiedEmailError: "link_refused",
    UnknownPersonError: "link_refused",
}
"""Where the others speak of signing in."""


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

    async def refused(
        request: Request, provider: str, error: OpenIdError, signed_in: SignedIn | None, attempt: Attempt | None = None
    ) -> Response:
        """Return the page from which the person began, with what went wrong."""
        label = service.clients[provider].provider.label
        log.warning(
            "a sign-in with a provider failed",
            extra={"provider": provider, "kind": type(error).__name__, "reason": str(error)[:300]},
        )
        status, name = _TEXTS[type(error)]
        if attempt is not None and attempt.aim is Aim.LINK:
            name = _LINK_TEXTS.get(type(error), name)
        wording = texts(workspace.language(request), PACKAGE)[name].format(provider=label)
        headers = {"Retry-After": str(error.seconds)} if isinstance(error, TooManyAttemptsError) else {}
        if signed_in is None:
            return form.show(request, error=wording, status=status, **headers)
        if attempt is not None and attempt.aim is Aim.PROOF:
            response = await view.prove(request, signed_in, status, provider_error=wording, following=attempt.following)
        else:
            response = await view.account(request, signed_in, {"error": wording}, status=status)
        response.headers.update(headers)
        return response

    @routes.post(f"{OPENID_PATH}/{{provider}}")
    async def begin(request: Request, provider: str) -> Response:
        check_origin(request)
        check_provider(provider)
        browser, new_token = tokens.ensure(request)
        following = local_path(request.query_params.get("next", ""), "")
        try:
            address = await service.begin(provider, Aim.SIGN_IN, browser, following, client_of_request(request))
        except OpenIdError as error:
            return await refused(request, provider, error, None)
        response = leave(workspace, request, address, service.clients[provider].provider.label)
        tokens.set(response, new_token)
        return response

    @routes.get(f"{OPENID_PATH}/{{provider}}/callback")
    async def finish(request: Request, provider: str) -> Response:
        check_provider(provider)
        sent, client = request.query_params, client_of_request(request)
        answer = Answer(*(sent.get(name, "") for name in ("code", "state", "iss", "error")))
        signed_in, attempt = await browsers.find(request), None
        try:
            if (
                answer.error and not answer.state
            ):  # some providers leave it out; nothing was begun by who sends this alone
                raise ProviderRefusedError(answer.error[:100])
            session = signed_in.session if signed_in else None
            attempt = await service.resume(provider, answer.state, tokens.find(request), session)
            if attempt.aim is Aim.SIGN_IN or signed_in is None:
                started = await service.sign_in(attempt, answer, client, language=workspace.language(request))
                return await form.welcome(request, started, local_path(attempt.following, ""))
            if attempt.aim is Aim.PROOF:
                await service.prove(attempt, answer, signed_in.session, signed_in.user)
            else:
                by, language = actor_of(signed_in.user, client), workspace.language(request)
                await service.link(attempt, answer, signed_in.user, by=by, language=language)
        except OpenIdError as error:
            return await refused(request, provider, error, signed_in, attempt)
        return RedirectResponse(local_path(attempt.following, ACCOUNT_PATH), 303)

    async def begin_signed_in(
        request: Request, provider: str, signed_in: SignedIn, aim: Aim, following: str
    ) -> Response:
        check_provider(provider)
        hint = signed_in.user.email if aim is Aim.PROOF else ""
        client = client_of_request(request)
        try:
            address = await service.begin(provider, aim, signed_in.session.id, following, client, login_hint=hint)
        except OpenIdError as error:
            return await refused(request, provider, error, signed_in)
        return leave(workspace, request, address, service.clients[provider].provider.label)

    @routes.post(f"{PROVE_PATH}/openid/{{provider}}")
    async def prove(request: Request, provider: str) -> Response:
        signed_in = await browsers.require(request)
        await browsers.read_form(request, signed_in)
        following = local_path(request.query_params.get("next", ""), ACCOUNT_PATH)
        return await begin_signed_in(request, provider, signed_in, Aim.PROOF, following)

    @routes.post(f"{ACCOUNT_PATH}/openid/{{provider}}")
    async def link(request: Request, provider: str) -> Response:
        signed_in = await browsers.require(request)
        await browsers.read_form(request, signed_in)
        if not browsers.is_fresh(signed_in):
            return RedirectResponse(prove_address(ACCOUNT_PATH), 303)
        return await begin_signed_in(request, provider, signed_in, Aim.LINK, f"{ACCOUNT_PATH}?done=identity")

    return routes

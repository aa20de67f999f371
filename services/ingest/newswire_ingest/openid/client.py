"""The client of one provider: where it sends people, and what it learns about those who come back.

It is imported only if there are providers: its libraries take a tenth of the time for importing all of ingest.
"""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from newswire_ingest.openid.attempts import Aim, Attempt
from newswire_ingest.openid.bounded_http import fetch_json
from newswire_ingest.openid.discovery import Discovery, Endpoints
from newswire_ingest.openid.errors import (
    AttemptEndedError,
    IdentityRefusedError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from newswire_ingest.openid.id_tokens import LEEWAY_SECONDS, verify
from newswire_ingest.openid.models import Answer, Person
from newswire_ingest.openid.providers import OpenIdProvider

MAX_CODE_CHARS = 4096
MAX_HINT_CHARS = 4096
"""Of an ID token in the address for signing out: servers accept addresses of some 8 KiB, and groups can make tokens longer."""
_PROMPTS = {
    Aim.SIGN_IN: {},
    Aim.PROOF: {"prompt": "login", "max_age": "0"},
    Aim.LINK: {"prompt": "select_account"},
}
_TRUE = (True, "true", "True", "1")
"""How providers write that an address is verified; 1 equals True."""


class OpenIdClient:
    """Newswire as a client of one provider."""

    def __init__(self, provider: OpenIdProvider, redirect_uri: str, signed_out_uri: str) -> None:
        self.provider = provider
        self._redirect_uri = redirect_uri
        self._signed_out_uri = signed_out_uri
        self._discovery = Discovery(provider)

    async def authorization_address(self, state: str, attempt: Attempt, login_hint: str = "") -> str:
        """Return where a person is sent to.

        Raises:
            ProviderUnavailableError: the addresses of the provider cannot be fetched.
        """
        endpoints = await self._discovery.endpoints()
        client = OAuth2Client(
            None,
            client_id=self.provider.client_id,
            redirect_uri=self._redirect_uri,
            scope=" ".join(self.provider.scopes),
            code_challenge_method="S256",
        )
        extra = _PROMPTS[attempt.aim] | ({"login_hint": login_hint} if login_hint else {})
        address, _ = client.create_authorization_url(
            endpoints.authorization, state=state, code_verifier=attempt.verifier, nonce=attempt.nonce, **extra
        )
        return str(address)

    async def sign_out_address(self, id_token: str) -> str | None:
        """Return where a browser ends its session at the provider (OpenID Connect RP-Initiated Logout 1.0).

        None if the provider has no such address, or the setting says that its sessions are left alone.

        Raises:
            ProviderUnavailableError: the addresses of the provider cannot be fetched.
        """
        if not self.provider.sign_out or (address := (await self._discovery.endpoints()).end_session) is None:
            return None
        sent = {"client_id": self.provider.client_id, "post_logout_redirect_uri": self._signed_out_uri}
        hint = {"id_token_hint": id_token} if id_token else {}
        return str(add_params_to_uri(address, list((hint | sent).items())))

    async def person(self, answer: Answer, attempt: Attempt) -> Person:
        """Return who came back.

        Raises:
            ProviderRefusedError: the provider answered with an error.
            ProviderUnavailableError: it cannot be reached.
            IdentityRefusedError: what it sent is not valid.
        """
        endpoints = await self._discovery.endpoints()
        if answer.issuer != endpoints.issuer and (answer.issuer or endpoints.sends_issuer):
            raise IdentityRefusedError("the answer is of another issuer (RFC 9207)")
        if answer.error:
            raise ProviderRefusedError(answer.error[:100])
        if not 0 < len(answer.code) <= MAX_CODE_CHARS:
            raise AttemptEndedError
        tokens = await self._exchange(endpoints, answer.code, attempt.verifier)
        access_token = tokens.get("access_token")
        claims = await verify(
            tokens.get("id_token"),
            self.provider.client_id,
            endpoints.issuer,
            self._discovery,
            nonce=attempt.nonce,
            access_token=access_token,
        )
        if attempt.aim is Aim.PROOF:
            _check_recent(claims, attempt.begun)
        person = self._read(endpoints.issuer, await self._completed(endpoints, claims, access_token))
        return replace(person, id_token=token) if len(token := str(tokens["id_token"])) <= MAX_HINT_CHARS else person

    async def _exchange(self, endpoints: Endpoints, code: str, verifier: str) -> dict[str, Any]:
        secret = self.provider.client_secret
        method = "client_secret_basic"
        if secret is None:
            method = "none"
        elif "client_secret_post" in endpoints.auth_methods:  # unlike the other one, understood alike by all
            method = "client_secret_post"
        # RFC 6749, section 2.3.1: encoded like a form before they are joined for the header.
        quoted = (lambda text: quote(text, safe="")) if method == "client_secret_basic" else str
        auth = ClientAuth(quoted(self.provider.client_id), quoted(secret.get_secret_value()) if secret else "", method)
        body = prepare_token_request(
            "authorization_code", redirect_uri=self._redirect_uri, code=code, code_verifier=verifier
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        address, headers, body = auth.prepare("POST", endpoints.token, headers, body)
        status, found = await fetch_json("POST", address, headers=headers, body=body)
        if status != 200:
            error = str(found.get("error", ""))[:100]
            if error == "invalid_grant":  # the code has expired, or was used: the person begins again
                raise AttemptEndedError
            raise ProviderUnavailableError(f"the code was answered with {status} {error}")
        return found

    async def _completed(self, endpoints: Endpoints, claims: dict[str, Any], access_token: object) -> dict[str, Any]:
        """Return the claims, with those of the provider's address for user information if one that decides is missing.

        Providers are free to put claims about a person there alone. Without an address no user can be found; what
        else is missing may not be needed, as for a person who is linked already.
        """
        needed = self.provider.deciding_claims
        if needed <= claims.keys() or endpoints.userinfo is None or not isinstance(access_token, str):
            return claims
        try:
            status, found = await fetch_json(
                "GET", endpoints.userinfo, headers={"Authorization": f"Bearer {access_token}"}
            )
            if status != 200:
                raise IdentityRefusedError(f"the user information was answered with {status}")
        except (IdentityRefusedError, ProviderUnavailableError):
            if self.provider.email_claim in claims:
                return claims
            raise
        if found.get("sub") != claims["sub"]:
            raise IdentityRefusedError("the user information is of another person")
        email = self.provider.email_claim
        if claims.get(email, found.get(email)) != found.get(email):  # then it verifies another address
            found.pop(self.provider.verified_claim, None)
        return {**found, **claims}

    def _read(self, issuer: str, claims: dict[str, Any]) -> Person:
        provider = self.provider
        if any(claims.get(name) != value for name, value in provider.required_claims.items()):
            raise IdentityRefusedError("the person lacks a claim that the setting requires")
        email, groups, name = claims.get(provider.email_claim), claims.get(provider.groups_claim), claims.get("name")
        is_verified = claims.get(provider.verified_claim) in _TRUE
        return Person(
            issuer,
            claims["sub"],
            email if isinstance(email, str) and is_verified else None,
            name if isinstance(name, str) else "",
            frozenset(each for each in groups if isinstance(each, str)) if isinstance(groups, list) else frozenset(),
        )


def _check_recent(claims: dict[str, Any], begun: int) -> None:
    """Check that the person entered its password, or whatever the provider asks for, since the attempt was begun."""
    proven = claims.get("auth_time")
    if isinstance(proven, bool) or not isinstance(proven, int | float) or proven < begun - LEEWAY_SECONDS:
        raise IdentityRefusedError("the provider did not ask the person again")

"""Authentication of HTTP requests: the dependencies that admit a caller, or raise 401 or 403."""

import time
from collections.abc import Awaitable, Callable, Collection

from starlette.requests import Request

from newswire.auth.authentication_failures import AuthenticationFailures, credential_hash
from newswire.auth.credential_checks import check_credential
from newswire.auth.credentials import KEY_PREFIX, Caller, Scope, authenticate
from newswire.concurrency.fair_threads import current_client
from newswire.http.client_address import client_address, client_of
from newswire.http.problems import forbidden, unauthorised
from newswire.http.sent_headers import sent_header, sent_headers
from newswire.observability.audit import Actor, ActorType

_CACHE_SECONDS, _MAX_CACHED_CALLERS = 5.0, 1000


def authorised(*scopes: Scope, rechecked: bool = False) -> Callable[[Request], Awaitable[Caller]]:
    """Return the dependency that admits callers with one of these scopes: 401 without a valid key, 403 without a scope.

    ``rechecked``: the atomic function behind the request checks the key again, so a valid key is cached for a few seconds.
    """

    async def caller(request: Request) -> Caller:
        return await _admit(request, scopes, rechecked)

    caller.required_scopes = scopes  # type: ignore[attr-defined]
    return caller


def request_actor(caller: Caller, request: Request) -> Actor:
    """Return the actor of a request for the audit log."""
    return Actor(ActorType.KEY, caller.key_id, caller.account, client_address(request.scope))


async def reader(request: Request) -> Caller | None:
    """Admit readers: everyone, or only keys with ``read`` if the operator disabled public reading.

    Return the caller if a key was sent: its account's entitlement restricts what it may read. If reading is public, any valid
    key is accepted; an invalid key is always rejected.
    """
    if not request.app.state.settings.public_read:
        return await _admit(request, (Scope.READ,), rechecked=False)
    if sent_header(request.scope, b"authorization") is None:
        return None
    return await _admit(request, tuple(Scope), rechecked=False)


reader.public_reading = True  # type: ignore[attr-defined]


async def _admit(request: Request, scopes: Collection[Scope], rechecked: bool) -> Caller:
    headers = sent_headers(request.scope, b"authorization")[:2]  # two are enough to know that there are too many
    if not headers:
        raise unauthorised("no key was sent")
    *others, caller = [await _bearer(request, header, rechecked) for header in headers]
    if caller is None or None in others:  # a duplicate header is rejected later; both must be valid
        challenge = 'Bearer realm="newswire", error="invalid_token"'
        raise unauthorised(_mistake(headers[-1]), challenge=challenge)
    if not any(caller.may(scope) for scope in scopes):
        raise forbidden(*scopes)
    request.app.state.key_usage.record(caller.key_id)
    current_client.set(f"account {caller.account}")
    return caller


def _mistake(header: str) -> str:
    """Return what is wrong with a header that names no valid key. Whether a key is unknown, revoked or expired stays secret."""
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        return "the Authorization header does not begin with 'Bearer'"
    if not token.strip():
        return "no API key follows 'Bearer'"
    if not token.strip().startswith(KEY_PREFIX):
        return f"this is not an API key: keys begin with '{KEY_PREFIX}'"
    return "the API key is unknown, revoked or expired"


async def _bearer(request: Request, header: str, rechecked: bool) -> Caller | None:
    known: dict[bytes, tuple[Caller, float]] = request.app.state.callers
    name = credential_hash(header)
    caller, until = known.get(name, (None, 0.0))
    if rechecked and caller is not None and time.monotonic() < until:
        return caller
    failures: AuthenticationFailures = request.app.state.authentication_failures
    client = client_of(request.scope)
    await check_credential(request, header)
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer":
        caller = await authenticate(request.app.state.redis, request.app.state.keys, token.strip())
    else:
        caller = None
    if caller is None:
        failures.failed(client, header, client_address(request.scope))
        return None
    failures.succeeded(header)
    if rechecked:
        if len(known) >= _MAX_CACHED_CALLERS:
            known.clear()
        left = _CACHE_SECONDS if caller.expires is None else min(_CACHE_SECONDS, caller.expires - time.time())
        known[name] = caller, time.monotonic() + left
    return caller

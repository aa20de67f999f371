"""What a provider publishes about itself: its addresses and its keys, fetched when needed and kept for a time."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from newswire_ingest.openid.bounded_http import fetch_json
from newswire_ingest.openid.errors import ProviderUnavailableError
from newswire_ingest.openid.providers import OpenIdProvider, is_acceptable

log = logging.getLogger(__name__)

MAX_AGE = 3600.0
"""Seconds for which addresses and keys are kept."""
MAX_STALE = 24 * 3600.0
"""Seconds for which they are used while the provider cannot be asked."""
MIN_REFRESH = 30.0
"""Seconds between two requests for new keys or after a failure, so that forged tokens cause no load on the provider."""
MAX_KEYS = 100
_KEY_TYPES = ("RSA", "EC", "OKP")
"""Public keys only: with a symmetric one, whoever knows it could sign."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses of a provider, and what it supports."""

    issuer: str
    """As the provider writes it: a setting may differ in the slash at the end."""
    authorization: str
    token: str
    keys: str
    userinfo: str | None
    end_session: str | None
    """For RP-initiated logout; None if the provider has none, or one that is not acceptable."""
    sends_issuer: bool
    """Whether its answers name the issuer (RFC 9207)."""
    auth_methods: tuple[str, ...]


@dataclass(slots=True)
class _Kept:
    value: Any
    fetched_at: float
    tried_at: float


class Discovery:
    """The published documents of one provider."""

    def __init__(self, provider: OpenIdProvider, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._fetching = asyncio.Lock()

    async def endpoints(self) -> Endpoints:
        """Return the addresses of the provider.

        Raises:
            ProviderUnavailableError: they cannot be fetched, or are not acceptable.
        """
        found: Endpoints = await self._get("endpoints", self._fetch_endpoints, MAX_AGE)
        return found

    async def keys(self, *, newer: bool = False) -> list[dict[str, Any]]:
        """Return the public keys for signatures. ``newer``: because a token names a key that is not among the kept ones.

        Raises:
            ProviderUnavailableError: they cannot be fetched.
        """
        found: list[dict[str, Any]] = await self._get("keys", self._fetch_keys, MIN_REFRESH if newer else MAX_AGE)
        return found

    async def _get(self, name: str, fetch: Callable[[], Any], max_age: float) -> Any:
        async with self._fetching:
            kept, now = self._kept.get(name), self._clock()
            if kept is not None and (now - kept.fetched_at < max_age or now - kept.tried_at < MIN_REFRESH):
                return kept.value
            try:
                value = await fetch()
            except ProviderUnavailableError:
                if kept is None or now - kept.fetched_at > MAX_STALE:
                    raise
                kept.tried_at = now
                return kept.value
            self._kept[name] = _Kept(value, now, now)
            return value

    async def _fetch_endpoints(self) -> Endpoints:
        issuer = self._provider.issuer
        status, found = await fetch_json("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if status != 200:
            raise ProviderUnavailableError(f"the configuration of {issuer} was answered with {status}")
        named = found.get("issuer")
        if not isinstance(named, str) or named.rstrip("/") != issuer.rstrip("/"):
            raise ProviderUnavailableError(f"the configuration of {issuer} names another issuer: {str(named)[:200]}")
        methods = found.get("token_endpoint_auth_methods_supported")
        userinfo = found.get("userinfo_endpoint")
        return Endpoints(
            named,
            self._address(found, "authorization_endpoint"),
            self._address(found, "token_endpoint"),
            self._address(found, "jwks_uri"),
            self._address(found, "userinfo_endpoint") if userinfo is not None else None,
            self._end_session(found),
            found.get("authorization_response_iss_parameter_supported") is True,
            tuple(each for each in methods if isinstance(each, str)) if isinstance(methods, list) else (),
        )

    def _address(self, found: dict[str, Any], name: str) -> str:
        address = found.get(name)
        if not isinstance(address, str) or len(address) > 2000 or not is_acceptable(address, self._provider.issuer):
            raise ProviderUnavailableError(f"the {name} of {self._provider.issuer} is no acceptable address")
        return address

    def _end_session(self, found: dict[str, Any]) -> str | None:
        """Return the address for signing out. Without it people can still sign in, so a wrong one is only reported."""
        try:
            return self._address(found, "end_session_endpoint") if "end_session_endpoint" in found else None
        except ProviderUnavailableError as error:
            log.warning("signing out does not end sessions at a provider", extra={"reason": str(error)})
            return None

    async def _fetch_keys(self) -> list[dict[str, Any]]:
        kept = self._kept.get("endpoints")
        endpoints: Endpoints = kept.value if kept else await self._fetch_endpoints()
        address = endpoints.keys
        status, found = await fetch_json("GET", address)
        keys = found.get("keys")
        if status != 200 or not isinstance(keys, list) or len(keys) > MAX_KEYS:
            raise ProviderUnavailableError(f"the keys at {address[:200]} cannot be used (status {status})")
        return [
            each
            for each in keys
            if isinstance(each, dict) and each.get("kty") in _KEY_TYPES and each.get("use", "sig") == "sig"
        ]

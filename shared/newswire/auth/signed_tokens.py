"""Signed tokens that only this installation can issue: cursors, tokens for the live stream, links in newsletters.

A token is authenticated, not encrypted: its holder can read the content, but cannot change or forge it. Each purpose has its
own key, derived from one secret per installation, so that a token cannot be used for another purpose. A token is bound to its
context (the route, the query, the caller) and may expire.

The secret is a setting, or else it is generated when first needed and stored in Redis, shared by all services and replicas.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.keys import Keyspace
from newswire.settings import Settings

log = logging.getLogger(__name__)

MAX_TOKEN_CHARS = 16_000
REFRESH_SECONDS = 60.0
"""How long a secret from Redis is cached: a restored backup may have replaced it."""
RETRY_SECONDS = 5.0
"""Minimum time between reads of the secret because of invalid signatures, so that forged tokens cause no load on Redis."""
_MAC_BYTES, _BINDING_BYTES, _TIME_BYTES = 16, 16, 8
_HEADER_BYTES = _MAC_BYTES + _BINDING_BYTES + _TIME_BYTES


class Purpose(StrEnum):
    """The purpose of a token; a token is invalid for every other purpose."""

    SEARCH_CURSOR = "search cursor"
    LIST_CURSOR = "list cursor"
    EVENTS_CURSOR = "events cursor"
    STREAM_TOKEN = "stream token"  # noqa: S105 (the name of a purpose)
    PASSKEY_CHALLENGE = "passkey challenge"
    NEWSLETTER_FORM = "newsletter form"
    NEWSLETTER_CONFIRMATION = "newsletter confirmation"
    NEWSLETTER_PREFERENCES = "newsletter preferences"
    NEWSLETTER_UNSUBSCRIBING = "newsletter unsubscribing"


class InvalidTokenError(ValueError):
    """The token was not issued by this installation for this purpose, or was changed."""


class ForeignTokenError(InvalidTokenError):
    """The token is genuine, but was issued for another request or another caller."""


class ExpiredTokenError(InvalidTokenError):
    """The token is genuine, but has expired."""


class SignedTokens:
    """Writes and reads the tokens of one installation."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keyspace,
        *,
        secret: str | None = None,
        previous: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Use the secret of the installation, or the one given here; tokens signed with ``previous`` are accepted as well."""
        self._redis = redis
        self._name = keys.token_secret
        self._clock = clock
        self._fixed = secret is not None
        self._secrets: tuple[bytes, ...] = tuple(each.encode() for each in (secret, previous) if each is not None)
        self._read_at = float("-inf")

    @classmethod
    def of(cls, redis: "Redis", keys: Keyspace, settings: Settings) -> "SignedTokens":
        """Return the tokens of an installation with these settings."""
        own, former = settings.secret_key, settings.secret_key_previous
        return cls(
            redis,
            keys,
            secret=own.get_secret_value() if own is not None else None,
            previous=former.get_secret_value() if own is not None and former is not None else None,
        )

    def now(self) -> float:
        """Return the time that expiry times are compared with, in s since the epoch."""
        return self._clock()

    async def write(
        self, purpose: Purpose, content: bytes, *, bound_to: Any = None, lifetime: float | None = None
    ) -> str:
        """Return a token with this content and lifetime in seconds (None: unlimited).

        ``bound_to`` is any JSON value; `read` must get the same value.

        Raises:
            redis.exceptions.RedisError: the secret has to be read from Redis and Redis cannot be reached.
        """
        return (await self.writer(purpose, bound_to=bound_to, lifetime=lifetime))(content)

    async def writer(
        self, purpose: Purpose, *, bound_to: Any = None, lifetime: float | None = None
    ) -> Callable[[bytes], str]:
        """Return the function that writes tokens which differ in their content alone; use it at once.

        Raises:
            redis.exceptions.RedisError: the secret has to be read from Redis and Redis cannot be reached.
        """
        ends = 0 if lifetime is None else max(int((self._clock() + lifetime) * 1000), 1)
        beginning = _binding(bound_to) + ends.to_bytes(_TIME_BYTES, "big")
        newest = (await self._known(REFRESH_SECONDS))[0]
        prepared = hmac.new(_purpose_key(newest, purpose), digestmod=hashlib.sha256)

        def write(content: bytes) -> str:
            signed = beginning + content
            mac = prepared.copy()
            mac.update(signed)
            return _encoded(mac.digest()[:_MAC_BYTES] + signed)

        return write

    async def read(self, purpose: Purpose, token: str, *, bound_to: Any = None) -> bytes:
        """Return the content of a token.

        Raises:
            ExpiredTokenError: it has expired.
            ForeignTokenError: it is bound to something else.
            InvalidTokenError: it was not issued here for this purpose, or was changed.
            redis.exceptions.RedisError: the secret has to be read from Redis and Redis cannot be reached.
        """
        mac, signed = _decoded(token)
        # The signature may be valid with a secret that was stored after Redis was last read.
        for max_age in (REFRESH_SECONDS, RETRY_SECONDS):
            if _is_signed(await self._known(max_age), purpose, mac, signed):
                break
        else:
            raise InvalidTokenError("the signature is wrong")
        binding, rest = signed[:_BINDING_BYTES], signed[_BINDING_BYTES:]
        ends, content = int.from_bytes(rest[:_TIME_BYTES], "big"), rest[_TIME_BYTES:]
        if not hmac.compare_digest(binding, _binding(bound_to)):
            raise ForeignTokenError("it was made for another request")
        if ends and ends <= self._clock() * 1000:
            raise ExpiredTokenError("it has expired")
        return content

    async def _known(self, max_age: float) -> Sequence[bytes]:
        """Return the secrets to try, the signing one first; read from Redis if they are older than ``max_age`` s."""
        if self._fixed or time.monotonic() - self._read_at < max_age:
            return self._secrets
        try:
            self._secrets = (await self._stored(),)
        except (RedisError, OSError) as error:
            if not self._secrets:
                raise
            log.warning("could not refresh the token secret; the cached one is used", extra={"reason": repr(error)})
        self._read_at = time.monotonic()
        return self._secrets

    async def _stored(self) -> bytes:
        found: bytes | None = await self._redis.get(self._name)
        if found is None:
            # If several processes generate it at once, one succeeds, and all use the secret that it stored.
            await self._redis.set(self._name, secrets.token_hex(32), nx=True)
            found = await self._redis.get(self._name)
        if found is None:
            raise RedisError("the token secret was deleted while it was read")
        return found


def _is_signed(known: Sequence[bytes], purpose: Purpose, mac: bytes, signed: bytes) -> bool:
    return any(hmac.compare_digest(mac, _mac(secret, purpose, signed)) for secret in known)


def _mac(secret: bytes, purpose: Purpose, signed: bytes) -> bytes:
    return hmac.digest(_purpose_key(secret, purpose), signed, hashlib.sha256)[:_MAC_BYTES]


@lru_cache(maxsize=64)  # of each secret, one for each purpose
def _purpose_key(secret: bytes, purpose: Purpose) -> bytes:
    return hmac.digest(secret, b"newswire " + purpose.encode(), hashlib.sha256)


def _binding(bound_to: Any) -> bytes:
    return hashlib.sha256(orjson.dumps(bound_to, option=orjson.OPT_SORT_KEYS)).digest()[:_BINDING_BYTES]


def _encoded(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _decoded(token: str) -> tuple[bytes, bytes]:
    """Return signature and signed part of a token; only its canonical encoding is accepted."""
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidTokenError("it is too long")
    try:
        found = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidTokenError("it is not base64url") from None
    if len(found) < _HEADER_BYTES or _encoded(found) != token:
        raise InvalidTokenError("it is truncated, or not in its canonical encoding")
    return found[:_MAC_BYTES], found[_MAC_BYTES:]

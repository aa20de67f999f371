"""API keys as credentials: the account of a key, and what the key allows.

Everything that a client owns belongs to an account; keys are its replaceable credentials. Only the SHA-256 of a key's secret is
stored: 192 random bits need no slow hash.
"""

import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FLAT_FIELDS, FunctionLibrary, LuaSource

if TYPE_CHECKING:
    from newswire.filters import Filter

LUA = LuaSource("newswire.auth", "accounts", (FLAT_FIELDS,))
CALLER_IS_BARRED = "newswire.auth:caller_is_barred"
"""The part that tells whether the caller of a write may not write any more."""
KEY_PREFIX = "nw_"
TOKEN = re.compile(rf"{KEY_PREFIX}([0-9a-z]{{8,32}})_([0-9A-Za-z]{{32,128}})")
"""A token: ``nw_<id>_<secret>``."""


class Scope(StrEnum):
    """What a key allows. ``admin`` allows everything except publishing."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request, identified by its key; or a user, whose ``key_id`` is empty."""

    account: str
    key_id: str
    scopes: frozenset[Scope]
    expires: float | None = None
    """When the key expires, in seconds since the epoch."""
    publish_rate: float | None = None
    """The account's own publishing rate, in requests per second, if it has one."""
    daily_quota: int | None = None
    """The account's own daily quota of new articles, if it has one."""
    stored_entitlement: str | None = None
    """The JSON of the account's entitlement, if it has one."""
    user_id: str | None = None
    """The user of the account, if a person who signed in is the caller, and not a key."""

    @property
    def entitlement(self) -> "Filter | None":
        """The filter on everything that the account reads, receives and replays; None if it may read everything."""
        return None if self.stored_entitlement is None else read_entitlement(self.stored_entitlement)

    @property
    def sees_scheduled(self) -> bool:
        """Whether the key may read scheduled articles of its account; a key that may only read must not."""
        return Scope.PUBLISH in self.scopes or Scope.ADMIN in self.scopes

    def may(self, scope: Scope) -> bool:
        """Return whether the key has this scope."""
        return scope in self.scopes or (Scope.ADMIN in self.scopes and scope is not Scope.PUBLISH)


async def authenticate(redis: "Redis", keys: Keyspace, token: str, *, now: float | None = None) -> Caller | None:
    """Return the caller with this token, or None if it is unknown or expired."""
    parts = TOKEN.fullmatch(token)
    if parts is None:
        return None
    known, caller = await _look_up(redis, keys, parts[1], now)
    sound = hmac.compare_digest(known or b"-" * 64, digest(parts[2]).encode())
    return caller if sound else None


async def find_caller(redis: "Redis", keys: Keyspace, key_id: str) -> Caller | None:
    """Return the caller with this key id, or None if the key is no longer valid: for tokens that were signed for it."""
    _, caller = await _look_up(redis, keys, key_id, None)
    return caller


async def _look_up(
    redis: "Redis", keys: Keyspace, key_id: str, now: float | None
) -> tuple[bytes | None, Caller | None]:
    """Return the hash of a key's secret, and its caller if the key is valid."""
    known, account, scopes, expires, rate, quota, entitlement = await redis.hmget(
        key_record(keys, key_id), "hash", "account", "scopes", "expires", "publish_rate", "daily_quota", "entitlement"
    )
    ends = int(expires) / 1000 if expires else None
    if not known or (ends is not None and ends <= (time.time() if now is None else now)):
        return known, None
    return known, Caller(
        account.decode(),
        key_id,
        read_scopes(scopes),
        ends,
        float(rate) if rate else None,
        int(quota) if quota else None,
        entitlement.decode() if entitlement else None,
    )


def key_record(keys: Keyspace, key_id: str) -> str:
    """Return the name of a key's record; it has a field ``hash`` as long as the key is valid."""
    return keys.key("key", key_id)


def account_change_keys(keys: Keyspace) -> list[str]:
    """Return the keys of the stream of access changes, and of its counter."""
    return [keys.key("accounts", "changes"), keys.key("accounts", "changed")]


def account_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the atomic steps of accounts and keys."""
    return FunctionLibrary.packaged(redis, keys.namespace, LUA)


@lru_cache(maxsize=4096)
def read_entitlement(stored: str) -> "Filter":
    """Return the filter of this JSON; equal filters are one object."""
    from newswire.filters import Filter  # imports text analysis, which most commands do not need

    return Filter.model_validate_json(stored)


def digest(secret: str) -> str:
    """Return the stored hash of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_scopes(stored: bytes) -> frozenset[Scope]:
    """Read the scopes of a record. Unknown scopes of a newer release are ignored."""
    known = {scope.value for scope in Scope}
    return frozenset(Scope(scope) for scope in stored.decode().split(",") if scope in known)

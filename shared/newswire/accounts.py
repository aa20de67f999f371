"""Accounts and their keys: who is calling, and what they may do.

Everything a client owns belongs to an account; keys are its replaceable credentials. Of a key only the SHA-256 of its
secret is kept: 192 random bits need no slow hash.
"""

import hashlib
import hmac
import re
import secrets
import time
import unicodedata
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from fastapi import Request
from redis.asyncio import Redis

from newswire.keyspace import INGEST_SCHEMA, Keyspace
from newswire.problems import forbidden, unauthorised

_TOKEN = re.compile(r"nw_([0-9a-z]{8,32})_([0-9A-Za-z]{32,128})")
LONGEST_ACCOUNT = 100
_KNOWN_SECONDS, _MOST_KNOWN = 5.0, 1000


class Scope(StrEnum):
    """What a key allows. ``admin`` allows everything but to publish."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, by the key it carried."""

    account: str
    key_id: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Tell whether the key allows this."""
        return scope in self.scopes or (Scope.ADMIN in self.scopes and scope is not Scope.PUBLISH)


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. ``token`` is shown once and kept nowhere."""

    token: str = field(repr=False)
    id: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key as operators see it: everything but the secret."""

    id: str
    account: str
    scopes: frozenset[Scope]
    label: str | None
    created_at: datetime
    revoked_at: datetime | None


class UnfitName(ValueError):
    """An account's name or a given token is not of the form it must have."""


def new_token() -> str:
    """Make a token: ``nw_<id>_<secret>``."""
    return f"nw_{secrets.token_hex(6)}_{secrets.token_hex(24)}"


def check_account(name: str) -> str:
    """Return an account's name if it may be one: one printable line that does not begin with '-' (which excludes in filters)."""
    printable = all(unicodedata.category(char)[0] != "C" for char in name)
    if not 1 <= len(name) <= LONGEST_ACCOUNT or name != " ".join(name.split()) or name.startswith("-") or not printable:
        raise UnfitName(
            f"an account's name is one line of 1 to {LONGEST_ACCOUNT} characters that does not begin with '-'"
        )
    return name


async def create_key(
    redis: "Redis",
    keys: Keyspace,
    account: str,
    scopes: Collection[Scope],
    label: str | None = None,
    token: str | None = None,
) -> CreatedKey:
    """Make a key for an account. A given token (of this same form) is taken as it is, and may be given again."""
    check_account(account)
    token = token or new_token()
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise UnfitName("a token has the form nw_<id>_<secret>")
    record = {
        "schema": str(INGEST_SCHEMA),
        "id": parts[1],
        "account": account,
        "scopes": ",".join(sorted(scopes)),
        "label": label or "",
        "created_at": datetime.now(UTC).isoformat(),
        "hash": _digest(parts[2]),
    }
    async with redis.pipeline(transaction=True) as pipe:
        pipe.delete(record_name(keys, parts[1]))
        pipe.hset(record_name(keys, parts[1]), mapping=record)
        pipe.sadd(_index(keys), parts[1])
        await pipe.execute()
    return CreatedKey(token, parts[1])


async def list_keys(redis: "Redis", keys: Keyspace) -> list[Key]:
    """Return all keys, oldest first, revoked ones too."""
    ids: set[bytes] = await redis.smembers(_index(keys))
    async with redis.pipeline(transaction=False) as pipe:
        for key_id in ids:
            pipe.hgetall(record_name(keys, key_id.decode()))
        records = await pipe.execute()
    return sorted((_key(record) for record in records if record), key=lambda key: (key.created_at, key.id))


async def revoke_key(redis: "Redis", keys: Keyspace, key_id: str) -> bool:
    """Make a key worthless at once; its record remains. Return whether there was such a key."""
    if not await redis.sismember(_index(keys), key_id):
        return False
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hdel(record_name(keys, key_id), "hash")
        pipe.hsetnx(record_name(keys, key_id), "revoked_at", datetime.now(UTC).isoformat())
        await pipe.execute()
    return True


async def authenticate(redis: "Redis", keys: Keyspace, token: str) -> Caller | None:
    """Return whose token this is, or None if it is nobody's."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return None
    known, account, scopes = await redis.hmget(record_name(keys, parts[1]), "hash", "account", "scopes")
    if not hmac.compare_digest(known or b"-" * 64, _digest(parts[2]).encode()) or not known:
        return None
    return Caller(account.decode(), parts[1], _scopes(scopes))


def authorised(*scopes: Scope, rechecked: bool = False) -> Callable[[Request], Awaitable[Caller]]:
    """Make the dependency that lets callers with one of these scopes pass: 401 without a valid key, 403 without a scope.

    Where the atomic function behind the request checks by itself that the key is still valid (``rechecked``), a key that
    was found valid is not looked up again for a few seconds.
    """

    async def caller(request: Request) -> Caller:
        return await _admit(request, scopes, rechecked)

    caller.required_scopes = scopes  # type: ignore[attr-defined]
    return caller


async def reader(request: Request) -> Caller | None:
    """Let everybody read, or only keys with ``read`` where the operator closed public reading. The dependency of readers' paths."""
    if request.app.state.settings.public_read:
        return None
    return await _admit(request, (Scope.READ,), rechecked=False)


async def _admit(request: Request, scopes: Collection[Scope], rechecked: bool) -> Caller:
    headers = request.headers.getlist("authorization")
    if not headers:
        raise unauthorised("no key was sent")
    *others, caller = [await _bearer(request, header, rechecked) for header in headers]
    if caller is None or None in others:  # two headers are refused later; neither may be unsound
        challenge = 'Bearer realm="newswire", error="invalid_token"'
        raise unauthorised("the key sent is not valid", challenge=challenge)
    if not any(caller.may(scope) for scope in scopes):
        raise forbidden(*scopes)
    return caller


async def _bearer(request: Request, header: str, rechecked: bool) -> Caller | None:
    known: dict[str, tuple[Caller, float]] = request.app.state.callers
    caller, until = known.get(header, (None, 0.0))
    if rechecked and caller is not None and time.monotonic() < until:
        return caller
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        return None
    caller = await authenticate(request.app.state.redis, request.app.state.keys, token.strip())
    if rechecked and caller is not None:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[header] = caller, time.monotonic() + _KNOWN_SECONDS
    return caller


def record_name(keys: Keyspace, key_id: str) -> str:
    """Return the name of a key's record; it has a field ``hash`` as long as the key is valid."""
    return keys.key("key", key_id)


def _index(keys: Keyspace) -> str:
    return keys.key("keys")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(record: dict[bytes, bytes]) -> Key:
    revoked = record.get(b"revoked_at")
    return Key(
        id=record[b"id"].decode(),
        account=record[b"account"].decode(),
        scopes=_scopes(record[b"scopes"]),
        label=record[b"label"].decode() or None,
        created_at=datetime.fromisoformat(record[b"created_at"].decode()),
        revoked_at=datetime.fromisoformat(revoked.decode()) if revoked else None,
    )


def _scopes(stored: bytes) -> frozenset[Scope]:
    """Read a record's scopes; one that a newer release added allows nothing here."""
    known = {scope.value for scope in Scope}
    return frozenset(Scope(scope) for scope in stored.decode().split(",") if scope in known)

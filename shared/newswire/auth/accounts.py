"""Accounts and their keys: who is calling, and what they may do.

Everything a client owns belongs to an account; keys are its replaceable credentials. Of a key only the SHA-256 of its
secret is kept: 192 random bits need no slow hash.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from starlette.requests import Request
from ulid import ULID

from newswire.auth.authentication_failures import AuthenticationFailures, credential_hash
from newswire.auth.credential_checks import check_credential
from newswire.concurrency.fair_threads import current_client
from newswire.http.client_address import client_address, client_of
from newswire.http.problems import forbidden, unauthorised
from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.observability import audit
from newswire.observability.audit import COMMAND_LINE, Act, Actor, ActorType
from newswire.storage.redis_functions import FunctionLibrary
from newswire.text.folding import fold
from newswire.validation.characters import says_something, unfit_for_label

if TYPE_CHECKING:
    from newswire.filters import Filter

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
    expires: float | None = None
    """When the key ends, in seconds since the epoch."""
    publish_rate: float | None = None
    """The account's own rate of publishing, in requests a second, where it has one."""
    daily_quota: int | None = None
    """How many new articles the account may publish in a day, where it has a quota of its own."""
    stored_entitlement: str | None = None
    """The JSON of the account's entitlement, where it has one."""

    @property
    def entitlement(self) -> "Filter | None":
        """What narrows all that the account reads, is told of and replays; None where it may read all."""
        return None if self.stored_entitlement is None else read_entitlement(self.stored_entitlement)

    @property
    def sees_scheduled(self) -> bool:
        """Whether the key reads what its account has under embargo: not where it may only read what is out."""
        return Scope.PUBLISH in self.scopes or Scope.ADMIN in self.scopes

    def may(self, scope: Scope) -> bool:
        """Tell whether the key allows this."""
        return scope in self.scopes or (Scope.ADMIN in self.scopes and scope is not Scope.PUBLISH)


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. ``token`` is shown once and kept nowhere."""

    token: str = field(repr=False)
    id: str


class MalformedNameError(ValueError):
    """An account's name or a given token is not of the form it must have."""


class ConfusableNameError(MalformedNameError):
    """There is an account whose name differs from this one only in case, accents, width or what cannot be seen."""

    def __init__(self, name: str, taken: str) -> None:
        super().__init__(f"the name {name!r} is too like {taken!r}, which is another account's")


class AccountDisabledError(ValueError):
    """The account is disabled: it gets no new keys."""


def new_token() -> str:
    """Make a token: ``nw_<id>_<secret>``. Ids sort by the time they were made."""
    return f"nw_{str(ULID()).lower()}_{secrets.token_hex(24)}"


def check_account(name: str) -> str:
    """Return an account's name if it may be one: one printable line that does not begin with '-' (which excludes in filters)."""
    if not 1 <= len(name) <= LONGEST_ACCOUNT or name != " ".join(name.split()) or name.startswith("-"):
        raise MalformedNameError(
            f"an account's name is one line of 1 to {LONGEST_ACCOUNT} characters that does not begin with '-'"
        )
    if unfit := unfit_for_label(name):
        raise MalformedNameError(f"an account's name must not hold {unfit}")
    if not fold(name) or not says_something(name):
        raise MalformedNameError("an account's name must hold a letter, a digit or a sign")
    return name


async def index_account_names(redis: "Redis", keys: Keyspace, name: str) -> None:
    """Before an account is made: see to it that the folded names of all accounts are on record, also of older ones."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.exists(keys.key("account", name))
        pipe.zcard(keys.key("accounts"))
        pipe.hlen(keys.key("account-forms"))
        known, accounts, forms = await pipe.execute()
    if known or accounts == forms:
        return
    names = [found.decode() for found in await redis.zrange(keys.key("accounts"), 0, -1)]
    async with redis.pipeline(transaction=False) as pipe:
        for found in names:
            pipe.hsetnx(keys.key("account-forms"), fold(found), found)
        await pipe.execute()


async def create_key(
    redis: "Redis",
    keys: Keyspace,
    account: str,
    scopes: Collection[Scope],
    label: str | None = None,
    token: str | None = None,
    expires_at: datetime | None = None,
    by: Actor = COMMAND_LINE,
) -> CreatedKey:
    """Make a key for an account, and the account where there is none of this name; the audit log names who did it.

    A given token (of the same form as all) is taken as it is, and may be given again.

    Raises:
        MalformedNameError: the account name or the given token does not have the required form.
        ConfusableNameError: the name is too similar to another account's.
        AccountDisabledError: the account is disabled.
    """
    check_account(account)
    token = token or new_token()
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise MalformedNameError("a token has the form nw_<id>_<secret>")
    now = datetime.now(UTC)
    fields = {
        "scopes": ",".join(sorted(scopes)),
        "label": label or "",
        "hash": digest(parts[2]),
        "created": str(milliseconds(now)),
        "created_by": by.key_id or "",
        **({"expires": str(milliseconds(expires_at))} if expires_at else {}),
    }
    await index_account_names(redis, keys, account)
    answer = await account_functions(redis, keys).call(
        "create_key",
        [
            key_record(keys, parts[1]),
            keys.key("keys", "all"),
            keys.key("keys", "of", account),
            keys.key("account", account),
            keys.key("accounts"),
            keys.key("account-forms"),
        ],
        [
            parts[1],
            account,
            now.isoformat(),
            INGEST_SCHEMA,
            fold(account),
            *(part for pair in fields.items() for part in pair),
        ],
    )
    if answer == b"DISABLED":
        raise AccountDisabledError(f"the account {account!r} is disabled")
    if answer[:1] == [b"ALIKE"]:
        raise ConfusableNameError(account, answer[1].decode())
    if b"ACCOUNT" in answer:
        await audit.record(redis, keys, by, Act.ACCOUNT_CREATED, "account", account)
    if b"KEY" in answer:
        ends = expires_at.isoformat() if expires_at else None
        details = {"account": account, "scopes": sorted(scopes), "label": label, "expires_at": ends}
        await audit.record(redis, keys, by, Act.KEY_CREATED, "key", parts[1], **details)
    return CreatedKey(token, parts[1])


async def authenticate(redis: "Redis", keys: Keyspace, token: str, *, now: float | None = None) -> Caller | None:
    """Return whose token this is, or None if it is nobody's, or its time is over."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return None
    known, caller = await _look_up(redis, keys, parts[1], now)
    sound = hmac.compare_digest(known or b"-" * 64, digest(parts[2]).encode())
    return caller if sound else None


async def caller_of(redis: "Redis", keys: Keyspace, key_id: str) -> Caller | None:
    """Return who calls with the key of this id, or None where it opens nothing any more: for what was signed in its name."""
    _, caller = await _look_up(redis, keys, key_id, None)
    return caller


async def _look_up(
    redis: "Redis", keys: Keyspace, key_id: str, now: float | None
) -> tuple[bytes | None, Caller | None]:
    """Return the hash of a key's secret, and who calls with it as long as it is valid."""
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


def authorised(*scopes: Scope, rechecked: bool = False) -> Callable[[Request], Awaitable[Caller]]:
    """Make the dependency that lets callers with one of these scopes pass: 401 without a valid key, 403 without a scope.

    Where the atomic function behind the request checks by itself that the key is still valid (``rechecked``), a key that
    was found valid is not looked up again for a few seconds.
    """

    async def caller(request: Request) -> Caller:
        return await _admit(request, scopes, rechecked)

    caller.required_scopes = scopes  # type: ignore[attr-defined]
    return caller


def request_actor(caller: Caller, request: Request) -> Actor:
    """Return who acts by a request, as the audit log names them."""
    return Actor(ActorType.KEY, caller.key_id, caller.account, request.client.host if request.client else None)


async def reader(request: Request) -> Caller | None:
    """Let everybody read, or only keys with ``read`` where the operator closed public reading. The dependency of readers' paths.

    Return who reads where a key was sent: what it may read is narrowed by its account's entitlement. Where reading is public
    any valid key will do, and one that is not valid is refused all the same.
    """
    if not request.app.state.settings.public_read:
        return await _admit(request, (Scope.READ,), rechecked=False)
    if "authorization" not in request.headers:
        return None
    return await _admit(request, tuple(Scope), rechecked=False)


reader.public_reading = True  # type: ignore[attr-defined]


async def _admit(request: Request, scopes: Collection[Scope], rechecked: bool) -> Caller:
    headers = request.headers.getlist("authorization")[:2]  # two are one too many already
    if not headers:
        raise unauthorised("no key was sent")
    *others, caller = [await _bearer(request, header, rechecked) for header in headers]
    if caller is None or None in others:  # two headers are refused later; neither may be unsound
        challenge = 'Bearer realm="newswire", error="invalid_token"'
        raise unauthorised("the key sent is not valid", challenge=challenge)
    if not any(caller.may(scope) for scope in scopes):
        raise forbidden(*scopes)
    request.app.state.last_uses.note(caller.key_id)
    current_client.set(f"account {caller.account}")
    return caller


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
        if len(known) >= _MOST_KNOWN:
            known.clear()
        left = _KNOWN_SECONDS if caller.expires is None else min(_KNOWN_SECONDS, caller.expires - time.time())
        known[name] = caller, time.monotonic() + left
    return caller


def key_record(keys: Keyspace, key_id: str) -> str:
    """Return the name of a key's record; it has a field ``hash`` as long as the key is valid."""
    return keys.key("key", key_id)


def account_change_keys(keys: Keyspace) -> list[str]:
    """Return the names of the stream that tells whose account may read something else now, and of the count of its entries."""
    return [keys.key("accounts", "changes"), keys.key("accounts", "changed")]


def account_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the atomic steps of accounts and keys."""
    return FunctionLibrary.packaged(redis, keys.namespace, "newswire.auth", "accounts")


@lru_cache(maxsize=4096)
def read_entitlement(stored: str) -> "Filter":
    """Return the filter that this JSON stands for; equal ones are one object."""
    from newswire.filters import Filter  # it brings the analysis of text, which most commands can do without

    return Filter.model_validate_json(stored)


def digest(secret: str) -> str:
    """Return what is kept of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def milliseconds(moment: datetime) -> int:
    """Return a moment in ms since the epoch, as records hold it."""
    return int(moment.timestamp() * 1000)


def read_scopes(stored: bytes) -> frozenset[Scope]:
    """Read a record's scopes; one that a newer release added allows nothing here."""
    known = {scope.value for scope in Scope}
    return frozenset(Scope(scope) for scope in stored.decode().split(",") if scope in known)

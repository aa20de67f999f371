"""API keys: create, list, rotate and revoke them. Only the functions that create a key return its secret."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from ulid import ULID

from newswire.auth.account_names import ConfusableNameError, MalformedNameError, check_account_name, index_account_names
from newswire.auth.credentials import (
    TOKEN,
    Scope,
    account_change_keys,
    account_functions,
    digest,
    key_record,
    read_scopes,
)
from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.observability import audit
from newswire.observability.audit import COMMAND_LINE, Act, Actor
from newswire.text.folding import fold
from newswire.timestamps import epoch_ms, from_epoch_ms

DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. ``token`` is shown once and not stored."""

    token: str = field(repr=False)
    id: str


class AccountDisabledError(ValueError):
    """The account is disabled, so no key can be created for it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as operators see it: everything except the secret. ``created_by`` is the id of the key that created it."""

    id: str
    account: str
    scopes: frozenset[Scope]
    label: str | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    replaces: str | None
    replaced_by: str | None
    disabled: bool

    def state(self, now: datetime) -> str:
        """Return ``valid``, ``revoked``, ``expired``, or ``disabled`` (with its account)."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "disabled" if self.disabled else "valid"


class KeyRotationError(Exception):
    """The key could not be rotated; the message says why."""


def new_token() -> str:
    """Return a new token: ``nw_<id>_<secret>``. Ids sort by creation time."""
    return f"nw_{str(ULID()).lower()}_{secrets.token_hex(24)}"


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
    """Create a key for an account, and the account if it does not exist; the audit log records the actor.

    A given ``token`` of the same form is used as is; the call can be repeated with it.

    Raises:
        MalformedNameError: the account name or the given token does not have the required form.
        ConfusableNameError: the name is too similar to another account's.
        AccountDisabledError: the account is disabled.
    """
    check_account_name(account)
    token = token or new_token()
    parts = TOKEN.fullmatch(token)
    if parts is None:
        raise MalformedNameError("a token has the form nw_<id>_<secret>")
    now = datetime.now(UTC)
    fields = {
        "scopes": ",".join(sorted(scopes)),
        "label": label or "",
        "hash": digest(parts[2]),
        "created": str(epoch_ms(now)),
        "created_by": by.key_id or "",
        **({"expires": str(epoch_ms(expires_at))} if expires_at else {}),
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
        {
            "id": parts[1],
            "name": account,
            "now": now.isoformat(),
            "schema": INGEST_SCHEMA,
            "folded": fold(account),
            "fields": fields,
        },
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


async def find_key(redis: "Redis", keys: Keyspace, key_id: str) -> Key | None:
    """Return a key, or None if there is none with this id."""
    fields: dict[bytes, bytes] = await redis.hgetall(key_record(keys, key_id))
    return _key(fields) if fields else None


async def list_keys(
    redis: "Redis", keys: Keyspace, *, account: str | None = None, after: str = "", limit: int | None = None
) -> list[Key]:
    """Return keys by id (oldest first), including revoked ones; optionally of one account, and after one id."""
    index = keys.key("keys", "all") if account is None else keys.key("keys", "of", account)
    ids = await redis.zrangebylex(index, f"({after}" if after else "-", "+", 0, -1 if limit is None else limit)
    async with redis.pipeline(transaction=False) as pipe:
        for key_id in ids:
            pipe.hgetall(key_record(keys, key_id.decode()))
        records = await pipe.execute()
    return [_key(record) for record in records if record]


async def rotate_key(
    redis: "Redis",
    keys: Keyspace,
    key_id: str,
    *,
    overlap: timedelta = DEFAULT_OVERLAP,
    expires_at: datetime | None = None,
    by: Actor = COMMAND_LINE,
    now: datetime | None = None,
) -> CreatedKey | None:
    """Replace a key with a new one of the same account, scopes and label; the old key expires after the overlap.

    By default, the new key has the lifetime of the old one. Return None if there is no such key.

    Raises:
        KeyRotationError: the key is no longer valid, or was rotated before.
    """
    now = now or datetime.now(UTC)
    account = await redis.hget(key_record(keys, key_id), "account")
    if account is None:
        return None
    token = new_token()
    _, new_id, secret = token.split("_")
    fields = {
        "hash": digest(secret),
        "created_at": now.isoformat(),
        "created": str(epoch_ms(now)),
        "created_by": by.key_id or "",
    }
    status, *rest = await account_functions(redis, keys).call(
        "rotate_key",
        [
            key_record(keys, key_id),
            key_record(keys, new_id),
            keys.key("keys", "all"),
            keys.key("keys", "of", account.decode()),
            *account_change_keys(keys),
        ],
        {
            "id": new_id,
            "now": epoch_ms(now),
            "old_expires": epoch_ms(now + overlap),
            **({"expires": epoch_ms(expires_at)} if expires_at else {}),
            "fields": fields,
        },
    )
    match status:
        case b"OK":
            details = {"account": account.decode(), "new_key": new_id, "overlap_seconds": int(overlap.total_seconds())}
            await audit.record(redis, keys, by, Act.KEY_ROTATED, "key", key_id, **details)
            return CreatedKey(token, new_id)
        case b"REPLACED":
            raise KeyRotationError(f"it was already replaced by {rest[0].decode()}")
        case b"INVALID":
            raise KeyRotationError("it is no longer valid; create a new key instead")
        case _:
            return None


async def revoke_key(redis: "Redis", keys: Keyspace, key_id: str, *, by: Actor = COMMAND_LINE) -> bool:
    """Revoke a key immediately; its record remains. Return whether there was such a key.

    The audit log records it, unless it was revoked before.
    """
    before = await redis.hget(key_record(keys, key_id), "revoked_at")
    now = datetime.now(UTC).isoformat()
    names = [key_record(keys, key_id), *account_change_keys(keys)]
    found = bool(await account_functions(redis, keys).call("revoke_key", names, {"now": now}))
    if found and before is None:
        account = await redis.hget(key_record(keys, key_id), "account")
        await audit.record(redis, keys, by, Act.KEY_REVOKED, "key", key_id, account=account.decode())
    return found


def _key(record: dict[bytes, bytes]) -> Key:
    text = {name.decode(): value.decode() for name, value in record.items()}
    revoked = text.get("revoked_at")
    return Key(
        id=text["id"],
        account=text["account"],
        scopes=read_scopes(record[b"scopes"]),
        label=text["label"] or None,
        created_at=datetime.fromisoformat(text["created_at"]),
        created_by=text.get("created_by") or None,
        expires_at=_optional_time(text.get("expires")),
        last_used_at=_optional_time(text.get("last_used")),
        revoked_at=datetime.fromisoformat(revoked) if revoked else None,
        replaces=text.get("replaces"),
        replaced_by=text.get("replaced_by"),
        disabled="disabled_at" in text,
    )


def _optional_time(stored: str | None) -> datetime | None:
    return from_epoch_ms(int(stored)) if stored else None

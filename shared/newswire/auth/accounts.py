"""Accounts: create, list, limit, entitle, disable and enable them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from newswire.auth.account_names import ConfusableNameError, check_account_name, index_account_names
from newswire.auth.credentials import (
    Caller,
    Scope,
    account_change_keys,
    account_functions,
    key_record,
    read_entitlement,
)
from newswire.filters import Filter
from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.observability import audit
from newswire.observability.audit import COMMAND_LINE, Act, Actor, new_entry
from newswire.text.folding import fold
from newswire.timestamps import epoch_ms

PAGE = 500
"""Accounts per round trip when all are read."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account. ``publish_rate`` (requests per second) and ``daily_quota`` (articles) are set if they differ from the settings.

    ``entitlement`` restricts everything that it reads, receives and replays; None if it may read everything.
    """

    name: str
    created_at: datetime
    disabled_at: datetime | None
    publish_rate: float | None
    daily_quota: int | None
    entitlement: Filter | None = None


async def create_account(redis: "Redis", keys: Keyspace, name: str, *, by: Actor = COMMAND_LINE) -> bool:
    """Create an account; return whether it is new.

    Raises:
        MalformedNameError: the name does not have the required form.
        ConfusableNameError: the name is too similar to another account's.
    """
    check_account_name(name)
    await index_account_names(redis, keys, name)
    names = [_record(keys, name), keys.key("accounts"), keys.key("account-forms")]
    arguments = {"name": name, "now": datetime.now(UTC).isoformat(), "schema": INGEST_SCHEMA, "folded": fold(name)}
    answer = await account_functions(redis, keys).call("create_account", names, arguments)
    if isinstance(answer, bytes):
        raise ConfusableNameError(name, answer.decode())
    new = bool(answer)
    if new:
        await audit.record(redis, keys, by, Act.ACCOUNT_CREATED, "account", name)
    return new


async def find_account(redis: "Redis", keys: Keyspace, name: str) -> Account | None:
    """Return an account, or None if there is none with this name."""
    fields: dict[bytes, bytes] = await redis.hgetall(_record(keys, name))
    return _account(fields) if fields else None


async def find_publisher(
    redis: "Redis", keys: Keyspace, account: str, *, key_id: str = "", user_id: str | None = None
) -> Caller | None:
    """Return who publishes in an account, a key or a user, with its limits; None if the account is disabled or gone."""
    found = await find_account(redis, keys, account)
    if found is None or found.disabled_at is not None:
        return None
    return Caller(
        account,
        key_id,
        frozenset({Scope.PUBLISH}),
        publish_rate=found.publish_rate,
        daily_quota=found.daily_quota,
        user_id=user_id,
    )


async def list_accounts(redis: "Redis", keys: Keyspace, *, after: str = "", limit: int | None = None) -> list[Account]:
    """Return accounts in the order of their names, optionally after one name."""
    names = await redis.zrangebylex(
        keys.key("accounts"), f"({after}" if after else "-", "+", 0, -1 if limit is None else limit
    )
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(_record(keys, name.decode()))
        records = await pipe.execute()
    return [_account(record) for record in records if record]


async def iterate_accounts(redis: "Redis", keys: Keyspace) -> AsyncIterator[Account]:
    """Yield all accounts in the order of their names, page by page."""
    after = ""
    while page := await list_accounts(redis, keys, after=after, limit=PAGE):
        for account in page:
            yield account
        after = page[-1].name


async def limit_account(
    redis: "Redis", keys: Keyspace, name: str, limits: Mapping[str, float | None], *, by: Actor = COMMAND_LINE
) -> bool:
    """Set the ``publish_rate`` or ``daily_quota`` of an account; None resets it to the settings. Return whether it exists."""
    fields = {field: "" if n is None else str(n) for field, n in limits.items()}
    details = {field: "default of the settings" if n is None else n for field, n in limits.items()}
    return await _change(redis, keys, name, fields, new_entry(by, Act.ACCOUNT_LIMITED, "account", name, **details))


async def entitle_account(
    redis: "Redis", keys: Keyspace, name: str, entitlement: Filter | None, *, by: Actor = COMMAND_LINE
) -> bool:
    """Set or remove the entitlement of an account; return whether the account exists.

    Followers of `newswire.auth.account_changes` are notified.
    """
    stored = "" if entitlement is None else entitlement.model_dump_json(exclude_defaults=True)
    entry = new_entry(by, Act.ACCOUNT_ENTITLED, "account", name, entitlement=stored or "everything")
    return await _change(redis, keys, name, {"entitlement": stored}, entry)


async def disable_account(redis: "Redis", keys: Keyspace, name: str, *, by: Actor = COMMAND_LINE) -> bool:
    """Disable an account: its keys are rejected, nothing is delivered to it, and no scheduled article is published.

    Its published articles stay. Return whether the account exists.
    """
    now = datetime.now(UTC)
    fields = {"disabled_at": now.isoformat(), "disabled_ms": str(epoch_ms(now)), "enabled_ms": ""}
    return await _change(
        redis, keys, name, fields, new_entry(by, Act.ACCOUNT_DISABLED, "account", name), disabled=False
    )


async def enable_account(redis: "Redis", keys: Keyspace, name: str, *, by: Actor = COMMAND_LINE) -> bool:
    """Enable a disabled account: its keys and deliveries work again. Return whether the account exists.

    Scheduled articles that became due while it was disabled stay held until their publisher publishes or reschedules them.
    """
    fields = {"disabled_at": "", "enabled_ms": str(epoch_ms(datetime.now(UTC)))}
    return await _change(redis, keys, name, fields, new_entry(by, Act.ACCOUNT_ENABLED, "account", name), disabled=True)


async def _change(
    redis: "Redis",
    keys: Keyspace,
    name: str,
    fields: Mapping[str, str],
    entry: bytes,
    *,
    disabled: bool | None = None,
) -> bool:
    """Change an account unless it is so already, and append the entry to the audit log; return whether it exists.

    ``disabled``: change it only if it is disabled, or only if it is not.
    """
    names = [_record(keys, name), keys.key("keys", "of", name), *account_change_keys(keys), keys.audit_log]
    arguments: dict[str, Any] = {"key_prefix": key_record(keys, ""), "fields": fields, "audit": entry.decode()}
    if disabled is not None:
        arguments["disabled"] = disabled
    return bool(await account_functions(redis, keys).call("update_account", names, arguments))


def _record(keys: Keyspace, name: str) -> str:
    return keys.key("account", name)


def _account(fields: dict[bytes, bytes]) -> Account:
    wanted = (b"disabled_at", b"publish_rate", b"daily_quota", b"entitlement")
    disabled, rate, quota, entitlement = (fields.get(name) for name in wanted)
    return Account(
        name=fields[b"name"].decode(),
        created_at=datetime.fromisoformat(fields[b"created_at"].decode()),
        disabled_at=datetime.fromisoformat(disabled.decode()) if disabled else None,
        publish_rate=float(rate) if rate else None,
        daily_quota=int(quota) if quota else None,
        entitlement=read_entitlement(entitlement.decode()) if entitlement else None,
    )

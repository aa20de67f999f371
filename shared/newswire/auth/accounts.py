"""The accounts of an installation, and what each may do beyond or below what the settings allow to all."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis

from newswire.auth.account_names import ConfusableNameError, check_account_name, index_account_names
from newswire.auth.credentials import account_change_keys, account_functions, key_record, read_entitlement
from newswire.filters import Filter
from newswire.keys import INGEST_SCHEMA, Keyspace
from newswire.observability import audit
from newswire.observability.audit import COMMAND_LINE, Act, Actor
from newswire.text.folding import fold
from newswire.timestamps import epoch_ms

PAGE = 500
"""Accounts that are read in one round trip, where all are gone through."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account. ``publish_rate`` (requests a second) and ``daily_quota`` (articles) stand where it has limits of its own.

    ``entitlement`` narrows all that it reads, is told of and replays; None where it may read all.
    """

    name: str
    created_at: datetime
    disabled_at: datetime | None
    publish_rate: float | None
    daily_quota: int | None
    entitlement: Filter | None = None


async def create_account(redis: "Redis", keys: Keyspace, name: str, *, by: Actor = COMMAND_LINE) -> bool:
    """Make an account, as its first key would; return whether it is new.

    Raises:
        MalformedNameError: the name does not have the required form.
        ConfusableNameError: the name is too similar to another account's.
    """
    check_account_name(name)
    await index_account_names(redis, keys, name)
    names = [_record(keys, name), keys.key("accounts"), keys.key("account-forms")]
    arguments: list[str | int] = [name, datetime.now(UTC).isoformat(), INGEST_SCHEMA, fold(name)]
    answer = await account_functions(redis, keys).call("create_account", names, arguments)
    if isinstance(answer, bytes):
        raise ConfusableNameError(name, answer.decode())
    new = bool(answer)
    if new:
        await audit.record(redis, keys, by, Act.ACCOUNT_CREATED, "account", name)
    return new


async def find_account(redis: "Redis", keys: Keyspace, name: str) -> Account | None:
    """Return an account, or None where there is none of this name."""
    fields: dict[bytes, bytes] = await redis.hgetall(_record(keys, name))
    return _account(fields) if fields else None


async def list_accounts(redis: "Redis", keys: Keyspace, *, after: str = "", limit: int | None = None) -> list[Account]:
    """Return accounts by name; those after one name where asked."""
    names = await redis.zrangebylex(
        keys.key("accounts"), f"({after}" if after else "-", "+", 0, -1 if limit is None else limit
    )
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(_record(keys, name.decode()))
        records = await pipe.execute()
    return [_account(record) for record in records if record]


async def iterate_accounts(redis: "Redis", keys: Keyspace) -> AsyncIterator[Account]:
    """Go through all accounts by name, a page at a time."""
    after = ""
    while page := await list_accounts(redis, keys, after=after, limit=PAGE):
        for account in page:
            yield account
        after = page[-1].name


async def limit_account(
    redis: "Redis", keys: Keyspace, name: str, limits: Mapping[str, float | None], *, by: Actor = COMMAND_LINE
) -> bool:
    """Give an account ``publish_rate`` or ``daily_quota`` of its own, or none where None; return whether there is such a one."""
    fields = {field: "" if n is None else str(n) for field, n in limits.items()}
    details = {field: "as the settings say" if n is None else n for field, n in limits.items()}
    found = await _change(redis, keys, name, fields)
    if found and limits:
        await audit.record(redis, keys, by, Act.ACCOUNT_LIMITED, "account", name, **details)
    return found


async def entitle_account(
    redis: "Redis", keys: Keyspace, name: str, entitlement: Filter | None, *, by: Actor = COMMAND_LINE
) -> bool:
    """Narrow all that an account reads, is told of and replays, or let it read all again; return whether there is such a one.

    What follows `newswire.auth.account_changes` hears of it.
    """
    stored = "" if entitlement is None else entitlement.model_dump_json(exclude_defaults=True)
    found = await _change(redis, keys, name, {"entitlement": stored})
    if found:
        await audit.record(redis, keys, by, Act.ACCOUNT_ENTITLED, "account", name, entitlement=stored or "everything")
    return found


async def disable_account(redis: "Redis", keys: Keyspace, name: str, *, by: Actor = COMMAND_LINE) -> bool:
    """Close an account until it is enabled: no key works, nothing is delivered, no scheduled article is published.

    What it published stays. Return whether there is such an account.
    """
    now = datetime.now(UTC)
    fields = {"disabled_at": now.isoformat(), "disabled_ms": str(epoch_ms(now)), "enabled_ms": ""}
    found = await _change(redis, keys, name, fields)
    if found:
        await audit.record(redis, keys, by, Act.ACCOUNT_DISABLED, "account", name)
    return found


async def enable_account(redis: "Redis", keys: Keyspace, name: str, *, by: Actor = COMMAND_LINE) -> bool:
    """Open a closed account: its keys work and its deliveries go on as before. Return whether there is such an account.

    Scheduled articles that became due meanwhile stay held until their publisher publishes or schedules them.
    """
    found = await _change(redis, keys, name, {"disabled_at": "", "enabled_ms": str(epoch_ms(datetime.now(UTC)))})
    if found:
        await audit.record(redis, keys, by, Act.ACCOUNT_ENABLED, "account", name)
    return found


async def _change(redis: "Redis", keys: Keyspace, name: str, fields: Mapping[str, str]) -> bool:
    changes = [part for pair in fields.items() for part in pair]
    names = [_record(keys, name), keys.key("keys", "of", name), *account_change_keys(keys)]
    return bool(await account_functions(redis, keys).call("update_account", names, [key_record(keys, ""), *changes]))


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

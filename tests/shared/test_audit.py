"""The audit log is append-only, limited by age alone, and records what was removed."""

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from newswire.auth.accounts import create_account, disable_account, enable_account, entitle_account, limit_account
from newswire.auth.api_keys import create_key, revoke_key, rotate_key
from newswire.auth.credentials import Scope
from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire.observability.audit import (
    COMMAND_LINE,
    SYSTEM,
    Act,
    Actor,
    ActorType,
    note_setting,
    read_page,
    record,
    trim,
)


async def acts(redis: Redis, keys: Keyspace) -> list[tuple[str, str]]:
    page = await read_page(redis, keys, limit=100)
    return [(entry.act, entry.target) for entry in reversed(page.entries)]


async def test_every_act_on_accounts_and_keys_is_recorded_with_its_actor(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    admin = Actor(ActorType.KEY, "01admin", "Office", "192.0.2.7")
    await create_account(redis, keys, "Harbour", by=admin)
    made = await create_key(redis, keys, "Harbour", {Scope.READ}, label="CMS", by=admin)
    rotated = await rotate_key(redis, keys, made.id, by=admin)
    assert rotated is not None
    await revoke_key(redis, keys, rotated.id, by=admin)
    await limit_account(redis, keys, "Harbour", {"daily_quota": 5}, by=admin)
    await entitle_account(redis, keys, "Harbour", Filter(topics=["Ferries"]), by=admin)
    await disable_account(redis, keys, "Harbour", by=admin)
    await enable_account(redis, keys, "Harbour")
    assert await acts(redis, keys) == [
        ("account.created", "Harbour"),
        ("key.created", made.id),
        ("key.rotated", made.id),
        ("key.revoked", rotated.id),
        ("account.limited", "Harbour"),
        ("account.entitled", "Harbour"),
        ("account.disabled", "Harbour"),
        ("account.enabled", "Harbour"),
    ]
    page = await read_page(redis, keys, limit=100)
    assert [entry.actor for entry in page.entries] == [COMMAND_LINE] + [admin] * 7
    assert abs(page.entries[0].time - datetime.now(UTC)) < timedelta(minutes=5)
    stored = b"".join(value for _, fields in await redis.xrange(keys.audit_log) for value in fields.values())
    assert all(token.rpartition("_")[2].encode() not in stored for token in (made.token, rotated.token))


async def test_the_first_key_of_an_account_records_the_account_too_and_a_known_key_nothing(
    redis: Redis, namespace: str
) -> None:
    keys = Keyspace(namespace)
    made = await create_key(redis, keys, "Harbour", {Scope.READ})
    await create_key(redis, keys, "Harbour", {Scope.READ}, token=made.token)
    assert await acts(redis, keys) == [("account.created", "Harbour"), ("key.created", made.id)]


async def test_what_did_not_happen_is_not_recorded(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    assert not await disable_account(redis, keys, "Nobody")
    assert not await revoke_key(redis, keys, "nothing")
    assert await acts(redis, keys) == []


async def test_pages_and_filters(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    for number in range(7):
        await record(redis, keys, COMMAND_LINE, Act.ACCOUNT_CREATED, "account", f"a{number}")
        await record(redis, keys, COMMAND_LINE, Act.KEY_CREATED, "key", f"k{number}")
    found: list[str] = []
    before: str | None = None
    while True:
        page = await read_page(redis, keys, limit=3, before=before, act="account.")
        found += [entry.target for entry in page.entries]
        before = page.next_id
        if before is None:
            break
    assert found == [f"a{number}" for number in reversed(range(7))]
    assert [entry.act for entry in (await read_page(redis, keys, limit=9, target="k3")).entries] == ["key.created"]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert (await read_page(redis, keys, limit=9, since=later)).entries == []
    before_1970 = datetime(180, 12, 30, tzinfo=UTC)
    assert len((await read_page(redis, keys, limit=99, since=before_1970)).entries) == 14


async def test_entries_are_removed_by_age_only_and_the_log_records_it(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    await record(redis, keys, COMMAND_LINE, Act.ACCOUNT_CREATED, "account", "old")
    assert await trim(redis, keys, timedelta(days=1)) == 0
    assert await trim(redis, keys, timedelta(days=1), now=datetime.now(UTC) + timedelta(days=2)) == 1
    page = await read_page(redis, keys, limit=9)
    assert [(entry.act, entry.actor, entry.details["entries"]) for entry in page.entries] == [
        ("audit.trimmed", SYSTEM, 1)
    ]


async def test_a_changed_setting_is_recorded_once(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    for value in (False, True, True, False):
        await note_setting(redis, keys, "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE", value)
    page = await read_page(redis, keys, limit=9)
    assert [entry.details for entry in page.entries] == [
        {"before": "true", "after": "false"},
        {"before": "false", "after": "true"},
    ]


async def test_long_texts_in_details_are_truncated(redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    await record(redis, keys, COMMAND_LINE, Act.ARTICLE_RETRACTED, "article", "a1", reason="x" * 100_000)
    [entry] = (await read_page(redis, keys, limit=1)).entries
    assert len(entry.details["reason"]) < 2000

"""Each Redis function of consumer groups, accounts and keys by itself, called with its named arguments."""

from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.auth.credentials import account_functions
from newswire.keys import Keyspace
from newswire.messaging.groups import group_functions

GROUP = "g"


class Streams:
    """The functions of consumer groups on one namespace."""

    def __init__(self, redis: Redis, keys: Keyspace) -> None:
        self.redis = redis
        self.keys = keys
        self.functions = group_functions(redis, keys)
        self.names = [keys.stream, keys.checkpoint(GROUP), keys.dead_letters(GROUP)]

    async def add(self, count: int = 1) -> list[str]:
        added = [await self.redis.xadd(self.keys.stream, {"__data__": f"{number}"}) for number in range(count)]
        return [entry.decode() for entry in added]

    async def open_group(self) -> Any:
        return await self.functions.call("open_group", self.names[:2], {"group": GROUP})

    async def read(self, consumer: str = "c") -> None:
        await self.redis.xreadgroup(GROUP, consumer, {self.keys.stream: ">"})

    async def ack(self, ids: list[str], dead: list[dict[str, Any]] | None = None) -> Any:
        named = {"group": GROUP, "letters_of": self.keys.dead_letters_of("|"), "dead": dead or [], "ids": ids}
        return await self.functions.call("ack", self.names, named)


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


@pytest.fixture
def streams(redis: Redis, keys: Keyspace) -> Streams:
    return Streams(redis, keys)


async def test_open_group_begins_at_the_beginning_and_only_once(streams: Streams) -> None:
    await streams.add()
    assert await streams.open_group() == b"0-0"
    assert await streams.open_group() is None


async def test_open_group_continues_at_the_checkpoint_unless_it_is_of_another_stream(streams: Streams) -> None:
    first, last = await streams.add(2)
    await streams.redis.set(streams.names[1], first)
    assert await streams.open_group() == first.encode()
    await streams.redis.xgroup_destroy(streams.keys.stream, GROUP)
    await streams.redis.set(streams.names[1], f"{last.split('-')[0]}9-0")
    assert await streams.open_group() == b"0-0"


async def test_ack_moves_the_checkpoint_to_just_before_what_is_pending(streams: Streams) -> None:
    first, second, third = await streams.add(3)
    await streams.open_group()
    await streams.read()
    assert (await streams.ack([first, third])).decode() < second
    assert await streams.ack([second]) == third.encode()
    assert await streams.redis.get(streams.names[1]) == third.encode()


async def test_ack_moves_rejected_entries_to_the_dead_letters(streams: Streams) -> None:
    (entry,) = await streams.add()
    await streams.open_group()
    await streams.read()
    gone = {"id": "1-1", "error": "e", "first_seen": 5, "subject": ""}
    await streams.ack([entry], [{"id": entry, "error": "no title", "first_seen": 5, "subject": "a1"}, gone])
    ((letter, fields),) = await streams.redis.xrange(streams.names[2])
    assert {name.decode(): value.decode() for name, value in fields.items()} == {
        "entry": entry,
        "error": "no title",
        "first_seen": "5",
        "subject": "a1",
        "intact": "1",
        "__data__": "0",
    }
    assert await streams.redis.smembers(streams.keys.dead_letters_of("a1")) == {
        f"{streams.names[2]} {letter.decode()}".encode(),
        f"{streams.keys.stream} {entry}".encode(),
    }
    assert (await streams.redis.xpending(streams.keys.stream, GROUP))["pending"] == 0


async def test_sweep_removes_idle_consumers_and_the_one_that_leaves(streams: Streams) -> None:
    async def sweep(idle: int, leaving: str = "") -> Any:
        named = {"group": GROUP, "idle": idle, "leaving": leaving}
        return await streams.functions.call("sweep", [streams.keys.stream], named)

    assert await sweep(0) == 0
    await streams.add()
    await streams.open_group()
    await streams.read("busy")
    for name in ("idle", "other"):
        await streams.redis.xgroup_createconsumer(streams.keys.stream, GROUP, name)
    assert await sweep(3_600_000, "busy") == 0
    assert await sweep(3_600_000, "other") == 1
    assert await sweep(-1) == 1
    left = await streams.redis.xinfo_consumers(streams.keys.stream, GROUP)
    assert [consumer["name"] for consumer in left] == [b"busy"]


async def letter_of(streams: Streams, **fields: str) -> str:
    letter = await streams.redis.xadd(streams.names[2], {"intact": "1", "__data__": "data", "subject": ""} | fields)
    return str(letter.decode())


async def retry(streams: Streams, letter: str, replacement: bytes = b"", article: str = "") -> Any:
    of = [streams.keys.article(article), streams.keys.dead_letters_of(article)] if article else ["", ""]
    names = [streams.keys.stream, streams.names[2], *of]
    return await streams.functions.call("retry", names, {"id": letter}, [replacement])


@pytest.mark.parametrize(("replacement", "appended"), [(b"", b"data"), (b"\x89BIN\x00\xff", b"\x89BIN\x00\xff")])
async def test_retry_appends_the_entry_or_its_replacement(
    streams: Streams, replacement: bytes, appended: bytes
) -> None:
    letter = await letter_of(streams)
    status, entry = await retry(streams, letter, replacement, "a1")
    ((found, fields),) = await streams.redis.xrange(streams.keys.stream)
    assert (status, found, fields[b"__data__"]) == (b"OK", entry, appended)
    assert await streams.redis.xlen(streams.names[2]) == 0
    assert await streams.redis.smembers(streams.keys.dead_letters_of("a1")) == {
        f"{streams.keys.stream} {entry.decode()}".encode()
    }


async def test_retry_says_why_it_does_not(streams: Streams) -> None:
    assert await retry(streams, "1-1") == [b"MISSING"]
    assert await retry(streams, await letter_of(streams, intact="0")) == [b"NOTHING"]
    await streams.redis.hset(streams.keys.article("a1"), "status", "retracted")
    letter = await letter_of(streams, __data__='{"type":"newswire.article.published.v1"}')
    assert await retry(streams, letter, article="a1") == [b"RETRACTED"]
    assert await streams.redis.xrange(streams.names[2], letter, letter) == []


async def test_trim_keeps_what_a_group_has_not_handled(streams: Streams) -> None:
    first, second, third = await streams.add(3)
    names = [streams.keys.stream, streams.names[1], streams.keys.checkpoint("lost"), streams.keys.trimmed]

    async def trim(keep: str) -> Any:
        return await streams.functions.call("trim", names, {"keep": keep, "groups": [GROUP, "lost"]})

    await streams.open_group()
    assert await trim("9999999999999-0") == [0, first.encode()]
    await streams.read()
    await streams.ack([first, second])
    assert (await trim("9999999999999-0"))[0] in (1, 2)
    await streams.ack([third])
    await streams.redis.set(names[2], second)
    await trim("9999999999999-0")
    assert await streams.redis.exists(streams.keys.stream) == 1
    await streams.redis.set(names[2], third)
    await trim("9999999999999-0")
    assert (await streams.redis.get(streams.keys.trimmed)).decode() >= second


async def test_trim_of_no_stream_does_nothing(streams: Streams) -> None:
    names = [streams.keys.stream, streams.keys.trimmed]
    assert await streams.functions.call("trim", names, {"keep": "1-0", "groups": []}) == [0, b""]


class Accounts:
    """The functions of accounts and keys on one namespace."""

    def __init__(self, redis: Redis, keys: Keyspace) -> None:
        self.redis = redis
        self.keys = keys
        self._functions = account_functions(redis, keys)
        self.changes = [keys.key("accounts", "changes"), keys.key("accounts", "changed")]

    async def call(self, function: str, names: list[str], **arguments: Any) -> Any:
        return await self._functions.call(function, names, arguments)

    async def fields(self, *parts: str) -> dict[str, str]:
        found = await self.redis.hgetall(self.keys.key(*parts))
        return {field.decode(): value.decode() for field, value in found.items()}

    async def create_account(self, name: str, folded: str) -> Any:
        names = [self.keys.key("account", name), self.keys.key("accounts"), self.keys.key("account-forms")]
        return await self.call("create_account", names, name=name, folded=folded, now="now", schema=1)

    async def create_key(self, id_: str, name: str = "Post", **fields: str) -> Any:
        names = [
            self.keys.key("key", id_),
            self.keys.key("keys", "all"),
            self.keys.key("keys", "of", name),
            self.keys.key("account", name),
            self.keys.key("accounts"),
            self.keys.key("account-forms"),
        ]
        named = {"id": id_, "name": name, "folded": name.lower(), "now": "now", "schema": 1}
        return await self.call("create_key", names, fields={"hash": "h"} | fields, **named)

    async def update(self, name: str = "Post", *, disabled: bool | None = None, **fields: str) -> Any:
        names = [self.keys.key("account", name), self.keys.key("keys", "of", name), *self.changes, self.keys.audit_log]
        condition = {} if disabled is None else {"disabled": disabled}
        named = {"key_prefix": self.keys.key("key", ""), "fields": fields, "audit": "changed"}
        return await self.call("update_account", names, **named, **condition)

    async def rotate(self, old: str, new: str, now: int = 1000, **arguments: Any) -> Any:
        names = [
            self.keys.key("key", old),
            self.keys.key("key", new),
            self.keys.key("keys", "all"),
            self.keys.key("keys", "of", "Post"),
            *self.changes,
        ]
        fields = {"hash": "h2", "created": str(now)}
        return await self.call("rotate_key", names, id=new, now=now, old_expires=now + 500, fields=fields, **arguments)


@pytest.fixture
def accounts(redis: Redis, keys: Keyspace) -> Accounts:
    return Accounts(redis, keys)


async def test_create_account_refuses_names_that_look_alike(accounts: Accounts) -> None:
    assert await accounts.create_account("Post", "post") == 1
    assert await accounts.create_account("Post", "post") == 0
    assert await accounts.create_account("POST", "post") == b"Post"
    assert await accounts.fields("account", "Post") == {"schema": "1", "name": "Post", "created_at": "now"}


async def test_create_key_creates_its_account_and_copies_the_limits(accounts: Accounts) -> None:
    assert await accounts.create_key("k1") == [b"ACCOUNT", b"KEY"]
    await accounts.update(publish_rate="2.5")
    assert await accounts.create_key("k2") == [b"KEY"]
    assert await accounts.create_key("k2") == []
    found = await accounts.fields("key", "k2")
    assert (found["account"], found["hash"], found["publish_rate"], found["schema"]) == ("Post", "h", "2.5", "1")
    assert await accounts.create_key("k3", "POST") == [b"ALIKE", b"Post"]
    await accounts.update(disabled_at="now")
    assert await accounts.create_key("k4") == b"DISABLED"


async def test_rotate_key_lets_the_old_one_end_after_the_overlap(accounts: Accounts) -> None:
    await accounts.create_key("k1", created="200", expires="10200")
    assert await accounts.rotate("k1", "k2") == [b"OK"]
    old, new = await accounts.fields("key", "k1"), await accounts.fields("key", "k2")
    assert (old["expires"], old["replaced_by"]) == ("1500", "k2")
    assert (new["expires"], new["replaces"], new["hash"], new["id"]) == ("11000", "k1", "h2", "k2")
    assert await accounts.rotate("k1", "k3") == [b"REPLACED", b"k2"]


async def test_rotate_key_gives_the_new_one_its_own_end_or_none(accounts: Accounts) -> None:
    await accounts.create_key("k1")
    await accounts.rotate("k1", "k2")
    assert "expires" not in await accounts.fields("key", "k2")
    await accounts.rotate("k2", "k3", expires=1_800_000_000_000)
    assert (await accounts.fields("key", "k3"))["expires"] == "1800000000000"


async def test_rotate_key_says_why_it_does_not(accounts: Accounts) -> None:
    assert await accounts.rotate("k1", "k2") == [b"MISSING"]
    await accounts.create_key("k1", expires="999")
    assert await accounts.rotate("k1", "k2") == [b"INVALID"]


async def test_revoke_key_keeps_the_record_without_the_hash(accounts: Accounts) -> None:
    async def revoke(now: str) -> Any:
        return await accounts.call("revoke_key", [accounts.keys.key("key", "k1"), *accounts.changes], now=now)

    assert await revoke("now") == 0
    await accounts.create_key("k1")
    assert (await revoke("now"), await revoke("later")) == (1, 1)
    found = await accounts.fields("key", "k1")
    assert (found["revoked_at"], "hash" in found) == ("now", False)
    assert await accounts.redis.get(accounts.changes[1]) == b"2"


async def test_update_account_withholds_and_returns_the_hashes_of_its_keys(accounts: Accounts) -> None:
    assert await accounts.update(disabled_at="now") == 0
    await accounts.create_key("k1")
    assert await accounts.update(disabled_at="now") == 1
    found = await accounts.fields("key", "k1")
    assert (found["withheld"], "hash" in found, found["disabled_at"]) == ("h", False, "now")
    await accounts.update(disabled_at="")
    found = await accounts.fields("key", "k1")
    assert (found["hash"], "withheld" in found, "disabled_at" in found) == ("h", False, False)


async def test_update_account_announces_only_changes_of_access(accounts: Accounts) -> None:
    await accounts.create_key("k1")
    await accounts.update(daily_quota="5")
    assert await accounts.redis.exists(*accounts.changes) == 0
    await accounts.update(entitlement="{}")
    ((_, fields),) = await accounts.redis.xrange(accounts.changes[0])
    assert fields == {b"count": b"1", b"account": b"Post"}


async def test_update_account_leaves_what_is_so_already_without_an_entry(accounts: Accounts) -> None:
    await accounts.create_key("k1")

    async def entries() -> int:
        return int(await accounts.redis.xlen(accounts.keys.audit_log))

    assert [await accounts.update(daily_quota=quota) for quota in ("5", "5", "6")] == [1, 1, 1]
    assert await entries() == 2
    assert await accounts.update(disabled_at="", disabled=True) == 1  # it is not disabled
    assert await entries() == 2
    assert [await accounts.update(disabled_at=time, disabled=False) for time in ("at first", "later")] == [1, 1]
    assert (await entries(), (await accounts.fields("account", "Post"))["disabled_at"]) == (3, "at first")


async def test_record_key_usage_writes_once_in_an_interval(accounts: Accounts) -> None:
    async def record(now: int) -> Any:
        return await accounts.call("record_key_usage", [accounts.keys.key("key", "k1")], now=now, interval=60_000)

    now = 1_800_000_000_000
    assert await record(now) == 0
    await accounts.create_key("k1")
    assert [await record(now + after) for after in (0, 59_999, 60_000)] == [1, 0, 1]
    assert (await accounts.fields("key", "k1"))["last_used"] == "1800000060000"

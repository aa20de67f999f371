"""API keys: shown once, stored as a hash, rejected once revoked."""

from itertools import count

import pytest
from redis.asyncio import Redis

from newswire.auth.account_changes import AccountChanges
from newswire.auth.account_names import MalformedNameError
from newswire.auth.accounts import disable_account, entitle_account, find_account, limit_account
from newswire.auth.api_keys import create_key, list_keys, new_token, revoke_key, rotate_key
from newswire.auth.credentials import Caller, Scope, account_change_keys, authenticate
from newswire.filters import Filter
from newswire.keys import Keyspace


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


async def test_a_key_authenticates_its_account_and_its_secret_is_not_stored(redis: Redis, keys: Keyspace) -> None:
    created = await create_key(redis, keys, "Harbour Gazette", {Scope.PUBLISH, Scope.READ}, label="desk")
    caller = await authenticate(redis, keys, created.token)
    assert caller == Caller("Harbour Gazette", created.id, frozenset({Scope.PUBLISH, Scope.READ}))
    secret = created.token.rpartition("_")[2]
    assert secret not in repr(created)
    async for name in redis.scan_iter(f"{keys.namespace}:*"):
        match await redis.type(name):
            case b"hash":
                stored = await redis.hgetall(name)
            case b"stream":
                stored = await redis.xrange(name)
            case _:
                stored = await redis.zrange(name, 0, -1)
        assert secret not in repr(stored)


async def test_no_other_token_authenticates(redis: Redis, keys: Keyspace, namespace: str) -> None:
    created = await create_key(redis, keys, "Harbour Gazette", {Scope.READ})
    other = await create_key(redis, keys, "Valley Post", {Scope.READ})
    name, _, secret = created.token.rpartition("_")
    wrong = [
        "",
        "nw_",
        name,
        f"{name}_",
        f"{name}_{secret[:-1]}",
        f"{name}_{secret[:-1]}{'0' if secret[-1] != '0' else '1'}",
        f"{other.token.rpartition('_')[0]}_{secret}",
        new_token(),
        created.token + "\n",
        created.token.upper(),
        created.token.replace("nw_", "nw_*"),
    ]
    for token in wrong:
        assert await authenticate(redis, keys, token) is None, token
    assert await authenticate(redis, Keyspace(f"{namespace}x"), created.token) is None


async def test_revoked_keys_stay_listed_and_are_rejected(redis: Redis, keys: Keyspace) -> None:
    created = await create_key(redis, keys, "Harbour Gazette", {Scope.READ}, label="old")
    kept = await create_key(redis, keys, "Valley Post", {Scope.SUBSCRIBE})
    assert await revoke_key(redis, keys, created.id)
    assert not await revoke_key(redis, keys, "nothing")
    assert await authenticate(redis, keys, created.token) is None
    listed = {key.id: key for key in await list_keys(redis, keys)}
    assert set(listed) == {created.id, kept.id}
    assert listed[created.id].revoked_at is not None
    assert listed[created.id].label == "old"
    assert (listed[kept.id].revoked_at, listed[kept.id].scopes) == (None, frozenset({Scope.SUBSCRIBE}))


async def test_creating_a_key_with_a_given_token_is_idempotent(redis: Redis, keys: Keyspace) -> None:
    token = new_token()
    for _ in range(2):
        assert (await create_key(redis, keys, "Harbour Gazette", {Scope.READ}, token=token)).token == token
    assert await authenticate(redis, keys, token) is not None
    assert len(await list_keys(redis, keys)) == 1
    with pytest.raises(MalformedNameError):
        await create_key(redis, keys, "Harbour Gazette", {Scope.READ}, token="secret")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a  b", "-a", " a", "x" * 101, "a\x00b", "a\ud800"])
async def test_invalid_account_names_are_rejected(redis: Redis, keys: Keyspace, name: str) -> None:
    with pytest.raises(MalformedNameError):
        await create_key(redis, keys, name, {Scope.READ})


def test_admin_allows_everything_except_publishing() -> None:
    admin = Caller("Office", "a", frozenset({Scope.ADMIN}))
    assert [scope for scope in Scope if not admin.may(scope)] == [Scope.PUBLISH]
    assert not Caller("Desk", "b", frozenset({Scope.PUBLISH})).may(Scope.READ)


FERRIES = Filter(topics=["Ferries"], query="night OR day")


async def entitlement(redis: Redis, keys: Keyspace, token: str) -> Filter | None:
    caller = await authenticate(redis, keys, token)
    assert caller is not None
    return caller.entitlement


async def test_every_key_of_an_account_has_its_entitlement(redis: Redis, keys: Keyspace) -> None:
    before = await create_key(redis, keys, "Reading Room", {Scope.READ})
    assert await entitlement(redis, keys, before.token) is None
    assert await entitle_account(redis, keys, "Reading Room", FERRIES)
    after = await create_key(redis, keys, "Reading Room", {Scope.SUBSCRIBE})
    rotated = await rotate_key(redis, keys, before.id)
    other = await create_key(redis, keys, "Valley Post", {Scope.READ})
    assert rotated is not None
    for created in (before, after, rotated):
        assert await entitlement(redis, keys, created.token) == FERRIES
    assert await entitlement(redis, keys, other.token) is None
    account = await find_account(redis, keys, "Reading Room")
    assert account is not None
    assert account.entitlement == FERRIES

    await entitle_account(redis, keys, "Reading Room", None)
    for created in (before, after, rotated):
        assert await entitlement(redis, keys, created.token) is None
    assert not await entitle_account(redis, keys, "Nobody", FERRIES)


async def test_followers_receive_the_accounts_that_changed(redis: Redis, keys: Keyspace) -> None:
    room = await create_key(redis, keys, "Reading Room", {Scope.READ})
    post = await create_key(redis, keys, "Valley Post", {Scope.READ})
    followers = [AccountChanges(redis, keys), AccountChanges(redis, keys)]
    for changes in followers:
        assert await changes.read() is None  # no position is known yet: any account may have changed
        assert await changes.read() == set()
    await limit_account(redis, keys, "Valley Post", {"daily_quota": 3})
    await entitle_account(redis, keys, "Reading Room", FERRIES)
    for changes in followers:
        assert await changes.read(1000) == {"Reading Room"}
    await revoke_key(redis, keys, room.id)
    assert await followers[0].read() == {"Reading Room"}
    await rotate_key(redis, keys, post.id)
    assert await followers[0].read() == {"Valley Post"}
    await disable_account(redis, keys, "Valley Post")
    assert await followers[0].read() == {"Valley Post"}
    assert await followers[1].read() == {"Reading Room", "Valley Post"}
    assert await followers[1].read(1) == set()


async def test_a_follower_detects_missed_changes(redis: Redis, keys: Keyspace) -> None:
    await create_key(redis, keys, "Reading Room", {Scope.READ})
    stream, _ = account_change_keys(keys)
    numbers = count()

    async def change() -> None:
        await entitle_account(redis, keys, "Reading Room", Filter(topics=[f"Pier {next(numbers)}"]))

    async def trimmed() -> None:
        await change()
        await redis.xtrim(stream, maxlen=0)

    async def trimmed_and_gone_on() -> None:
        await trimmed()
        await change()

    async def emptied() -> None:
        await redis.delete(*account_change_keys(keys))

    for trouble in (trimmed, trimmed_and_gone_on, emptied):
        changes = AccountChanges(redis, keys)
        await changes.read()
        await change()
        assert await changes.read() == {"Reading Room"}
        await trouble()
        assert await changes.read(10) is None
        assert await changes.read(10) == set()
        await change()
        assert await changes.read() == {"Reading Room"}

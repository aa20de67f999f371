"""Keys: shown once, kept as a hash, worthless once revoked."""

import pytest
from redis.asyncio import Redis

from newswire.accounts import Caller, Scope, UnfitName, authenticate, create_key, new_token
from newswire.keyring import list_keys, revoke_key
from newswire.keyspace import Keyspace


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


async def test_a_key_authenticates_its_account_and_its_secret_is_not_kept(redis: Redis, keys: Keyspace) -> None:
    created = await create_key(redis, keys, "Harbour Gazette", {Scope.PUBLISH, Scope.READ}, label="desk")
    caller = await authenticate(redis, keys, created.token)
    assert caller == Caller("Harbour Gazette", created.id, frozenset({Scope.PUBLISH, Scope.READ}))
    secret = created.token.rpartition("_")[2]
    assert secret not in repr(created)
    async for name in redis.scan_iter(f"{keys.namespace}:*"):
        stored = await redis.hgetall(name) if await redis.type(name) == b"hash" else await redis.zrange(name, 0, -1)
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


async def test_revoked_keys_stay_listed_and_open_nothing(redis: Redis, keys: Keyspace) -> None:
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


async def test_a_given_token_is_taken_and_may_be_given_again(redis: Redis, keys: Keyspace) -> None:
    token = new_token()
    for _ in range(2):
        assert (await create_key(redis, keys, "Harbour Gazette", {Scope.READ}, token=token)).token == token
    assert await authenticate(redis, keys, token) is not None
    assert len(await list_keys(redis, keys)) == 1
    with pytest.raises(UnfitName):
        await create_key(redis, keys, "Harbour Gazette", {Scope.READ}, token="secret")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a  b", "-a", " a", "x" * 101, "a\x00b", "a\ud800"])
async def test_unfit_account_names(redis: Redis, keys: Keyspace, name: str) -> None:
    with pytest.raises(UnfitName):
        await create_key(redis, keys, name, {Scope.READ})


def test_admin_may_do_all_but_publish() -> None:
    admin = Caller("Office", "a", frozenset({Scope.ADMIN}))
    assert [scope for scope in Scope if not admin.may(scope)] == [Scope.PUBLISH]
    assert not Caller("Desk", "b", frozenset({Scope.PUBLISH})).may(Scope.READ)

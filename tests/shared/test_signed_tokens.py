"""Signed tokens: only an installation can create them, and each is valid only for its purpose."""

import asyncio
import random
import string
from typing import Any

import pytest
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.auth.signed_tokens import (
    RETRY_SECONDS,
    ExpiredTokenError,
    ForeignTokenError,
    InvalidTokenError,
    Purpose,
    SignedTokens,
)
from newswire.keys import Keyspace
from newswire.settings import Settings

ALPHABET = string.ascii_letters + string.digits + "-_"
BOUND = ["/v1/search", {"q": "ferry"}, ["Desk"]]


@pytest.fixture
def keys(namespace: str) -> Keyspace:
    return Keyspace(namespace)


class Clock:
    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_token_returns_its_content(redis: Redis, keys: Keyspace) -> None:
    tokens = SignedTokens(redis, keys)
    for content in (b"", b"\x00\xff", b"x" * 5000):
        token = await tokens.write(Purpose.LIST_CURSOR, content, bound_to=BOUND, lifetime=60)
        assert set(token) <= set(ALPHABET)
        assert await tokens.read(Purpose.LIST_CURSOR, token, bound_to=BOUND) == content


async def test_every_change_to_a_token_is_detected(redis: Redis, keys: Keyspace) -> None:
    tokens = SignedTokens(redis, keys)
    token = await tokens.write(Purpose.SEARCH_CURSOR, b"content", bound_to=BOUND, lifetime=60)
    changed = [
        token[:at] + other + token[at + 1 :] for at in range(len(token)) for other in ALPHABET if other != token[at]
    ]
    changed += [token[:at] for at in range(len(token))] + [
        token + more for more in ("A", "=", "AA", " ", "\n", "\u00e9")
    ]
    chance = random.Random(3)
    changed += ["".join(chance.choices(ALPHABET, k=chance.randrange(0, 200))) for _ in range(500)]
    for each in changed:
        with pytest.raises(InvalidTokenError) as refused:
            await tokens.read(Purpose.SEARCH_CURSOR, each, bound_to=BOUND)
        assert type(refused.value) is InvalidTokenError, each


async def test_a_token_is_valid_only_for_its_purpose_and_request(redis: Redis, keys: Keyspace) -> None:
    tokens = SignedTokens(redis, keys)
    token = await tokens.write(Purpose.LIST_CURSOR, b"content", bound_to=BOUND)
    for purpose in set(Purpose) - {Purpose.LIST_CURSOR}:
        with pytest.raises(InvalidTokenError):
            await tokens.read(purpose, token, bound_to=BOUND)
    others: list[Any] = [None, [], [*BOUND, ""], ["/v1/search", {"q": "ferry "}, ["Desk"]], "".join(map(str, BOUND))]
    for other in others:
        with pytest.raises(ForeignTokenError):
            await tokens.read(Purpose.LIST_CURSOR, token, bound_to=other)


async def test_a_token_expires(redis: Redis, keys: Keyspace) -> None:
    clock = Clock()
    tokens = SignedTokens(redis, keys, clock=clock)
    short = await tokens.write(Purpose.LIST_CURSOR, b"content", lifetime=60)
    endless = await tokens.write(Purpose.LIST_CURSOR, b"content")
    clock.now += 59.9
    assert await tokens.read(Purpose.LIST_CURSOR, short) == b"content"
    clock.now += 0.2
    with pytest.raises(ExpiredTokenError):
        await tokens.read(Purpose.LIST_CURSOR, short)
    clock.now += 10 * 365 * 86_400
    assert await tokens.read(Purpose.LIST_CURSOR, endless) == b"content"


async def test_concurrent_processes_generate_one_secret(redis: Redis, keys: Keyspace) -> None:
    processes = [SignedTokens(redis, keys) for _ in range(20)]
    made = await asyncio.gather(*(each.write(Purpose.LIST_CURSOR, b"content") for each in processes))
    for reader in processes:
        for token in made:
            assert await reader.read(Purpose.LIST_CURSOR, token) == b"content"
    other = SignedTokens(redis, Keyspace(f"{keys.namespace}-other"))
    with pytest.raises(InvalidTokenError):
        await other.read(Purpose.LIST_CURSOR, made[0])
    await redis.delete(other._name)


async def test_the_secret_of_a_restored_backup_is_used(
    redis: Redis, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = SignedTokens(redis, keys)
    await tokens.write(Purpose.LIST_CURSOR, b"content")
    await redis.set(keys.token_secret, "a" * 64)
    restored = await SignedTokens(redis, keys).write(Purpose.LIST_CURSOR, b"content")
    monkeypatch.setattr("newswire.auth.signed_tokens.RETRY_SECONDS", 0.0)
    assert await tokens.read(Purpose.LIST_CURSOR, restored) == b"content"


async def test_forged_tokens_cause_no_load_on_redis(redis: Redis, keys: Keyspace) -> None:
    tokens = SignedTokens(redis, keys)
    token = await tokens.write(Purpose.LIST_CURSOR, b"content")
    assert RETRY_SECONDS > 1
    await redis.set(keys.token_secret, "b" * 64)
    with pytest.raises(InvalidTokenError):  # within this time, Redis is not queried again
        await tokens.read(Purpose.LIST_CURSOR, ("A" if token[0] != "A" else "B") + token[1:])
    assert await tokens.read(Purpose.LIST_CURSOR, token) == b"content"


class Down:
    async def get(self, name: str) -> bytes:
        raise RedisError("down")


async def test_the_cached_secret_is_used_while_redis_is_down(
    redis: Redis, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = SignedTokens(redis, keys)
    token = await tokens.write(Purpose.LIST_CURSOR, b"content")
    monkeypatch.setattr(tokens, "_redis", Down())
    monkeypatch.setattr("newswire.auth.signed_tokens.REFRESH_SECONDS", 0.0)
    assert await tokens.read(Purpose.LIST_CURSOR, token) == b"content"
    unknown = SignedTokens(Down(), keys)
    with pytest.raises(RedisError):
        await unknown.read(Purpose.LIST_CURSOR, token)


async def test_tokens_stay_valid_while_the_secret_setting_is_replaced(redis: Redis, keys: Keyspace) -> None:
    def of(**settings: str) -> SignedTokens:
        return SignedTokens.of(redis, keys, Settings.model_validate(settings))

    old, new = "o" * 32, "n" * 32
    before = await of(secret_key=old).write(Purpose.LIST_CURSOR, b"content")
    during = of(secret_key=new, secret_key_previous=old)
    assert await during.read(Purpose.LIST_CURSOR, before) == b"content"
    after = of(secret_key=new)
    assert await after.read(Purpose.LIST_CURSOR, await during.write(Purpose.LIST_CURSOR, b"new")) == b"new"
    with pytest.raises(InvalidTokenError):
        await after.read(Purpose.LIST_CURSOR, before)
    assert not await redis.exists(keys.token_secret)
    with pytest.raises(ValidationError):
        Settings.model_validate({"secret_key": "short"})

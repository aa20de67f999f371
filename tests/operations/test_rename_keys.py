"""All keys are renamed for another namespace, and back."""

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_operations import rename_keys as module
from newswire_operations.rename_keys import RenameRefusedError, rename_keys
from newswire_operations.stores import Stores
from tests.servers.valkey import embedded_valkey

NAMES = ("articles", "stream:articles", "article:a:v:1")
OF_DELIVERIES = ("endpoints", "deliveries:dead", "deliveries:deliveries", "articles")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A server without the keys of other tests: a renaming goes through all keys."""
    with embedded_valkey() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


async def fill(redis: Redis, keys: Keyspace) -> set[str]:
    for name in NAMES:
        await redis.set(keys.key(name), name)
    for name in OF_DELIVERIES:
        await redis.set(keys.deliveries.key(name), f"delivery {name}", ex=1000)
    await redis.delete(keys.stream)
    await redis.xadd(keys.stream, {"a": "1"}, id="5-1")
    await redis.xgroup_create(keys.stream, "search", "0")
    await redis.xreadgroup("search", "stopped", {keys.stream: ">"})
    return names(keys)


def names(keys: Keyspace) -> set[str]:
    return {keys.key(name) for name in NAMES} | {keys.deliveries.key(name) for name in OF_DELIVERIES}


async def stored(redis: Redis, bare: str) -> set[str]:
    return {name.decode() async for name in redis.scan_iter(f"*{bare}*")}


@pytest.fixture(autouse=True)
def consumers_are_idle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_MS", 0)


async def test_into_a_hash_tag_and_back(redis: Redis, namespace: str) -> None:
    plain, tagged = Keyspace(namespace), Keyspace(f"{{{namespace}}}")
    before = await fill(redis, plain)
    for former, new in ((plain, tagged), (tagged, plain)):
        assert await rename_keys(Stores(redis, redis, former), new.namespace) == len(before)
        assert await stored(redis, namespace) == names(new)
        assert await redis.get(new.deliveries.key("deliveries:dead")) == b"delivery deliveries:dead"
        assert 900 < await redis.ttl(new.deliveries.key("endpoints")) <= 1000
        assert (await redis.xpending(new.stream, "search"))["pending"] == 1


@pytest.mark.parametrize("interrupted_after", range(1, 8))
async def test_an_interrupted_run_is_continued(
    redis: Redis, namespace: str, interrupted_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, tagged = Keyspace(namespace), Keyspace(f"{{{namespace}}}")
    await fill(redis, plain)
    monkeypatch.setattr(module, "PAGE_SIZE", 1)
    rename_page, pages = module._rename_page, 0

    async def interrupted(step: module._Step, page: list[str]) -> int:
        nonlocal pages
        pages += 1
        if pages == interrupted_after:
            raise KeyboardInterrupt
        return await rename_page(step, page)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_rename_page", interrupted)
        with pytest.raises(KeyboardInterrupt):
            await rename_keys(Stores(redis, redis, plain), tagged.namespace)
    with pytest.raises(RenameRefusedError, match="finish it first"):
        await rename_keys(Stores(redis, redis, plain), "elsewhere")
    await rename_keys(Stores(redis, redis, plain), tagged.namespace)
    assert await stored(redis, namespace) == names(tagged)


async def test_refused_while_a_service_runs_or_the_other_namespace_is_used(
    redis: Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Keyspace(namespace)
    before = await fill(redis, plain)
    for other in (namespace, f"{namespace}-used"):
        await redis.set(Keyspace(f"{namespace}-used").stream, "x")
        with pytest.raises(RenameRefusedError, match="is in use"):
            await rename_keys(Stores(redis, redis, plain), other)
    monkeypatch.setattr(module, "IDLE_MS", 10_000)
    with pytest.raises(RenameRefusedError, match="search reads events"):
        await rename_keys(Stores(redis, redis, plain), f"{{{namespace}}}")
    assert before <= await stored(redis, namespace)

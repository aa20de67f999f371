"""Retracted text does not stay in the append-only file: the file is rewritten by age, on the server that `newswire run` starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.observability import metrics
from newswire.settings import Settings
from newswire.storage.disk_erasure import RewriteNotAllowedError, keep_rewriting, note_erasure, rewrite_if_due
from newswire.storage.redis_client import open_redis
from newswire_cli.local.valkey import embedded_valkey
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import Ingest
from tests.polling import DEADLINE_SECONDS, until

DAY = timedelta(days=1)
ERASED, KEPT = "quillomarbentoz", "varsitropelundy"


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Ingest]:
    """Ingest with a server of its own, whose snapshots are not compressed, so that they can be searched for words."""
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(embedded_valkey(tmp_path))
        redis = await stack.enter_async_context(open_redis(valkey.url))
        await redis.config_set("rdbcompression", "no")
        settings = IngestSettings(redis_url=valkey.url, public_url="https://news.example")
        app = create_app([assemble(redis, settings)], settings, redis=redis)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")
        )
        yield Ingest(http, redis, Keyspace(settings.namespace), app, settings)


def on_disk(folder: Path, word: str) -> bool:
    found = False
    for path in folder.rglob("*"):
        try:
            found |= path.is_file() and word.encode() in path.read_bytes()
        except FileNotFoundError:
            continue  # an old part of the append-only file is removed at this moment
    return found


async def publish(own: Ingest, headers: dict[str, str], word: str, **more: Any) -> str:
    sent = await own.http.post(
        "/v1/articles", headers=headers, json={"title": word, "body": f"<p>{word}</p>", "language": "en", **more}
    )
    assert sent.status_code == 201, sent.text
    return str(sent.json()["id"])


async def due(own: Ingest, older_than: timedelta = DAY) -> bool:
    return await rewrite_if_due(own.redis, own.redis, own.keys, older_than, store="records")


async def age_waiting(own: Ingest, by: timedelta) -> None:
    """Make the first erasure that waits for a rewrite older."""
    await own.redis.hincrby(own.keys.disk_erasure("records"), "waiting_since", -int(by.total_seconds() * 1000))


async def test_retracted_text_is_in_the_file_until_the_rewrite_by_age(own: Ingest, tmp_path: Path) -> None:
    headers = await own.key("Harbour Gazette", Scope.PUBLISH)
    # Short articles, adjacent on the stream: they would share a node.
    await publish(own, headers, KEPT)
    article = await publish(own, headers, ERASED)
    await publish(own, headers, KEPT)
    assert not await due(own), "nothing was erased"

    assert (await own.http.delete(f"/v1/articles/{article}", headers=headers)).status_code == 200
    assert not await due(own)
    await age_waiting(own, timedelta(hours=23))
    assert not await due(own)
    assert on_disk(tmp_path, ERASED)

    await age_waiting(own, timedelta(hours=1))
    assert await due(own)
    until(lambda: not on_disk(tmp_path, ERASED))
    assert on_disk(tmp_path, KEPT)


async def test_a_cancelled_article_is_erased_from_the_file_too(own: Ingest, tmp_path: Path) -> None:
    headers = await own.key("Harbour Gazette", Scope.PUBLISH)
    article = await publish(own, headers, "Later", external_id=ERASED, embargo_until="2099-01-01T00:00:00Z")
    assert (await own.http.delete(f"/v1/articles/{article}", headers=headers)).is_success
    assert on_disk(tmp_path, ERASED)
    await due(own)
    await age_waiting(own, DAY)
    assert await due(own)


async def test_a_rewrite_covers_earlier_erasures_and_the_next_one_waits(own: Ingest) -> None:
    async def rewrites() -> int:
        return int((await own.redis.info("persistence"))["aof_rewrites"])

    before = await rewrites()
    # The erasure is older than the settling time that a rewrite leaves to the next one.
    await note_erasure(own.redis, own.keys)
    await own.redis.decrby(own.keys.last_erasure, 2 * 86_400_000)
    assert await due(own)
    assert not await due(own)
    assert await rewrites() == before + 1

    # An erasure at the moment of the rewrite is left to the next one, a day later.
    await note_erasure(own.redis, own.keys)
    assert not await due(own)
    await age_waiting(own, DAY)
    assert await due(own)
    assert not await due(own)
    assert await rewrites() == before + 2


async def test_of_several_replicas_one_rewrites(own: Ingest) -> None:
    await note_erasure(own.redis, own.keys)
    await own.redis.decrby(own.keys.last_erasure, 2 * 86_400_000)
    assert sorted(await asyncio.gather(*(due(own) for _ in range(4)))) == [False, False, False, True]


async def test_a_forbidden_rewrite_is_logged(
    own: Ingest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own.redis.execute_command("ACL", "SETUSER", "default", "-bgrewriteaof")
    try:
        await note_erasure(own.redis, own.keys)
        with pytest.raises(RewriteNotAllowedError, match="bgrewriteaof"):
            await due(own, timedelta(milliseconds=1))
        monkeypatch.setattr("newswire.storage.disk_erasure.SECONDS_BETWEEN_CHECKS", 0.01)
        stopping = asyncio.Event()
        loop = asyncio.create_task(
            keep_rewriting(own.redis, own.redis, own.keys, timedelta(seconds=1), stopping, store="records")
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            while "cannot be rewritten from here" not in caplog.text:
                await asyncio.sleep(0.02)
            overdue = metrics.disk_erasure_overdue.labels("records")._value
            said = overdue.get()
            while overdue.get() <= said:  # it is not asked again at once, but the metric goes on
                await asyncio.sleep(0.02)
        stopping.set()
        await loop
    finally:
        await own.redis.execute_command("ACL", "SETUSER", "default", "+bgrewriteaof")


async def test_a_server_without_append_only_file_is_not_rewritten(own: Ingest) -> None:
    await own.redis.config_set("appendonly", "no")
    await note_erasure(own.redis, own.keys)
    await own.redis.decrby(own.keys.last_erasure, 2 * 86_400_000)
    assert await due(own)  # nothing remains to be rewritten
    assert not await due(own)


async def test_the_delivery_server_has_its_own_rewrite_state(own: Ingest, redis: Redis, namespace: str) -> None:
    keys = Keyspace(namespace)
    await note_erasure(own.redis, keys)
    await own.redis.decrby(keys.last_erasure, 2 * 86_400_000)
    assert await rewrite_if_due(redis, own.redis, keys, DAY, store="deliveries")
    assert not await rewrite_if_due(redis, own.redis, keys, DAY, store="deliveries")
    assert await redis.exists(keys.deliveries.disk_erasure("deliveries"))
    assert await rewrite_if_due(own.redis, own.redis, keys, DAY, store="records")


def test_the_setting_accepts_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSWIRE_AOF_REWRITE_AFTER", "12h")
    assert Settings().aof_rewrite_after == timedelta(hours=12)
    monkeypatch.setenv("NEWSWIRE_AOF_REWRITE_AFTER", "0h")
    assert not Settings().aof_rewrite_after


async def test_a_zero_setting_disables_rewrites(own: Ingest) -> None:
    stopping = asyncio.Event()
    stopping.set()
    await keep_rewriting(own.redis, own.redis, own.keys, timedelta(0), stopping, store="records")

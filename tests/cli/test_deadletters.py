"""Dead letters from the command line, on a real server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from newswire.consume import Consumer
from newswire.keyspace import Keyspace
from tests.cli.running import newswire

GOLDEN = Path(__file__).parents[1] / "contract" / "events" / "article.published.v1.minimal.json"


async def handled_by_nobody(_: Any) -> None: ...


@pytest.fixture
def environment(redis_url: str, namespace: str) -> dict[str, str]:
    return {"NEWSWIRE_REDIS_URL": redis_url, "NEWSWIRE_NAMESPACE": namespace}


async def poison(redis: Redis, keys: Keyspace, *payloads: bytes) -> None:
    """Put entries on the stream that search's consumer gives up."""
    for payload in payloads:
        await redis.xadd(keys.stream, {"__data__": payload})
    stopping = asyncio.Event()
    consumer = asyncio.create_task(Consumer(redis, keys, "search", handled_by_nobody, block_ms=50).run(stopping))
    async with asyncio.timeout(30):
        while await redis.xlen(keys.dead_letters("search")) < len(payloads):
            await asyncio.sleep(0.02)
    stopping.set()
    await consumer


async def test_a_poison_entry_is_listed_mended_and_dropped(
    redis: Redis, namespace: str, environment: dict[str, str], tmp_path: Path
) -> None:
    keys = Keyspace(namespace)
    await poison(redis, keys, b"{not json", b"[]")

    heading, *rows = (line.split("\t") for line in newswire("deadletters", "list", **environment).stdout.splitlines())
    assert heading == ["id", "group", "since", "article", "error"]
    assert [row[1] for row in rows] == ["search", "search"]
    assert "not JSON" in rows[0][4]

    mended = tmp_path / "mended.json"
    mended.write_bytes(b"still {not json")
    refused = newswire("deadletters", "retry", rows[0][0], "--data", str(mended), **environment)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1

    event = json.loads(GOLDEN.read_text())
    mended.write_text(json.dumps(event))
    retried = newswire("deadletters", "retry", rows[0][0], "--data", str(mended), **environment)
    assert retried.returncode == 0, retried.stderr
    (_, last), *_ = await redis.xrevrange(keys.stream, count=1)
    assert json.loads(last[b"__data__"]) == event

    assert newswire("deadletters", "drop", "--all", "--group", "search", **environment).returncode == 0
    assert newswire("deadletters", "list", **environment).stdout.splitlines() == ["\t".join(heading)]

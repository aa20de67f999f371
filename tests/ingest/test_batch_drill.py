"""The store is killed in the middle of a large batch and restarted with its files: nothing is lost or repeated."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.storage.article_records import version_document
from newswire.storage.redis_client import open_redis
from tests.cli.running import BARE, NEWSWIRE
from tests.faults.stand import Process, valkey_command
from tests.ingest.conftest import ARTICLE
from tests.servers.valkey import free_port

LINES = 4_000
KILLED_AFTER = 1_000
SENT_AT_ONCE = 50
KEYS = Keyspace("batch-drill")


async def pieces(lines: list[bytes]) -> AsyncIterator[bytes]:
    for at in range(0, len(lines), SENT_AT_ONCE):
        yield b"".join(lines[at : at + SENT_AT_ONCE])


class Batch:
    """A batch that is being sent; ``answers`` grows meanwhile."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []

    async def send(self, http: aiohttp.ClientSession, lines: list[bytes]) -> list[dict[str, Any]]:
        async with http.post("/v1/articles/batch", data=pieces(lines)) as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                self.answers.append(orjson.loads(line))
        assert [answer["line"] for answer in self.answers] == list(range(1, len(lines) + 1))
        return self.answers


@pytest.mark.parametrize("known_by", ["external_id", "Idempotency-Key"])
async def test_acknowledged_lines_are_stored_and_the_rest_can_be_repeated(known_by: str, tmp_path: Path) -> None:
    by_external_id = known_by == "external_id"
    made = [
        {**ARTICLE, "title": f"T{number}"} | ({"external_id": f"gz-{number}"} if by_external_id else {})
        for number in range(LINES)
    ]
    lines = [orjson.dumps(article) + b"\n" for article in made]
    port, own = free_port(), free_port()
    settings = {"NEWSWIRE_REDIS_URL": f"redis://127.0.0.1:{port}/0", "NEWSWIRE_NAMESPACE": KEYS.namespace}
    valkey = Process("valkey", valkey_command(tmp_path, port), dict(os.environ), port, tmp_path / "valkey.log")
    serving = [*NEWSWIRE, "serve", "ingest", "--port", str(own)]
    ingest = Process("ingest", serving, BARE | settings, own, tmp_path / "ingest.log")
    async with AsyncExitStack() as stack:
        for process in (valkey, ingest):
            stack.callback(process.kill)
            process.start()
        redis = await stack.enter_async_context(open_redis(settings["NEWSWIRE_REDIS_URL"]))
        await stack.enter_async_context(asyncio.timeout(280))
        await until_up(ingest)
        key = await create_key(redis, KEYS, "Harbour Gazette", {Scope.PUBLISH})
        headers = {"Authorization": f"Bearer {key.token}", "Content-Type": "application/x-ndjson"}
        if not by_external_id:
            headers["Idempotency-Key"] = "once"
        http = await stack.enter_async_context(aiohttp.ClientSession(ingest.site, headers=headers))

        batch = Batch()
        sending = asyncio.create_task(batch.send(http, lines))
        while len(batch.answers) < KILLED_AFTER:
            await asyncio.sleep(0.01)
            assert not sending.done()
        valkey.kill()
        while batch.answers[-1]["status"] != 503:
            await asyncio.sleep(0.01)
            assert not sending.done()
        valkey.start()
        first = await sending
        kept = {number: answer["id"] for number, answer in enumerate(first) if answer["status"] == 201}
        assert KILLED_AFTER < len(kept) < LINES
        assert {answer["status"] for answer in first} == {201, 503}
        documents = [await version_document(redis, KEYS, id_, 1) for id_ in kept.values()]
        assert [orjson.loads(document or b"{}").get("title") for document in documents] == [f"T{n}" for n in kept]

        # With external ids only the failed lines are sent again; with the request's key it is the same request.
        again = [number for number in range(LINES) if number not in kept] if by_external_id else list(range(LINES))
        answers = await Batch().send(http, [lines[number] for number in again])
        assert {answer["status"] for answer in answers} <= {200, 201}
        ids = kept | {number: answer["id"] for number, answer in zip(again, answers, strict=True)}
        assert {number: ids[number] for number in kept} == kept

        events = [orjson.loads(fields[b"__data__"]) for _, fields in await redis.xrange(KEYS.stream)]
        assert sorted(
            (event["subject"], event["data"]["title"], event["data"]["version"]) for event in events
        ) == sorted((ids[number], f"T{number}", 1) for number in range(LINES))
        assert sorted(id_.decode() for id_ in await redis.zrange(KEYS.articles, 0, -1)) == sorted(ids.values())


async def until_up(ingest: Process) -> None:
    async with aiohttp.ClientSession(ingest.site) as http:
        while True:
            try:
                async with http.get("/status") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                assert ingest.alive, ingest.log.read_text()[-2000:]
            await asyncio.sleep(0.05)

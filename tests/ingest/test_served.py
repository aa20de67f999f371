"""Ingest as a process of its own: real sockets, real signals."""

import asyncio
import signal

import httpx
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from tests.ingest.conftest import ARTICLE
from tests.polling import DEADLINE_SECONDS


async def test_a_served_article_is_published_read_and_retracted_and_sigterm_ends_it(
    served: tuple[asyncio.subprocess.Process, str], redis: Redis, namespace: str
) -> None:
    process, url = served
    keys = Keyspace(namespace)
    key = await create_key(redis, keys, "Harbour Gazette", {Scope.PUBLISH})
    headers = {"Authorization": f"Bearer {key.token}", "Idempotency-Key": "once"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=DEADLINE_SECONDS) as http:
        answers = await asyncio.gather(*(http.post("/v1/articles", json=ARTICLE) for _ in range(50)))
        assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
        location = answers[0].headers["location"]
        assert (await http.get(location)).json()["title"] == ARTICLE["title"]
        over = await http.post("/v1/articles", content=b"x" * 2_000_000, headers={"Content-Type": "application/json"})
        assert over.status_code == 413
        assert over.headers["content-type"] == "application/problem+json"
        assert (await http.delete(location)).json()["status"] == "retracted"
        head = await http.head("/healthz")
        assert (head.status_code, head.content) == (200, b"")
        assert "newswire_article_events_published_total" in (await http.get("/metrics")).text
    assert await redis.xlen(keys.stream) == 1
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), DEADLINE_SECONDS) == 0


async def test_functions_are_loaded_before_they_are_needed(
    served: tuple[asyncio.subprocess.Process, str], redis: Redis, namespace: str
) -> None:
    async def missing() -> set[str]:
        listed = await redis.function_list(library=f"newswire_*_{namespace}_*")
        return {"publish", "outcomes"} - {str(each).partition("newswire_")[2].partition("_")[0] for each in listed}

    async with asyncio.timeout(DEADLINE_SECONDS):
        while await missing():
            await asyncio.sleep(0.02)


async def test_duplicate_lengths_and_bad_requests_close_the_connection(
    served: tuple[asyncio.subprocess.Process, str],
) -> None:
    _, url = served
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"POST /v1/articles HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx")
    await writer.drain()
    assert (await asyncio.wait_for(reader.readline(), DEADLINE_SECONDS)).startswith(b"HTTP/1.1 400")
    writer.close()

"""Dead letters from the command line, on a real server."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import SEARCH
from tests.cli.running import Running, newswire
from tests.polling import DEADLINE_SECONDS, until

GOLDEN = Path(__file__).parents[2] / "contract" / "events" / "article.published.v1.minimal.json"


async def ignore(_: Any) -> None: ...


@pytest.fixture
def environment(redis_url: str, namespace: str) -> dict[str, str]:
    return {"NEWSWIRE_REDIS_URL": redis_url, "NEWSWIRE_NAMESPACE": namespace}


async def poison(redis: Redis, keys: Keyspace, *payloads: bytes) -> None:
    """Add entries to the stream that the consumer of search cannot handle."""
    for payload in payloads:
        await redis.xadd(keys.stream, {"__data__": payload})
    stopping = asyncio.Event()
    broker = EventBroker(GroupMember(redis, keys, SEARCH))
    broker.subscriber(stream=broker.subscription(block_ms=50))(ignore)
    consumer = asyncio.create_task(broker.consume(stopping))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await redis.xlen(keys.dead_letters("search")) < len(payloads):
            await asyncio.sleep(0.02)
    stopping.set()
    await consumer


async def test_a_poison_entry_is_listed_retried_with_a_replacement_and_dropped(
    redis: Redis, namespace: str, environment: dict[str, str], tmp_path: Path
) -> None:
    keys = Keyspace(namespace)
    await poison(redis, keys, b"{not json", b"[]")

    heading, *rows = (line.split("\t") for line in newswire("dead-letters", "list", **environment).stdout.splitlines())
    assert heading == ["id", "group", "since", "article", "error"]
    assert [row[1] for row in rows] == ["search", "search"]
    assert "not JSON" in rows[0][4]

    replacement = tmp_path / "replacement.json"
    replacement.write_bytes(b"still {not json")
    refused = newswire("dead-letters", "retry", rows[0][0], "--data", str(replacement), **environment)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1

    event = json.loads(GOLDEN.read_text())
    replacement.write_text(json.dumps(event))
    retried = newswire("dead-letters", "retry", rows[0][0], "--data", str(replacement), **environment)
    assert retried.returncode == 0, retried.stderr
    (_, last), *_ = await redis.xrevrange(keys.stream, count=1)
    assert json.loads(last[b"__data__"]) == event

    assert newswire("dead-letters", "drop", "--all", "--group", "search", **environment).returncode == 0
    assert newswire("dead-letters", "list", **environment).stdout.splitlines() == ["\t".join(heading)]


@pytest.fixture
def gone() -> Iterator[str]:
    """An endpoint that responds with 410 to everything."""

    class Gone(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(410)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Gone) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_dead_delivery_is_listed_not_retried_and_dropped(
    start: Callable[..., Running], tmp_path: Path, gone: str
) -> None:
    running = start(tmp_path / "data", "--no-samples")
    group = ["--group", "deliveries", "--data-dir", str(running.data_dir)]

    def rows() -> list[list[str]]:
        return [line.split("\t") for line in newswire("dead-letters", "list", *group).stdout.splitlines()[1:]]

    subscription = {"channel": {"type": "webhook", "url": gone}}
    for path, name, sent in (
        ("/v1/subscriptions", "SUBSCRIBER", subscription),
        ("/v1/articles", "PUBLISHER", {"title": "Nobody home", "body": ""}),
    ):
        answer = httpx.post(running.site + path, headers=running.key(name), json=sent, trust_env=False)
        assert answer.status_code == 201, answer.text
    (row,) = until(rows)
    assert row[1] == "deliveries"
    assert "410" in row[4]

    refused = newswire("dead-letters", "retry", "--all", *group)
    assert refused.returncode == 1
    assert "disabled" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

    assert newswire("dead-letters", "drop", row[0], *group).returncode == 0
    assert rows() == []

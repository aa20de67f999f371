"""Batches: each line has a result in order, and errors do not affect other lines."""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.storage import replication
from newswire.storage.redis_client import open_redis
from newswire_ingest.app import assemble
from newswire_ingest.articles import batch, disk_buffer
from newswire_ingest.articles.disk_buffer import DiskBuffer
from newswire_ingest.articles.ndjson import lines
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import ARTICLE, Ingest
from tests.ingest.test_outage import server
from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import free_port

URL = "/v1/articles/batch"


def ndjson(*articles: Any) -> bytes:
    return b"".join((article if isinstance(article, bytes) else orjson.dumps(article)) + b"\n" for article in articles)


async def send(
    ingest: Ingest, publisher: dict[str, str], content: Any, url: str = URL, **headers: str
) -> list[dict[str, Any]]:
    headers = {**publisher, "Content-Type": "application/x-ndjson", **headers}
    answer = await ingest.http.post(url, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in answer.content.splitlines()]


async def test_every_line_has_a_result_in_order_and_errors_do_not_affect_others(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    big = orjson.dumps({"title": "Big", "body": "x" * (1024 * 1024)})
    answers = await send(
        ingest,
        publisher,
        ndjson(
            {**ARTICLE, "title": "One"},
            b"",
            b"nonsense",
            {**ARTICLE, "headline": "x"},
            b"   \r",
            b"\xff",
            big,
            [],
            {**ARTICLE, "title": "Two", "external_id": "gz-2"},
            {**ARTICLE, "embargo_until": "2999-01-01T00:00:00Z"},
        )
        + orjson.dumps({**ARTICLE, "title": "Last, without a line break"}),
    )
    assert [(answer["line"], answer["status"]) for answer in answers] == [
        (1, 201),
        (3, 400),
        (4, 422),
        (6, 400),
        (7, 413),
        (8, 422),
        (9, 201),
        (10, 201),
        (11, 201),
    ]
    for answer in answers:
        assert ("error" in answer) == (answer["status"] >= 400)
        assert ("id" in answer) == (answer["status"] < 400)
    assert answers[2]["error"]["errors"][0]["field"] == "headline"
    assert (answers[0]["version"], answers[7]["version"]) == (1, 0)
    assert answers[0]["url"].startswith("https://news.example/articles/")
    assert [event["data"]["title"] for event in await ingest.events()] == ["One", "Two", "Last, without a line break"]


async def test_sending_again_changes_only_what_changed(ingest: Ingest, publisher: dict[str, str]) -> None:
    articles = [{**ARTICLE, "title": f"T{n}", "external_id": f"gz-{n}"} for n in range(300)]
    first = await send(ingest, publisher, ndjson(*articles))
    assert {answer["status"] for answer in first} == {201}
    again = await send(ingest, publisher, ndjson(*articles))
    assert {(answer["status"], answer.get("version")) for answer in again} == {(200, 1)}, again[-3:]
    assert len(await ingest.events()) == 300
    articles[7]["title"] = "Changed"
    third = await send(ingest, publisher, ndjson(*articles))
    assert [answer["version"] for answer in third] == [2 if n == 7 else 1 for n in range(300)]
    assert [{answer["effect"] for answer in sent} for sent in (first, again, third)] == [
        {"created"},
        {"unchanged"},
        {"unchanged", "updated"},
    ]
    articles[7]["title"] = "T7"
    fourth = await send(ingest, publisher, ndjson(*articles))
    assert fourth[7]["version"] == 3
    assert len(await ingest.events()) == 302


async def test_lines_about_one_article_take_effect_in_order(ingest: Ingest, publisher: dict[str, str]) -> None:
    articles = [{**ARTICLE, "title": f"T{n}", "external_id": f"gz-{n % 3}"} for n in range(60)]
    answers = await send(ingest, publisher, ndjson(*articles))
    assert [answer["version"] for answer in answers] == [n // 3 + 1 for n in range(60)]
    titles: dict[str, list[str]] = {}
    for event in await ingest.events():
        titles.setdefault(event["data"]["external_id"], []).append(event["data"]["title"])
    assert titles == {f"gz-{k}": [f"T{n}" for n in range(k, 60, 3)] for k in range(3)}


async def test_without_external_ids_the_key_makes_a_batch_repeatable(ingest: Ingest, publisher: dict[str, str]) -> None:
    content = ndjson(*({**ARTICLE, "title": f"T{n}"} for n in range(20)))
    first = await send(ingest, publisher, content, **{"Idempotency-Key": "once"})
    again = await send(ingest, publisher, content, **{"Idempotency-Key": "once"})
    assert [answer["id"] for answer in again] == [answer["id"] for answer in first]
    assert {answer["status"] for answer in again} == {200}
    assert len(await ingest.events()) == 20


async def test_lines_that_replicas_do_not_confirm_are_repeated_without_effect(
    ingest: Ingest, publisher: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "WAIT_MS", 50)
    alone = ingest.with_settings(redis_min_replicas=1)
    for send_one in (partial(send, content=ndjson(ARTICLE, ARTICLE)), partial(single, content=orjson.dumps(ARTICLE))):
        headers = publisher | {"Idempotency-Key": send_one.func.__name__}
        assert {each["status"] for each in await send_one(alone, headers)} == {503}
        assert {each["status"] for each in await send_one(ingest, headers)} <= {200, 201}
    assert len(await ingest.events()) == 3
    assert "1 must" in (await alone.http.get("/status")).json()["checks"]["ingest: replicas"]


async def single(ingest: Ingest, publisher: dict[str, str], content: bytes) -> list[dict[str, Any]]:
    headers = {**publisher, "Content-Type": "application/json"}
    answer = await ingest.http.post("/v1/articles", content=content, headers=headers)
    return [{"status": answer.status_code}]


async def test_a_retracted_article_is_not_republished_by_an_import(ingest: Ingest, publisher: dict[str, str]) -> None:
    line = {**ARTICLE, "external_id": "gz-1"}
    [answer] = await send(ingest, publisher, ndjson(line))
    await ingest.http.delete(f"/v1/articles/{answer['id']}", headers=publisher)
    for sent in (line, {**line, "title": "New"}):
        [again] = await send(ingest, publisher, ndjson(sent))
        assert (again["status"], "PUT" in again["error"]["detail"]) == (409, True)
    assert len(await ingest.events()) == 1


async def test_silent_is_the_default_for_lines_without_it(ingest: Ingest, publisher: dict[str, str]) -> None:
    content = ndjson({**ARTICLE, "title": "A"}, {**ARTICLE, "title": "B", "silent": False})
    await send(ingest, publisher, content, f"{URL}?silent=true")
    assert [event["data"]["silent"] for event in await ingest.events()] == [True, False]


async def test_errors_of_the_request_itself_are_problem_responses(ingest: Ingest, publisher: dict[str, str]) -> None:
    typed = {**publisher, "Content-Type": "application/x-ndjson"}
    reader = await ingest.key("Harbour Gazette", Scope.READ)
    for headers, url, status in (
        ({"Content-Type": "application/x-ndjson"}, URL, 401),
        ({**typed, **reader}, URL, 403),
        ({**publisher, "Content-Type": "application/json"}, URL, 415),
        (typed, f"{URL}?silent=perhaps", 422),
        (typed, f"{URL}?quiet=true", 422),
    ):
        answer = await ingest.http.post(url, content=ndjson(ARTICLE), headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert await send(ingest, publisher, b"") == []
    assert await ingest.events() == []


async def test_results_are_sent_while_the_request_is_still_received(ingest: Ingest, publisher: dict[str, str]) -> None:
    """This calls the app directly, because the test client reads a response only after it has sent everything."""
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    headers = {**publisher, "Content-Type": "application/x-ndjson"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "POST",
        "path": URL,
        "raw_path": URL.encode(),
        "query_string": b"",
        "scheme": "http",
        "server": ("news.example", 80),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    async with asyncio.timeout(DEADLINE_SECONDS):
        serving = asyncio.create_task(ingest.app(scope, requests.get, answers.put))  # type: ignore[arg-type]
        assert (await _after(answers, requests, None))["status"] == 200
        for number in range(3):
            answer = await _after(answers, requests, ndjson({**ARTICLE, "title": f"T{number}"}))
            assert orjson.loads(answer["body"])["line"] == number + 1
        await requests.put({"type": "http.disconnect"})
        await serving
    assert len(await ingest.events()) == 3


async def _after(
    answers: "asyncio.Queue[dict[str, Any]]", requests: "asyncio.Queue[dict[str, Any]]", body: bytes | None
) -> dict[str, Any]:
    if body is not None:
        await requests.put({"type": "http.request", "body": body, "more_body": True})
    return await answers.get()


async def test_an_outage_in_the_middle_is_503_for_its_lines_alone(tmp_path: Path) -> None:
    port = free_port()
    valkey = server(port, tmp_path)
    valkey.start()
    settings = IngestSettings(redis_url=f"redis://127.0.0.1:{port}/0", namespace="outage")
    articles = [{**ARTICLE, "title": f"T{n}", "external_id": f"gz-{n}"} for n in range(90)]

    async def content() -> AsyncIterator[bytes]:
        nonlocal valkey
        yield ndjson(*articles[:30])
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await redis.xlen("outage:stream:articles") < 30:
                await asyncio.sleep(0.01)
        valkey.stop()
        yield ndjson(*articles[30:60])
        await asyncio.sleep(3)  # longer than a call is retried
        valkey = server(port, tmp_path)
        valkey.start()
        yield ndjson(*articles[60:])

    try:
        async with open_redis(settings.redis_url.get_secret_value()) as redis:
            key = await create_key(redis, Keyspace("outage"), "Harbour Gazette", {Scope.PUBLISH})
            publisher = {"Authorization": f"Bearer {key.token}"}
            app = create_app([assemble(redis, settings)], settings, redis=redis)
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="https://news.example", timeout=60
            ) as http:
                ingest = Ingest(http, redis, Keyspace("outage"), app, settings)
                answers = await send(ingest, publisher, content())
                assert [answer["line"] for answer in answers] == list(range(1, 91))
                assert {answer["status"] for answer in answers} <= {201, 503}
                assert [answer["status"] for answer in answers[:30]] == [201] * 30
                assert any(answer["status"] == 503 for answer in answers[30:60])
                again = await send(ingest, publisher, ndjson(*articles))
                assert {answer["status"] for answer in again} <= {200, 201}
                assert len(await ingest.events()) == 90
    finally:
        valkey.stop()


@pytest.mark.parametrize("size", [1, 3, 7, 64])
async def test_lines_do_not_depend_on_chunk_boundaries(size: int) -> None:
    content = b"one\n\n  \ntwo\r\n" + b"x" * 20 + b"\n" + b"y" * 10 + b"\nlast"

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(content), size):
            yield content[at : at + size]

    found = [(line.number, line.text) async for line in lines(chunks(), 10)]
    assert found == [(1, b"one"), (4, b"two\r"), (5, None), (6, b"y" * 10), (7, b"last")]


async def test_a_disk_buffer_returns_what_was_written_and_limits_unread_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_buffer, "MAX_MEMORY_BYTES", 1000)
    taken, data = bytearray(), os.urandom(200_000)
    answers = DiskBuffer(max_unread_bytes=100_000)

    async def write() -> None:
        for at in range(0, len(data), 997):
            await answers.write(data[at : at + 997])
        await answers.complete()

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    assert not writing.done()
    while part := await answers.read():
        taken += part
    await writing
    assert bytes(taken) == data
    answers.close()


DRY = f"{URL}?dry_run=true"


def outcome(answer: dict[str, Any]) -> tuple[Any, ...]:
    """Return the effect of a line, regardless of the form of the response."""
    error = answer.get("error", {})
    return answer["line"], answer["status"], answer.get("effect"), answer.get("version"), error.get("type")


async def test_a_dry_run_reports_effects_and_writes_nothing(ingest: Ingest, publisher: dict[str, str]) -> None:
    stored = {"external_id": "gz-1", "title": "One", "body": "<p>One.</p>", "topics": ["Ports"], "category": "City"}
    later = {"external_id": "gz-2", "title": "Later", "body": "x", "embargo_until": "2999-01-01T00:00:00Z"}
    gone = {"external_id": "gz-3", "title": "Gone", "body": "x"}
    await send(ingest, publisher, ndjson(stored, later, gone))
    await ingest.http.delete("/v1/articles/by-external-id/gz-3", headers=publisher)
    lines_sent = ndjson(
        stored,
        {**stored, "topics": ["PORTS"], "body": "<p>One.</p><script>x</script>"},
        {**stored, "title": "Two", "summary": "New"},
        {**stored, "title": "Two", "summary": "New"},
        later,
        {**later, "embargo_until": "2998-01-01T00:00:00Z"},
        gone,
        {"external_id": "gz-4", "title": "New", "body": "x"},
        {"external_id": "gz-4", "title": "New", "body": "y"},
        {"title": "Without an id", "body": "x"},
        {**stored, "source_version": -1},
        {"title": "Past", "body": "x", "embargo_until": "2026-01-01T00:00:00Z"},
        b"nonsense",
    )
    before = await ingest.everything()
    dry = await send(ingest, publisher, lines_sent, DRY)
    assert await ingest.everything() == before
    assert all(answer["dry_run"] for answer in dry if "error" not in answer)
    assert [answer.get("changed") for answer in dry[:6]] == [
        None, None, ["title", "summary"], None, None, ["published_at", "embargo_until"]
    ]  # fmt: skip
    assert dry[8]["changed"] == ["body"]
    assert "id" in dry[0]
    assert "id" not in dry[7]
    real = await send(ingest, publisher, lines_sent)
    assert [outcome(answer) for answer in dry] == [outcome(answer) for answer in real]
    assert [outcome(answer)[1:3] for answer in real] == [
        (200, "unchanged"), (200, "unchanged"), (200, "updated"), (200, "unchanged"), (200, "unchanged"),
        (200, "updated"), (409, None), (201, "created"), (200, "updated"), (201, "created"), (422, None), (422, None),
        (400, None),
    ]  # fmt: skip


async def test_a_dry_run_recognises_repeats_by_key(ingest: Ingest, publisher: dict[str, str]) -> None:
    content = ndjson({**ARTICLE, "title": "One"}, {**ARTICLE, "title": "Two"})
    key = {"Idempotency-Key": "batch-1"}
    assert [a["effect"] for a in await send(ingest, publisher, content, DRY, **key)] == ["created", "created"]
    await send(ingest, publisher, content, **key)
    assert [a["effect"] for a in await send(ingest, publisher, content, DRY, **key)] == ["unchanged", "unchanged"]
    other = await send(ingest, publisher, ndjson({**ARTICLE, "title": "Other"}), DRY, **key)
    assert other[0]["status"] == 422


async def test_a_dry_run_counts_towards_the_rate_but_not_the_quota(ingest: Ingest, publisher: dict[str, str]) -> None:
    limited = ingest.with_settings(daily_quota=2)
    content = ndjson(*({**ARTICLE, "title": str(number)} for number in range(3)))
    for _ in range(2):
        assert [answer["status"] for answer in await send(limited, publisher, content, DRY)] == [201, 201, 429]
    assert [answer["status"] for answer in await send(limited, publisher, content)] == [201, 201, 429]
    slow = ingest.with_settings(publish_rate=0.2)
    assert [answer["status"] for answer in await send(slow, publisher, content, DRY)] == [201, 201, 429]


@pytest.mark.parametrize("value", ["maybe", ""])
async def test_the_dry_run_parameter_is_strict(ingest: Ingest, publisher: dict[str, str], value: str) -> None:
    headers = {**publisher, "Content-Type": "application/x-ndjson"}
    for query in (f"dry_run={value}", "dry_run=true&dry_run=false", "dryrun=true"):
        answer = await ingest.http.post(f"{URL}?{query}", content=ndjson(ARTICLE), headers=headers)
        assert answer.status_code == 422
    assert not await ingest.events()


async def test_complete_results_are_written_together_without_waiting() -> None:
    written: list[bytes] = []
    answers = DiskBuffer()
    write = answers.write

    async def note(data: bytes) -> None:
        written.append(data)
        await write(data)

    answers.write = note  # type: ignore[method-assign]

    async def answer(number: int, ready: asyncio.Event) -> bytes:
        await ready.wait()
        return b"%d\n" % number

    events = [asyncio.Event() for _ in range(6)]
    in_flight: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
    tasks = [asyncio.create_task(answer(number, event)) for number, event in enumerate(events)]
    for number in (0, 1, 2, 4, 5):
        events[number].set()
    await asyncio.sleep(0)
    for task in (*tasks, None):
        in_flight.put_nowait(task)
    collecting = asyncio.create_task(batch._collect(in_flight, answers))
    assert await answers.read() == b"0\n1\n2\n"
    events[3].set()
    await collecting
    assert written == [b"0\n1\n2\n", b"3\n4\n5\n"]
    answers.close()


async def test_a_dry_run_skips_building_versions_that_no_later_line_can_need(
    ingest: Ingest, publisher: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("newswire_ingest.articles.versioning.next_version")
    later = {**ARTICLE, "embargo_until": "2999-01-01T00:00:00Z"}
    refused = {**ARTICLE, "body": "<div>" * 1000}
    answers = await send(ingest, publisher, ndjson(ARTICLE, later, refused), DRY)
    assert [answer["status"] for answer in answers] == [201, 201, 422]
    assert [answer.get("version") for answer in answers] == [1, 0, None]

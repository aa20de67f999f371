"""The connections to an Elasticsearch node, against a server that sends raw bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import elastic_transport
import pytest
from elastic_transport import ConnectionTimeout, NodeConfig

from newswire_search.index.elasticsearch import http_node
from newswire_search.index.elasticsearch.http_node import ElasticsearchNode
from tests.polling import DEADLINE_SECONDS

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-elastic-product: Elasticsearch\r\ncontent-length: 2\r\n\r\n{}"
Answer = Callable[[asyncio.StreamWriter], None] | bytes
"""What the server sends for one request; a function may also close the connection."""


class RawServer:
    """Sends the given answers, in order, whichever connection asks; remembers what it received."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.received: list[bytes] = []
        self.connections = 0
        self.tasks: list[asyncio.Task[object]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0"
                )
                self.received.append(head + await reader.readexactly(int(length.split(b":")[1])))
                answer = self.answers.pop(0)
                if callable(answer):
                    answer(writer)
                else:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, OSError):
            pass  # the node has closed the connection
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def node_of(
    *answers: Answer, timeout: float = DEADLINE_SECONDS
) -> AsyncIterator[tuple[ElasticsearchNode, RawServer]]:
    raw = RawServer(answers)
    server = await asyncio.start_server(raw.serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    node = ElasticsearchNode(NodeConfig("http", "127.0.0.1", port, path_prefix="/es", request_timeout=timeout))
    try:
        yield node, raw
    finally:
        await node.close()
        server.close()
        if raw.tasks:
            await asyncio.wait(raw.tasks, timeout=DEADLINE_SECONDS)


async def test_requests_share_a_connection() -> None:
    async with node_of(OK, OK) as (node, raw):
        for body in (b'{"size": 1}', None):
            meta, content = await node.perform_request(
                "POST", "/articles/_search", body, elastic_transport.HttpHeaders({"Content-Type": "application/json"})
            )
            assert (meta.status, content, meta.mimetype) == (200, b"{}", "application/json")
            assert meta.headers["X-Elastic-Product"] == "Elasticsearch"
    assert raw.connections == 1
    first, second = raw.received
    assert first.startswith(b"POST /es/articles/_search HTTP/1.1\r\nhost: 127.0.0.1:")
    assert first.endswith(b'content-length: 11\r\n\r\n{"size": 1}')
    assert first.lower().count(b"content-type:") == 1
    assert b"content-length" not in second


async def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A balancer may have forgotten it, and drops what is sent on it without a reply."""
    async with node_of(OK, OK, OK) as (node, raw):
        await node.perform_request("GET", "/")
        await node.perform_request("GET", "/")
        assert raw.connections == 1
        monkeypatch.setattr(http_node, "MAX_IDLE_SECONDS", -1.0)
        await node.perform_request("GET", "/")
        assert raw.connections == 2


async def test_concurrent_requests_get_their_own_answers() -> None:
    async with node_of() as (node, raw):

        def echo(writer: asyncio.StreamWriter) -> None:
            path = raw.received[-1].split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(path), path))

        targets = [f"/es/{number}" for number in range(50)]
        raw.answers += [echo] * len(targets)
        found = await asyncio.gather(*(node.perform_request("GET", target.removeprefix("/es")) for target in targets))
        assert [content.decode() for _, content in found] == targets
        assert raw.connections == node.config.connections_per_node


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
async def test_responses_in_every_framing_are_read(answer: bytes) -> None:
    async with node_of(answer, OK) as (node, _):
        assert (await node.perform_request("GET", "/"))[1] == b"{}"
        assert (await node.perform_request("GET", "/"))[1] == b"{}"


async def test_head_has_no_body() -> None:
    async with node_of(b"HTTP/1.1 404 Not Found\r\ncontent-length: 17\r\n\r\n", OK) as (node, _):
        meta, content = await node.perform_request("HEAD", "/_alias/x")
        assert (meta.status, content) == (404, b"")
        assert (await node.perform_request("GET", "/"))[1] == b"{}"


async def test_a_connection_that_was_closed_while_idle_is_replaced() -> None:
    def closing(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async with node_of(closing, OK) as (node, raw):
        await node.perform_request("GET", "/")
        assert (await node.perform_request("GET", "/"))[1] == b"{}"
    assert raw.connections == 2


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{", b"no HTTP at all\r\n\r\n"])
async def test_broken_answers_are_connection_errors(begun: bytes) -> None:
    def broken(writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        writer.close()

    async with node_of(broken, OK) as (node, _):
        with pytest.raises(elastic_transport.ConnectionError):
            await node.perform_request("GET", "/")
        assert (await node.perform_request("GET", "/"))[1] == b"{}"


async def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    async with node_of(lambda _: None) as (node, _):
        with pytest.raises(ConnectionTimeout):
            await node.perform_request("GET", "/slow", request_timeout=0.05)


async def test_a_late_answer_is_never_given_to_the_next_request() -> None:
    late: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    async with node_of(late.set_result, OK) as (node, raw):
        left = asyncio.create_task(node.perform_request("GET", "/slow"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            server_side = await late
        left.cancel()
        await asyncio.wait([left])
        server_side.write(OK.replace(b"{}", b"[]"))
        assert (await node.perform_request("GET", "/"))[1] == b"{}"
    assert raw.connections == 2


async def test_an_unreachable_server_is_a_connection_error() -> None:
    node = ElasticsearchNode(NodeConfig("http", "127.0.0.1", 1))
    with pytest.raises(elastic_transport.ConnectionError):
        await node.perform_request("GET", "/")

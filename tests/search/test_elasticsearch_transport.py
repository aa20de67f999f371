"""A request goes to the nodes that answer, and waits a moment where all of them refuse it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from elastic_transport import ConnectionTimeout, NodeConfig
from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError

from newswire_search.index.elasticsearch import transport
from newswire_search.index.elasticsearch.http_node import ElasticsearchNode, NoFreeConnectionError
from newswire_search.index.elasticsearch.prepared_requests import PreparedRequests
from newswire_search.index.elasticsearch.transport import ElasticsearchTransport
from tests.polling import DEADLINE_SECONDS
from tests.search.test_elasticsearch_http_node import OK, Answer, RawServer

REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def cluster(
    *answers: list[Answer], retries: int = 3
) -> AsyncIterator[tuple[AsyncElasticsearch, list[RawServer]]]:
    """Yield a client of nodes that send these answers each."""
    nodes = [RawServer(each) for each in answers]
    async with AsyncExitStack() as stack:
        urls = []
        for node in nodes:
            server = await asyncio.start_server(node.serve, "127.0.0.1")
            stack.callback(server.close)
            urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        client = AsyncElasticsearch(
            urls,
            node_class=ElasticsearchNode,
            transport_class=ElasticsearchTransport,
            randomize_nodes_in_pool=False,
            max_retries=retries,
            retry_on_timeout=True,
            request_timeout=20,
        )
        stack.push_async_callback(client.close)
        yield client, nodes


async def test_what_a_node_refuses_goes_to_the_next_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE_SECONDS", 600)
    async with cluster([REFUSED], [OK, OK]) as (client, nodes):
        assert (await client.info()).body == {}
        assert (await client.info()).body == {}  # the first node is left out now
        assert [len(node.received) for node in nodes] == [1, 2]


async def test_what_all_nodes_refuse_is_sent_again_after_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    async with cluster([REFUSED] * 3, [REFUSED, REFUSED, OK]) as (client, nodes):
        assert (await client.info()).body == {}
        assert sum(len(node.received) for node in nodes) == 2 + len(pauses)
    assert pauses == sorted(pauses)
    assert 0.07 < pauses[0] < 0.13


@pytest.mark.parametrize(("retries", "requests"), [(0, 1), (3, 1 + transport.MAX_PAUSES)])
async def test_a_refusal_is_reported_after_the_last_pause(
    retries: int, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE_SECONDS", 0.001)
    async with cluster([REFUSED] * 10, retries=retries) as (client, nodes):
        with pytest.raises(ApiError) as refused:
            await client.info()
        assert refused.value.status_code == 503
        assert len(nodes[0].received) == requests


async def test_no_pause_is_longer_than_the_request_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE_SECONDS", 600)
    async with cluster([REFUSED] * 10) as (client, nodes), asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(ApiError):
            await client.options(request_timeout=0.05).info()
        assert len(nodes[0].received) == 1


async def test_a_node_without_a_free_connection_is_not_left_out() -> None:
    asked: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    node = RawServer([asked.put_nowait, OK])
    server = await asyncio.start_server(node.serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    config = NodeConfig("http", "127.0.0.1", port, connections_per_node=1, request_timeout=60)
    sender = ElasticsearchTransport([config], node_class=ElasticsearchNode, max_retries=3)
    slow = asyncio.create_task(sender.perform_request("GET", "/slow"))
    writer = await asked.get()
    with pytest.raises(NoFreeConnectionError, match="all 1 connections"):
        await sender.perform_request("GET", "/", request_timeout=0.05)
    assert sender.node_pool._dead_consecutive_failures == {}
    waiting = asyncio.create_task(sender.perform_request("GET", "/", request_timeout=60))
    await asyncio.sleep(0)
    writer.write(OK)
    assert [(await each).body for each in (slow, waiting)] == [{}, {}]
    assert node.connections == 1
    await sender.close()
    server.close()


async def test_a_request_that_a_node_does_not_answer_goes_to_another_one() -> None:
    async with cluster([lambda _: None] * 2, [OK] * 4) as (client, nodes):
        assert (await client.options(request_timeout=3).info()).body == {}
        assert len(nodes[0].received) == 1
        with pytest.raises(ConnectionTimeout):
            await client.options(request_timeout=0, max_retries=0).info()


async def test_prepared_requests_are_those_of_the_client_and_raise_its_errors() -> None:
    missing = b'{"error": {"type": "index_not_found_exception"}, "status": 404}'
    head = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(missing)
    async with cluster([OK, OK, OK, OK, head + missing]) as (client, (node,)):
        prepared = PreparedRequests(client, "articles")
        body = {"size": 1}
        assert await prepared.search(body) == {}
        await client.search(index="articles", size=1)
        assert await prepared.search_all([{"index": "articles"}, body]) == {}
        await client.msearch(searches=[{"index": "articles"}, body])
        with pytest.raises(NotFoundError) as error:
            await prepared.search(body)
        assert error.value.error == "index_not_found_exception"
    ours, theirs, ours_of_many, theirs_of_many = map(parts, node.received[:4])
    assert ours == theirs
    assert ours_of_many == theirs_of_many


def parts(received: bytes) -> tuple[bytes, set[bytes], bytes]:
    """Return the request line, the headers, and the content of a request, without what the client reports about itself."""
    head, _, content = received.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    kept = {
        line.lower() for line in headers if not line.lower().startswith((b"x-elastic-client-meta", b"content-length"))
    }
    return first, kept, content.replace(b" ", b"")

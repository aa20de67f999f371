"""What Elasticsearch, or a proxy in its place, refuses: an outage is waited for, and costs no article its place in the index."""

import asyncio
import re
from collections.abc import Callable

import orjson
import pytest
from elasticsearch import AsyncElasticsearch, BadRequestError

from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.elasticsearch.prepared_requests import PreparedRequests
from newswire_search.index.elasticsearch.responses import translate_errors
from newswire_search.index.elasticsearch.target import IndexTarget
from newswire_search.index.elasticsearch.writing import write_batch
from newswire_search.index.models import RejectedOperation, Retract, WriteStatus
from tests.search.test_elasticsearch_http_node import Answer, RawServer
from tests.search.test_elasticsearch_transport import cluster

PAGE = b"<html>Sign in</html>"


def response(status: int, body: bytes, content_type: str = "application/json", product: str = "Elasticsearch") -> bytes:
    names = f"content-type: {content_type}\r\nx-elastic-product: {product}\r\ncontent-length: {len(body)}"
    return f"HTTP/1.1 {status} Said\r\n{names}\r\n\r\n".encode() + body


def error(status: int, kind: str) -> bytes:
    return response(status, orjson.dumps({"error": {"type": kind, "reason": "said"}, "status": status}))


@pytest.mark.parametrize(
    "answer",
    [
        response(200, PAGE, "text/html", "none"),
        response(200, b"{}", product="none"),
        response(302, b"", "text/html", "none"),
        response(400, b"Bad Request", "text/plain", "none"),
        response(407, PAGE, "text/html", "none"),
        error(400, "index_closed_exception"),
        error(403, "cluster_block_exception"),
    ],
)
async def test_an_outage_is_no_error_of_the_request(answer: bytes) -> None:
    async with cluster([answer] * 2, retries=0) as (client, _):
        for search in (lambda: client.search(index="a"), lambda: PreparedRequests(client, "a").search({})):
            with pytest.raises(DependencyUnavailableError):
                async with translate_errors():
                    await search()


@pytest.mark.parametrize(
    "answer",
    [
        response(200, b'{"version": {"distribution": "opensearch"}}', product="none"),
        response(406, b'{"error": "Content-Type header [...] is not supported", "status": 406}', product="none"),
        error(400, "media_type_header_exception"),
    ],
    ids=["OpenSearch", "OpenSearch, request with a body", "Elasticsearch 8"],
)
async def test_a_server_that_is_not_supported_is_named(answer: bytes) -> None:
    async with cluster([answer], retries=0) as (client, _):
        with pytest.raises(DependencyUnavailableError, match="older than Elasticsearch 9, or is OpenSearch"):
            async with translate_errors():
                await client.search(index="a", query={"match_all": {}})


async def test_an_error_of_the_request_is_no_outage() -> None:
    async with cluster([error(400, "parsing_exception")], retries=0) as (client, _):
        with pytest.raises(BadRequestError):
            async with translate_errors():
                await client.search(index="a")


async def test_an_index_that_cannot_be_created_is_an_outage_with_its_reason() -> None:
    """A cluster with as many shards as it may have, or a template that claims the name, rejects no article."""
    reason = "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum shards"
    missing, none = response(404, b""), response(200, b"{}")
    refused = {"error": {"type": "validation_exception", "reason": reason}, "status": 400}
    answers: list[Answer] = [item_error(404, "index_not_found_exception", "no such index"), missing, none]
    answers += [response(400, orjson.dumps(refused)), missing]
    async with cluster(answers, retries=0) as (client, _):
        with pytest.raises(DependencyUnavailableError, match=r"does not create t-articles.*maximum shards"):
            await written(client, [Retract("a", 2)])


@pytest.mark.parametrize(
    "reason",
    [
        "no write index is defined for alias [t-articles-4]. The write index may be explicitly disabled",
        "pipeline with id [enrich] does not exist",
    ],
)
async def test_an_error_of_alias_or_pipeline_is_an_outage(reason: str) -> None:
    async with cluster([item_error(400, "illegal_argument_exception", reason)], retries=0) as (client, _):
        with pytest.raises(DependencyUnavailableError, match=re.escape(reason[:20])):
            await written(client, [Retract("a", 2)])


async def test_an_article_that_an_error_quotes_cannot_make_it_an_outage() -> None:
    quoting = "failed to parse field [a] with value [pipeline with id [x] does not exist]"
    async with cluster([item_error(400, "document_parsing_exception", quoting)], retries=0) as (client, _):
        (result,) = await written(client, [Retract("a", 2)])
        assert isinstance(result, RejectedOperation)


def item_error(status: int, kind: str, reason: str) -> bytes:
    item = {"status": status, "error": {"type": kind, "reason": reason}}
    return response(200, orjson.dumps({"items": [{"index": item}]}))


def limited(raw: RawServer, limit: int) -> Callable[[asyncio.StreamWriter], None]:
    """Return an answer of a proxy with a limit, and of the server behind it."""

    def answer(writer: asyncio.StreamWriter) -> None:
        body = raw.received[-1].partition(b"\r\n\r\n")[2]
        done = {"items": [{"index": {"status": 201}} for line in body.splitlines() if line.startswith(b'{"index"')]}
        writer.write(
            response(413, PAGE, "text/html", "none") if len(body) > limit else response(200, orjson.dumps(done))
        )

    return answer


async def written(client: AsyncElasticsearch, operations: list[Retract]) -> list[WriteStatus | RejectedOperation]:
    return await write_batch(IndexTarget(client, "t", {}, None), operations)


async def test_a_bulk_request_that_is_too_large_is_sent_in_parts() -> None:
    async with cluster([], retries=0) as (client, (raw,)):
        raw.answers = [limited(raw, 400)] * 40
        assert await written(client, [Retract(f"a{at}", 2) for at in range(9)]) == [WriteStatus.APPLIED] * 9
        large = Retract("b" * 400, 2)
        first, second, third = await written(client, [Retract("a", 2), large, Retract("c", 2)])
        assert (first, third) == (WriteStatus.APPLIED, WriteStatus.APPLIED)
        assert isinstance(second, RejectedOperation)
        assert "413" in second.reason

"""The search that an Elasticsearch user would write: a plain mapping, `multi_match`, highlights and two facets."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_streaming_bulk

from bench.load import request
from newswire_ingest.articles.publishing import Version
from tests.servers.elasticsearch import ElasticsearchServer

INDEX = "bench-plain"
PAGE = 20
PROCESS_STATS_SECONDS = 1.1
"""Elasticsearch measures its own processor time at most once a second."""

_TEXT, _KEYWORD = {"type": "text"}, {"type": "keyword"}
MAPPING: dict[str, Any] = {
    "properties": {
        **dict.fromkeys(("title", "summary", "body"), _TEXT),
        **dict.fromkeys(("authors", "category", "topics", "language", "publisher"), _KEYWORD),
        "published_at": {"type": "date"},
    }
}


@asynccontextmanager
async def plain_index(client: AsyncElasticsearch, made: Sequence[Version]) -> AsyncIterator[None]:
    """Index the same articles in the plain way; delete the index at the end."""
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    await client.indices.create(index=INDEX, settings=settings, mappings=MAPPING)
    try:
        actions = ({"_id": version.id, "_source": _document(version.document)} for version in made)
        async for _ in async_streaming_bulk(client, actions, index=INDEX):
            pass
        yield
    finally:
        await client.indices.delete(index=INDEX)


def _document(article: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": article["title"],
        "summary": article.get("summary"),
        "body": article["text"],
        "authors": [author["name"] for author in article.get("authors", ())],
        **{name: article.get(name) for name in ("category", "topics", "language", "publisher", "published_at")},
    }


def plain_search(server: ElasticsearchServer, words: str) -> bytes:
    """Return the bytes of the request: no client is cheaper than one that sends prepared bytes."""
    body = {
        "query": {"multi_match": {"query": words, "fields": ["title^3", "summary", "body"]}},
        "highlight": {"fields": {"title": {"number_of_fragments": 0}, "summary": {}, "body": {}}},
        "aggs": {name: {"terms": {"field": name}} for name in ("category", "topics")},
        "size": PAGE,
    }
    headers = {"content_type": "application/json"} | dict(server.request("/").header_items())
    return request("POST", f"/{INDEX}/_search", orjson.dumps(body), **headers)


async def own_seconds(client: AsyncElasticsearch) -> float:
    """Return the processor time of Elasticsearch so far, in seconds."""
    await asyncio.sleep(PROCESS_STATS_SECONDS)
    answer = await client.nodes.stats(metric="process")
    spent: int = sum(node["process"]["cpu"]["total_in_millis"] for node in answer["nodes"].values())
    return spent / 1000


async def merged_bytes(client: AsyncElasticsearch, index: str) -> int:
    """Return the size of an index, merged to one segment: before, it depends on the moment."""
    patient = client.options(request_timeout=120)
    await patient.indices.forcemerge(index=index, max_num_segments=1, flush=True)
    await patient.indices.refresh(index=index)
    answer = await client.indices.stats(index=index, metric="store")
    return int(answer["_all"]["primaries"]["store"]["size_in_bytes"])

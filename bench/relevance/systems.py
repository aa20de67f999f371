"""The compared systems: Newswire on each index, through its API, and plain Elasticsearch."""

import asyncio
import html
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_bulk

from bench.batches import publish
from bench.load import Connection, request
from bench.relevance.collection import Collection
from bench.servers import new_key, service, valkey
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from tests.servers.elasticsearch import ElasticsearchServer

PAGE = 20
PATIENCE = 600.0


@dataclass(frozen=True)
class System:
    """A system that answers queries."""

    connection: Connection
    ask: Callable[[str, int], bytes]
    """Returns the request for a text and a number of results."""
    read: Callable[[Any], list[str]]
    """Returns the ids in a response, best first."""

    async def find(self, words: str, limit: int) -> list[str]:
        """Return the ids found."""
        answer = await self.connection.ask(self.ask(words, limit))
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body[:300].decode('utf-8', 'replace')}")
        return self.read(orjson.loads(answer.body))

    async def milliseconds(self, words: str) -> float:
        """Return the time of one page of results in milliseconds."""
        asked = self.ask(words, PAGE)
        sent = time.perf_counter()
        await self.connection.ask(asked)
        return (time.perf_counter() - sent) * 1000


@asynccontextmanager
async def newswire(collection: Collection, folder: Path, settings: Mapping[str, str]) -> AsyncIterator[System]:
    """Publish a collection to a separate Newswire, and yield it once everything can be found."""
    namespace = f"relevance{secrets.token_hex(4)}"
    place = folder / namespace
    place.mkdir()
    with valkey(place / "store") as url:
        key, _ = await new_key(url, Scope.PUBLISH, Keyspace(namespace))
        given = {
            **settings,
            "NEWSWIRE_REDIS_URL": url,
            "NEWSWIRE_DATA_DIR": str(place),
            "NEWSWIRE_NAMESPACE": namespace,
        }
        with (
            service("ingest", given, place / "ingest.log") as ingest,
            service("search", given, place / "search.log") as search,
        ):
            answers = await publish(ingest.site, key, collection.articles.values())
            ids = {line["id"]: id_ for line, id_ in zip(answers, collection.articles, strict=True)}
            async with await Connection.open(search.site) as connection:
                await _until_found(connection, len(collection.articles))
                yield System(
                    connection,
                    lambda words, limit: request("GET", f"/v1/search?{urlencode({'q': words, 'limit': limit})}"),
                    lambda answer: [ids[found["id"]] for found in _results(answer)],
                )


@asynccontextmanager
async def plain_elasticsearch(
    collection: Collection, server: ElasticsearchServer, analyzer: str
) -> AsyncIterator[System]:
    """Index titles and bodies in the usual way, and yield `multi_match` over both."""
    index = f"plain-{analyzer}"
    field = {"type": "text", "analyzer": analyzer}
    basic_auth = (server.username or "", server.password or "") if server.username else None
    async with AsyncElasticsearch(server.url, basic_auth=basic_auth, request_timeout=60) as client:
        await client.indices.create(
            index=index,
            settings={"number_of_shards": 1, "number_of_replicas": 0},
            mappings={"properties": {"title": field, "body": field}},
        )
        try:
            await async_bulk(
                client,
                ({"_index": index, "_id": id_, "_source": _plain(sent)} for id_, sent in collection.articles.items()),
                refresh=True,
            )
            headers = {"content_type": "application/json"} | dict(server.request("/").header_items())
            async with await Connection.open(server.url) as connection:

                def ask(words: str, limit: int) -> bytes:
                    query = {"multi_match": {"query": words, "fields": ["title", "body"]}}
                    body = orjson.dumps({"query": query, "size": limit, "track_total_hits": True})
                    return request("POST", f"/{index}/_search", body, **headers)

                yield System(
                    connection,
                    ask,
                    lambda answer: [hit["_id"] for hit in answer["hits"]["hits"]],
                )
        finally:
            await client.indices.delete(index=index)


async def _until_found(connection: Connection, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while orjson.loads((await connection.ask(request("GET", "/v1/search?limit=1"))).body).get("total") != count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all of {count} articles could be found after {PATIENCE} s")
        await asyncio.sleep(0.2)


def _results(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results in the order that a reader sees: those with all words first, then partial matches."""
    some = answer.get("partial_matches") or {"articles": []}
    return [*answer["articles"], *some["articles"]]


def _plain(article: Mapping[str, Any]) -> dict[str, str]:
    body = html.unescape(re.sub(r"</?p>", "\n", article["body"]))
    return {"title": article["title"], "body": "\n".join([article.get("summary") or "", body]).strip()}

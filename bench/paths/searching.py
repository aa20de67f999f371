"""A search: the readers' API, compared with the plain query of an Elasticsearch user, and with its own query bodies alone."""

import asyncio
import itertools
import math
import random
import statistics
from collections import Counter
from typing import Any, NoReturn

import orjson
from elastic_transport import AsyncTransport
from elasticsearch import AsyncElasticsearch

from bench.figures import Figure, Goal, compared
from bench.load import Connection, drive, request
from bench.paths.plain_searching import SPELLINGS, beside_plain, searches
from bench.publishing import put_on_record, versions
from bench.servers import Server, new_key, program, service, valkey
from bench.setting import Setting
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_ingest.articles.publishing import Version
from newswire_search.app import GROUP
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.query.parameters import SearchParams, to_request

CONNECTIONS = 16
NAMESPACE = "bench-search"
FEW, MANY = "search with at most one page of results", "search with more pages"
PAGE = 20
REFRESH = 0.2
JSON = {"accept": "application/json", "content-type": "application/json"}


async def measure(setting: Setting) -> list[Figure]:
    """Return the figures beside the plain query, and those of searches with one page of results and with more."""
    server = setting.elasticsearch()
    basic_auth = (server.username, server.password or "") if server.username else None
    environment = server.environment() | {"NEWSWIRE_NAMESPACE": NAMESPACE}
    figures: list[Figure] = []
    with (
        valkey(setting.folder / "searching") as url,
        service("search", environment | {"NEWSWIRE_REDIS_URL": url}, setting.folder / "searching.log") as ours,
    ):
        setting.tell("indexing what is to be found")
        made = await _fill(setting, url)
        async with AsyncElasticsearch(server.url, basic_auth=basic_auth, request_timeout=60) as client:
            figures += await beside_plain(setting, ours, client, server, made, NAMESPACE)
        for name, words in _words(made).items():
            file = setting.folder / f"queries-{len(figures)}.json"
            calls = [await _recorded(word) for word in words]
            file.write_bytes(orjson.dumps({"url": server.url, "basic_auth": basic_auth, "calls": calls}))
            with program("floors.search", setting.folder / "search.floor.log", str(file)) as floor:
                figures += await _compare(setting, name, ours, floor, words)
    return figures


async def _compare(setting: Setting, name: str, ours: Server, floor: Server, words: list[str]) -> list[Figure]:
    sent = itertools.cycle(searches(words, SPELLINGS))
    alone, crowded, per_core = [], [], []
    await _floor(floor, CONNECTIONS, 1.0)
    await drive(ours.site, sent, CONNECTIONS, 1.0, 200)
    for _ in setting.steps(name, range(setting.rounds)):
        bare = await _floor(floor, 1, setting.seconds / 4)
        full = await drive(ours.site, sent, 1, setting.seconds / 4, 200)
        alone.append((statistics.median(full.times), statistics.median(bare["times"])))
        before = floor.cpu_seconds()
        bare = await _floor(floor, CONNECTIONS, setting.seconds / 2)
        floor_core = (floor.cpu_seconds() - before) / len(bare["times"])
        before = ours.cpu_seconds()
        full = await drive(ours.site, sent, CONNECTIONS, setting.seconds / 2, 200)
        our_core = (ours.cpu_seconds() - before) / len(full.times)
        crowded.append((full.rate, bare["rate"]))
        per_core.append((1 / our_core, 1 / floor_core))
    return [
        compared(f"{name}, one at a time", "ms p50", alone, Goal("at most", 1.3)),
        compared(f"{name}, {CONNECTIONS} at a time", "searches/s", crowded),
        compared(f"{name}, a core outside Elasticsearch", "searches/s", per_core, Goal("at least", 0.7)),
    ]


async def _floor(floor: Server, connections: int, seconds: float) -> Any:
    async with await Connection.open(floor.site) as connection:
        answer = await connection.ask(request("POST", f"/{connections}/{seconds}", b" "))
    if answer.status != 200:
        raise RuntimeError(f"the floor answered {answer.status}: {answer.body[:300].decode('utf-8', 'replace')}")
    return orjson.loads(answer.body)


async def _fill(setting: Setting, redis_url: str) -> list[Version]:
    """Publish articles, which the service indexes."""
    keys = Keyspace(NAMESPACE)
    _, caller = await new_key(redis_url, Scope.PUBLISH, keys)
    articles = versions(setting.all_articles, caller.account)
    async with open_redis(redis_url) as redis:
        await put_on_record(redis, articles, caller, keys, together=64)
        ((last, _),) = await redis.xrevrange(keys.stream, count=1)
        while await redis.get(keys.checkpoint(GROUP)) != last:
            await asyncio.sleep(0.05)
        await asyncio.sleep(2 * REFRESH)
    return articles


def _words(articles: list[Version]) -> dict[str, list[str]]:
    """Return words that match at most a page of articles, and words that match more."""
    seen = Counter(
        word for version in articles for word in set(version.document["text"].lower().split()) if word.isalpha()
    )
    dice = random.Random(3)
    few = [word for word, count in seen.items() if 3 <= count < PAGE and len(word) > 3]
    many = [word for word, count in seen.items() if 3 * PAGE < count < len(articles) // 10 and len(word) > 3]
    # Among the few articles of a quick run, no word matches many of them and few of all.
    return {
        name: dice.sample(sorted(words), min(len(words), 50)) for name, words in ((FEW, few), (MANY, many)) if words
    }


class _Recorder(AsyncTransport):
    """Records a request instead of sending it."""

    call: dict[str, Any]

    async def perform_request(self, method: str, target: str, *, body: bytes, **_: Any) -> NoReturn:  # type: ignore[override]
        self.call = {"method": method, "path": target, "params": {}, "headers": JSON, "body": orjson.loads(body)}
        raise _RecordedError


class _RecordedError(Exception):
    pass


async def _recorded(word: str) -> dict[str, Any]:
    """Return the call to Elasticsearch for a search for a word."""
    client = AsyncElasticsearch("http://127.0.0.1:9", transport_class=_Recorder)
    index = ElasticsearchIndex(client, NAMESPACE, {})
    index.languages.read_at = math.inf
    try:
        await index.search(to_request(SearchParams(q=word)))
    except _RecordedError:
        pass
    finally:
        await client.close()
    recorder = client.transport
    assert isinstance(recorder, _Recorder)
    return recorder.call

"""Searches beside those that an Elasticsearch user would write: rate, latency, processor time and the size of the index."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from elasticsearch import AsyncElasticsearch

from bench.figures import Figure, Goal, compared, percentiles
from bench.floors.plain_search import INDEX, merged_bytes, own_seconds, plain_index, plain_search
from bench.load import Driven, drive, request
from bench.servers import Server
from bench.setting import Setting
from newswire.text.analysis import is_stop_word
from newswire.text.tokenization import word_pattern
from newswire_ingest.articles.publishing import Version
from newswire_search.index.mapping import alias_in_use
from tests.servers.elasticsearch import ElasticsearchServer

CONNECTIONS = 16
QUERIES = 60
MIN_LETTERS = 4
SPELLINGS = 50
"""Of each query string, so that no search is repeated before its kept answer has made room for others."""

PLAIN_FACETS = "&facets=category,topic"
"""Those that the plain query has."""


@dataclass(frozen=True)
class _Spent:
    """The load of one round, and the processor time in ms of each search: of the service and of Elasticsearch."""

    driven: Driven
    own_ms: float
    elasticsearch_ms: float

    @property
    def p95(self) -> float:
        return percentiles(self.driven.times)["p95"]


async def beside_plain(
    setting: Setting,
    ours: Server,
    client: AsyncElasticsearch,
    server: ElasticsearchServer,
    made: Sequence[Version],
    namespace: str,
) -> list[Figure]:
    """Return the figures of searches for one word and for two of a title, each compared with the plain query."""
    figures: list[Figure] = []
    async with plain_index(client, made):
        for words, queries in _queries(made).items():
            plain = itertools.cycle([plain_search(server, query) for query in queries])
            for name, spellings, more in (
                (f"search for {words} of a title", SPELLINGS, ""),
                (f"search for {words} of a title, the facets of the floor", SPELLINGS, PLAIN_FACETS),
                (f"search for {words} of a title, kept", 1, ""),
            ):
                sent = itertools.cycle(searches(queries, spellings, more))
                for site, requests in ((server.url, plain), (ours.site, sent)):
                    await drive(site, requests, CONNECTIONS, setting.seconds / 2, 200)
                rounds: list[tuple[_Spent, _Spent]] = []
                for _ in setting.steps(name, range(setting.rounds)):
                    floor = await _driven(setting, client, server.url, plain, None)
                    rounds.append((await _driven(setting, client, ours.site, sent, ours), floor))
                figures += _figures(name, rounds)
        # Last: after a while, merges may drop the documents as they were sent (`newswire_search.index.mapping`).
        sizes = [await merged_bytes(client, index) / len(made) for index in (alias_in_use(namespace), INDEX)]
        figures.append(
            compared(
                "Elasticsearch's index (floor: plain)", "bytes/article", [(sizes[0], sizes[1])], Goal("at most", 2)
            )
        )
    return figures


def _figures(name: str, rounds: Sequence[tuple[_Spent, _Spent]]) -> list[Figure]:
    def pairs(value: str) -> list[tuple[float, float]]:
        return [(getattr(ours, value), getattr(plain, value)) for ours, plain in rounds]

    own = [(ours.own_ms, plain.elasticsearch_ms) for ours, plain in rounds]
    rates = [(ours.driven.rate, plain.driven.rate) for ours, plain in rounds]
    return [
        compared(f"{name}, {CONNECTIONS} at a time (floor: plain)", "searches/s", rates, Goal("at least", 0.8)),
        compared(f"{name}, {CONNECTIONS} at a time (floor: plain)", "ms p95", pairs("p95"), Goal("at most", 1.5)),
        compared(f"{name}, Elasticsearch's time (floor: plain)", "ms", pairs("elasticsearch_ms"), Goal("at most", 1.2)),
        compared(f"{name}, Newswire's own time (floor: Elasticsearch's of the plain one)", "ms", own),
    ]


async def _driven(
    setting: Setting, client: AsyncElasticsearch, site: str, requests: Iterator[bytes], service: Server | None
) -> _Spent:
    before, own_before = await own_seconds(client), service.cpu_seconds() if service else 0.0
    driven = await drive(site, requests, CONNECTIONS, setting.seconds / 2, 200)
    own = (service.cpu_seconds() if service else 0.0) - own_before
    count = len(driven.times)
    return _Spent(driven, 1000 * own / count, 1000 * (await own_seconds(client) - before) / count)


def searches(queries: Sequence[str], spellings: int, more: str = "") -> list[bytes]:
    """Return the requests for these searches, with so many different query strings for each, which mean the same.

    ``more`` are further parameters, for all.
    """
    return [
        request("GET", f"/v1/search?q={quote(query)}{more}{'&' * number}")
        for number in range(spellings)
        for query in queries
    ]


def _queries(made: Sequence[Version]) -> dict[str, list[str]]:
    """Return queries of one word, and of two consecutive words, each from the title of an article drawn by chance."""
    dice = random.Random(5)
    drawn = [found for version in dice.sample(list(made), len(made)) if len(found := _telling(version)) >= 2]
    one, two = drawn[:QUERIES], drawn[QUERIES : 2 * QUERIES]
    pairs = [dice.choice(list(itertools.pairwise(found))) for found in two]
    return {"one word": [dice.choice(found) for found in one], "two words": [" ".join(pair) for pair in pairs]}


def _telling(version: Version) -> list[str]:
    title = version.document["title"].lower()
    found = word_pattern(title).findall(title)
    return [word for word in found if len(word) >= MIN_LETTERS and word.isalpha() and not is_stop_word(word, "en")]

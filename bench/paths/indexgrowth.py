"""Growing indexes: documents per second and the time of a search, for an increasing number of articles."""

import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from elasticsearch import AsyncElasticsearch
from ulid import ULID

from bench.figures import Figure, times
from bench.index_size import index_bytes
from bench.publishing import versions
from bench.setting import Setting, powers_of_ten
from newswire.article import Article
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.mapping import index_settings
from newswire_search.index.models import Publish, RejectedOperation
from newswire_search.index.port import ArticleIndex
from newswire_search.query.parameters import SearchParams, to_request

FEWEST = 1000
BATCH = 200
"""The maximum that the service reads from the stream at once."""
NAMESPACE = "bench-growing"
WORDS = 50
SHARE = (0.001, 0.01)
"""The share of articles that contain a searched word."""


@dataclass(frozen=True)
class Growing:
    """An index, and its size on disk in bytes."""

    name: str
    index: ArticleIndex
    size: Callable[[], Awaitable[int]]


async def measure(setting: Setting) -> list[Figure]:
    """Return for each index and power of ten the indexing rate, and the time of a search compared with that of the first."""
    base = [
        Publish(Article.model_validate(version.document), version.document)
        for version in versions(setting.articles, "bench")
    ]
    words = _words(base)
    figures: list[Figure] = []
    for opened in (_embedded, _elasticsearch):
        async with opened(setting) as growing:
            figures += await _grown(setting, growing, base, words)
    return figures


async def _grown(setting: Setting, growing: Growing, base: Sequence[Publish], words: Sequence[str]) -> list[Figure]:
    coming = _more(base)
    figures: list[Figure] = []
    first: list[float] = []
    held = 0
    sizes = powers_of_ten(FEWEST, setting.on_record)
    for size in setting.steps(f"{growing.name} with more articles", sizes):
        before, began = held, time.perf_counter()
        while held < size:
            batch = list(itertools.islice(coming, min(BATCH, size - held)))
            if refused := [done for done in await growing.index.write(batch) if isinstance(done, RejectedOperation)]:
                raise RuntimeError(f"not indexed: {refused[0].reason}")
            held += len(batch)
        rate = (size - before) / (time.perf_counter() - began)
        await growing.index.until_visible(batch)
        each = await growing.size() / size
        figures.append(
            Figure(
                f"{growing.name}, growing to {size:,} articles", "documents/s", rate, detail={"disk_bytes_each": each}
            )
        )
        taken = await _searched(setting, growing.index, words)
        beside = f" (floor: {sizes[0]:,})" if first else ""
        figures.append(times(f"search among {size:,} articles, {growing.name}{beside}", taken, first))
        first = first or taken
    return figures


async def _searched(setting: Setting, index: ArticleIndex, words: Sequence[str]) -> list[float]:
    """Search for each word, for some rounds; return the times in ms, without those of a warm-up round."""
    taken: list[float] = []
    for number in range(setting.rounds + 1):
        for word in words:
            request = to_request(SearchParams(q=word))
            began = time.perf_counter()
            page = await index.search(request)
            if number:
                taken.append((time.perf_counter() - began) * 1000)
            if not page.total:
                raise RuntimeError(f"{word} is not found")
    return taken


def _more(base: Sequence[Publish]) -> Iterator[Publish]:
    """Yield an endless sequence of distinct articles: each has a unique word in its title."""
    for number in itertools.count():
        article = base[number % len(base)].article
        told = {"id": str(ULID()).lower(), "title": f"{article.title[:250]} grown{number}"}
        document = base[number % len(base)].document
        yield Publish(article.model_copy(update=told), {**document, **told})


def _words(base: Sequence[Publish]) -> list[str]:
    """Return words that occur in a small share of the first articles, which indexes of all sizes contain."""
    among = base[:FEWEST]
    seen = Counter(word for operation in among for word in set(operation.article.text.lower().split()))
    least, most = (share * len(among) for share in SHARE)
    fitting = sorted(word for word, count in seen.items() if least < count <= most and word.isalpha() and len(word) > 3)
    return random.Random(4).sample(fitting, min(WORDS, len(fitting)))


@asynccontextmanager
async def _embedded(setting: Setting) -> AsyncIterator[Growing]:
    folder = setting.folder / "growing"

    async def size() -> int:
        return _size_of(folder)

    index = EmbeddedIndex(folder)
    try:
        yield Growing("embedded index", index, size)
    finally:
        await index.close()


@asynccontextmanager
async def _elasticsearch(setting: Setting) -> AsyncIterator[Growing]:
    server = setting.elasticsearch()
    credentials = (server.username, server.password or "") if server.username else None
    client = AsyncElasticsearch(server.url, basic_auth=credentials, request_timeout=60)
    index = ElasticsearchIndex(client, NAMESPACE, index_settings(1, 0, 200))

    async def size() -> int:
        return await index_bytes(client, index.alias)

    try:
        yield Growing("Elasticsearch", index, size)
    finally:
        for name in await index.target.names():
            await client.indices.delete(index=name)
        await index.close()


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

"""Suggestions while typing: on both indexes, compared with one plain look-up of titles by a prefix."""

import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import tantivy
from elasticsearch import AsyncElasticsearch

from bench.figures import Figure, Goal, compared
from bench.publishing import versions
from bench.setting import Setting
from newswire.article import Article
from newswire.text.analysis import bare_words
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.mapping import TITLE_WORDS, alias_in_use, index_settings
from newswire_search.index.models import Publish
from newswire_search.index.port import ArticleIndex
from newswire_search.query.autocomplete import completions

NAMESPACE = "bench-suggest"
LIMIT = 10
BATCH = 500

LookUp = Callable[[str], Awaitable[Any]]


async def measure(setting: Setting) -> list[Figure]:
    """Return the time of suggestions, for correct prefixes and for prefixes with a typing error."""
    articles = [Article.model_validate(version.document) for version in versions(setting.articles, "bench")]
    begun, mistyped = _typed(articles)
    server = setting.elasticsearch()
    basic_auth = (server.username, server.password or "") if server.username else None
    figures: list[Figure] = []
    embedded = EmbeddedIndex(setting.folder / "suggesting")
    async with AsyncElasticsearch(server.url, basic_auth=basic_auth, request_timeout=60) as client:
        production = ElasticsearchIndex(client, NAMESPACE, index_settings(1, 0, 200))
        index: ArticleIndex
        for index, bare in ((embedded, _in_tantivy(embedded)), (production, _in_elasticsearch(client))):
            setting.tell(f"{index.name} index: indexing titles to suggest")
            for at in range(0, len(articles), BATCH):
                sent = [Publish(each, each.model_dump(mode="json")) for each in articles[at : at + BATCH]]
                await index.write(sent)
            await index.until_visible(sent)
            for name, texts in (("a word begun", begun), ("a word begun with a slip", mistyped)):
                rounds = []
                for _ in setting.steps(f"{index.name} index: suggestions for {name}", range(setting.rounds)):
                    floor = await _time(bare, begun, setting.seconds / 2)
                    ours = await _time(_ours(index), texts, setting.seconds / 2)
                    rounds.append((ours, floor))
                figures.append(
                    compared(f"suggestions for {name}, {index.name} index", "ms p50", rounds, Goal("at most", 3))
                )
        for made in dict(await client.indices.get(index=f"{NAMESPACE}-*")):
            await client.indices.delete(index=made)
    await embedded.close()
    return figures


def _typed(articles: Sequence[Article]) -> tuple[list[str], list[str]]:
    """Return prefixes of words of titles, and the same with two letters swapped."""
    dice = random.Random(11)
    seen = sorted({word for article in articles for word in bare_words(article.title) if len(word) >= 6})
    words = dice.sample(seen, min(len(seen), 200))
    begun = [word[: dice.randint(2, 6)] for word in words]
    return begun, [word[:2] + word[3] + word[2] + word[4:6] for word in words]


def _ours(index: ArticleIndex) -> LookUp:
    return lambda text: completions(index, text, None, LIMIT)


def _in_elasticsearch(client: AsyncElasticsearch) -> LookUp:
    async def look_up(text: str) -> object:
        return await client.search(
            index=alias_in_use(NAMESPACE),
            query={"prefix": {TITLE_WORDS: text}},
            size=LIMIT,
            track_total_hits=False,
            source_includes=["article.title"],
        )

    return look_up


def _in_tantivy(index: EmbeddedIndex) -> LookUp:
    def search(searcher: tantivy.Searcher, text: str) -> list[Any]:
        begun = tantivy.Query.fuzzy_term_query(index._schema, TITLE_WORDS, text, distance=0, prefix=True)
        found = searcher.search(begun, limit=LIMIT, count=False).hits
        return [searcher.doc(address)["article"] for _, address in found]

    async def look_up(text: str) -> object:
        return await index.read(lambda searcher: search(searcher, text))

    return look_up


async def _time(look_up: LookUp, texts: Sequence[str], seconds: float) -> float:
    """Return the median time of a look-up in ms."""
    taken: list[float] = []
    began = time.perf_counter()
    for text in itertools.cycle(texts):
        sent = time.perf_counter()
        if sent > began + seconds and len(taken) >= len(texts):
            return sorted(taken)[len(taken) // 2]
        await look_up(text)
        taken.append((time.perf_counter() - sent) * 1000)
    raise AssertionError

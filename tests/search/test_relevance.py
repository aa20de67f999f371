"""The relevance gate: results for the judged set in ``relevance/`` must not get worse, on both indexes.

`python -m bench.relevance tests/search/relevance` shows the same set beside plain Elasticsearch.
"""

from pathlib import Path
from statistics import fmean

import pytest

from bench.relevance.collection import Collection, read
from bench.relevance.report import MEASURES
from newswire.text.analysis import language_of
from newswire_search.index.elasticsearch.index import ElasticsearchIndex
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.port import ArticleIndex
from newswire_search.query.parameters import SearchParams, to_request
from tests.search.samples import ids, publish, put

NOW = 1_780_300_800.0  # 2026-06-01, the day after the latest article
FLOORS = {"nDCG@10": 0.965, "MRR@10": 0.975, "recall@100": 0.975}
APART = 0.03
"""How much worse one index may be than the other."""


@pytest.fixture(scope="module")
def judged() -> Collection:
    return read(Path(__file__).with_name("relevance"))


async def answers(index: ArticleIndex, judged: Collection) -> dict[str, list[str]]:
    """Return the results for each query as a reader sees them."""
    await put(
        index,
        *(publish(id_, sent["title"], sent["body"], **{name: sent[name] for name in ("published_at", "language", "topics")},
                  authors=sent.get("authors", []))
          for id_, sent in judged.articles.items()),
    )  # fmt: skip
    seen = {}
    for id_, words in judged.queries.items():
        request = to_request(SearchParams(q=words, limit=100), clock=lambda: NOW)
        page, some = await index.search_with_partial_matches(request)
        seen[id_] = ids(page) + (ids(some) if some else [])
    return seen


def means(seen: dict[str, list[str]], judged: Collection, kind: str = "") -> dict[str, float]:
    queries = [id_ for id_ in seen if id_.startswith(kind)]
    return {
        name: fmean(measure(seen[id_], judged.judgements[id_]) for id_ in queries) for name, measure in MEASURES.items()
    }


async def test_relevance_of_the_judged_set(index: ArticleIndex, judged: Collection) -> None:
    assert len(judged.articles) >= 60
    assert len(judged.queries) >= 80
    seen = await answers(index, judged)
    reached = means(seen, judged)
    assert {name: value for name, value in reached.items() if value < FLOORS[name]} == {}
    exact = {id_: found[0] for id_, found in seen.items() if id_.startswith("exact-")}
    assert exact == {id_: id_.removeprefix("exact-") for id_ in exact}
    assert len(exact) > 10
    assert len({language_of(sent["language"]) for sent in judged.articles.values()}) > 4


async def test_both_indexes_are_equally_relevant(
    embedded_index: EmbeddedIndex, elasticsearch_index: ElasticsearchIndex, judged: Collection
) -> None:
    embedded = means(await answers(embedded_index, judged), judged)
    elasticsearch = means(await answers(elasticsearch_index, judged), judged)
    assert embedded == pytest.approx(elasticsearch, rel=APART)

"""Related articles, on both indexes."""

from typing import Any

import pytest

from newswire.filters import Filter
from newswire_search.index.elasticsearch import related as on_elasticsearch
from newswire_search.index.embedded import related as embedded
from newswire_search.index.port import ArticleIndex
from tests.search.samples import publish, put, retract

STORIES = {
    "a1": "The ferry company will rebuild the harbour ramp at Lind before the autumn storms, the council said.",
    "a2": "Council and ferry company agreed on who pays for the harbour ramp at Lind, and on a ferry that runs at night.",
    "a3": "Lind's harbour lost its ramp to the autumn storms; until it is rebuilt, no ferry can land lorries there.",
    "a4": "A chess club from the town hall won four games and drew two in the county league.",
    "a5": "The county league of chess opens on Monday; the club at the town hall hopes for more games.",
}


async def library(index: ArticleIndex) -> ArticleIndex:
    await put(index, *(publish(id_, f"Story {id_}", text, language="en") for id_, text in STORIES.items()))
    return index


async def related(index: ArticleIndex, article_id: str, entitlement: Filter | None = None, limit: int = 5) -> list[str]:
    article: Any = await index.get(article_id)
    return [found["id"] for found in await index.related(article, entitlement, limit)]


async def test_articles_with_the_same_significant_words_are_related(index: ArticleIndex) -> None:
    await library(index)
    assert set(await related(index, "a1")) == {"a2", "a3"}
    assert await related(index, "a4") == ["a5"]
    assert len(await related(index, "a1", limit=1)) == 1


async def test_unique_article_has_no_related_articles(index: ArticleIndex) -> None:
    await put(index, publish("b1", "Zeppelin", "Airship over the moor.", language="en"))
    assert await related(index, "b1") == []
    await library(index)
    assert await related(index, "b1") == []


async def test_related_articles_are_in_the_same_language(index: ArticleIndex) -> None:
    await put(
        index,
        publish("b1", "Hafen", "Die Rampe im Hafen von Lind, die Fähre und der Sturm.", language="de"),
        publish("b2", "Hafen", "Die Fähre, der Sturm und die Rampe im Hafen von Lind.", language="de-AT"),
        publish("b3", "Hafen", "Die Fähre, der Sturm und die Rampe im Hafen von Lind.", language="nl"),
    )
    assert await related(index, "b1") == ["b2"]


async def test_retracted_or_forbidden_articles_are_not_related(index: ArticleIndex) -> None:
    await library(index)
    assert await related(index, "a1", Filter(query="night")) == ["a2"]
    await put(index, retract("a2", 1))
    assert await related(index, "a1") == ["a3"]


async def test_words_of_very_many_articles_are_left_out(index: ArticleIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(
        index,
        publish("b1", "One", "Sand flour rope tar.", language="en"),
        publish("b2", "Two", "Sand flour coal iron.", language="en"),
        publish("b3", "Three", "Sand flour wool silk.", language="en"),
        publish("b4", "Four", "Rope tar salt lime.", language="en"),
    )
    assert set(await related(index, "b1")) == {"b2", "b3", "b4"}
    for module in (embedded, on_elasticsearch):
        monkeypatch.setattr(module, "MAX_ARTICLES_PER_TERM", 2)
    assert await related(index, "b1") == ["b4"]

"""Spelling suggestions, on both indexes."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.filters import Filter
from newswire.keys import Keyspace
from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.port import ArticleIndex, IndexReader
from newswire_search.query.retraction_filter import RetractionFilteredIndex
from newswire_search.query.service import search
from tests.search.samples import publish, put, request, retract, wanting
from tests.search.test_retraction_filter import on_record


@pytest.fixture
async def library(index: ArticleIndex) -> ArticleIndex:
    await put(
        index,
        publish("a1", "Government falls", "The cabinet resigned over the harbour budget.", category="Politics"),
        publish("a2", "Harbour fees", "Ferries pay more, the government decided.", authors=["Zoë Lindqvist"]),
        publish("a3", "Café reopens", "Coffee at the old lighthouse, beside the ferry.", category="Food"),
    )
    return index


async def meant(index: IndexReader, q: str, **more: object) -> str | None:
    asked = request(q, **more)  # type: ignore[arg-type]
    return (await search(index, asked, q)).suggestion


CORRECTIONS = [
    ("goverment", "government"),
    ("govermnent", "government"),
    ("Goverment", "Government"),
    ("HARBUOR", "HARBOUR"),
    ("harbuor budgte", "harbour budget"),
    ('"harbor budget"', '"harbour budget"'),
    ("harbuor -storm", "harbour -storm"),
    ("(harbuor OR lighthose)", "(harbour OR lighthouse)"),
    ("author:lindqvist harbuor", "author:lindqvist harbour"),
    ("lindqivst", "lindqvist"),
    ("light hose lighthuose", None),  # no article holds all of the words
    ("government", None),
    ("lighthouses", None),
    ("harbour lighthouse", None),  # each is known, and there is no article with both
    ("zeppelin", None),
    ("goverment zeppelin", None),
    ("-goverment", None),
    ("the", None),
    ("caf", None),
    ("", None),
    ("x " * 60, None),
]


async def test_corrections(library: ArticleIndex) -> None:
    assert {q: await meant(library, q) for q, _ in CORRECTIONS} == dict(CORRECTIONS)


async def test_correction_matches_with_the_active_filters(library: ArticleIndex) -> None:
    assert await meant(library, "goverment", filters=wanting("category", "politics")) == "government"
    assert await meant(library, "goverment", filters=wanting("category", "food")) is None


async def test_common_misspelling_is_corrected_if_far_more_matches(index: ArticleIndex) -> None:
    await put(index, *(publish(f"a{n}", "Government") for n in range(10)), publish("b1", "Goverment"))
    assert await meant(index, "goverment") == "government"
    await put(index, publish("b2", "Goverment"))
    assert await meant(index, "goverment") is None


async def test_words_of_retracted_or_forbidden_articles_are_not_suggested(library: ArticleIndex) -> None:
    await put(library, publish("b1", "Zanzibar papers", category="Secret"))
    assert await meant(library, "zanzibra") == "zanzibar"
    assert await meant(library, "zanzibra", entitlement=Filter(categories=["-Secret"])) is None
    await put(library, retract("b1", 1))
    assert await meant(library, "zanzibra") is None


async def test_erased_words_are_not_suggested(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, tmp_path: Path
) -> None:
    keys = Keyspace(namespace)
    await put(embedded_index, publish("a1", "Zanzibar papers"))
    await on_record(redis, keys, "a1", 1)
    readable = RetractionFilteredIndex(embedded_index, redis, keys)
    assert await meant(readable, "zanzibra") == "zanzibar"
    await redis.delete(keys.version("a1", 1))
    assert await meant(readable, "zanzibra") is None

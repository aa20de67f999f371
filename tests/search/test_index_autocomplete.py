"""Completions, on both indexes."""

import pytest

from newswire.filters import Filter
from newswire_search.index.port import ArticleIndex
from newswire_search.query.autocomplete import completions
from tests.search.samples import publish, put, retract


@pytest.fixture
async def harbour(index: ArticleIndex) -> ArticleIndex:
    await put(
        index,
        publish(
            "a1",
            "Harbour wall repaired",
            topics=["Harbours", "Energy"],
            authors=["Harriet Lund"],
            published_at="2026-03-01T00:00:00Z",
        ),
        publish(
            "a2",
            "Ferries return to the harbour",
            topics=["energy"],
            authors=["Zoë Ærø"],
            published_at="2026-03-02T00:00:00Z",
        ),
        publish("a3", "Storm over Ålesund", authors=["Bo Harris"], language="no", published_at="2026-03-03T00:00:00Z"),
        publish("a4", "港の桟橋が再開", language="ja", published_at="2026-03-04T00:00:00Z"),
    )
    return index


async def offered(index: ArticleIndex, text: str, limit: int = 10, entitlement: Filter | None = None) -> list[str]:
    return [f"{each.kind}: {each.value}" for each in await completions(index, text, entitlement, limit)]


COMPLETIONS: list[tuple[str, list[str]]] = [
    (
        "har",
        [
            "topic: Harbours",
            "author: Bo Harris",
            "author: Harriet Lund",
            "title: Ferries return to the harbour",
            "title: Harbour wall repaired",
        ],
    ),
    ("HARBOUR WA", ["title: Harbour wall repaired"]),
    ("wall harb", ["title: Harbour wall repaired"]),
    ("lun", ["author: Harriet Lund"]),
    ("aero", ["author: Zoë Ærø"]),
    ("ålesu", ["title: Storm over Ålesund"]),
    ("港の桟", ["title: 港の桟橋が再開"]),
    ("", []),
    ("  ", []),
    ("zeppelin", []),
    ("(har) -* \x00", ["topic: Harbours"]),
    ("x" * 5000, []),
    ("a " * 100, []),
]


async def test_completions(harbour: ArticleIndex) -> None:
    for text, expected in COMPLETIONS:
        found = await offered(harbour, text)
        assert found[: len(expected)] == expected, text
        assert bool(found) is bool(expected), text


SLIPS = [
    ("harbuor", "title: Harbour wall repaired"),
    ("hrbour", "title: Harbour wall repaired"),
    ("arbour wa", "title: Harbour wall repaired"),
    ("hatbour", "title: Harbour wall repaired"),
    ("haarbour wall", "title: Harbour wall repaired"),
    ("harbour wlal", "title: Harbour wall repaired"),
    ("harbuor wlal rep", "title: Harbour wall repaired"),
    ("eneryg", "topic: energy"),
    ("harreit lu", "author: Harriet Lund"),
]


async def test_one_edit_of_a_word_is_tolerated(harbour: ArticleIndex) -> None:
    for text, expected in SLIPS:
        assert expected in await offered(harbour, text), text


async def test_two_edits_are_not_tolerated(harbour: ArticleIndex) -> None:
    for text in ["hrbuor", "wxll zz", "lnu", "a[b", "ener.y.*", "(storm|ferries)zz"]:
        assert await offered(harbour, text) == [], text


async def test_names_leave_room_for_titles(index: ArticleIndex) -> None:
    names = [f"Sea {n}" for n in range(10)]
    await put(index, *(publish(f"a{n}", f"Sea story {n}", topics=[name]) for n, name in enumerate(names)))
    found = await offered(index, "sea", limit=6)
    assert [each.partition(":")[0] for each in found] == ["topic"] * 3 + ["title"] * 3
    assert len(await offered(index, "sea", limit=1)) == 1


async def test_name_is_completed_once_in_its_latest_spelling(harbour: ArticleIndex) -> None:
    assert await offered(harbour, "ene") == ["topic: energy"]


async def test_retracted_or_changed_values_are_not_completed(harbour: ArticleIndex) -> None:
    await put(harbour, retract("a1", 1), publish("a3", "Calm again", version=2, language="no"))
    assert await offered(harbour, "harriet") == []
    assert await offered(harbour, "storm") == []
    assert await offered(harbour, "harb") == ["title: Ferries return to the harbour"]


async def test_completions_are_narrowed_by_the_entitlement(harbour: ArticleIndex) -> None:
    assert await offered(harbour, "har", entitlement=Filter(topics=["Energy"], languages=["-no"])) == [
        "topic: Harbours",
        "author: Harriet Lund",
        "title: Ferries return to the harbour",
        "title: Harbour wall repaired",
    ]
    assert await offered(harbour, "har", entitlement=Filter(query="storm")) == ["author: Bo Harris"]
    assert await offered(harbour, "harbuor", entitlement=Filter(query="storm")) == []

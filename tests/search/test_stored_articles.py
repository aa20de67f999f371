"""Stored articles of the embedded index are read back unchanged, and only as far as requested."""

from typing import Any

import orjson
import pytest

from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.index.embedded.stored_articles import COMPRESS_FROM_CHARACTERS, read_article, stored_values
from tests.search.samples import publish, put, request

SHORT: dict[str, Any] = {
    "id": "a1",
    "title": "Ferry",
    "body": "<p>Short – naïve</p>",
    "text": "Short – naïve",
    "n": None,
}
LONG: dict[str, Any] = {
    **SHORT,
    "body": "<p>港湾 🛳 prose</p>" * COMPRESS_FROM_CHARACTERS,
    "text": "港湾 🛳 prose " * COMPRESS_FROM_CHARACTERS,
}


@pytest.mark.parametrize("document", [SHORT, LONG, {"id": "a1"}])
def test_stored_article_is_read_back_unchanged(document: dict[str, Any]) -> None:
    assert read_article(stored_values(document)) == document


@pytest.mark.parametrize("document", [SHORT, LONG])
def test_body_and_text_are_omitted_unless_requested(document: dict[str, Any]) -> None:
    stored = stored_values(document)
    assert read_article(stored, with_body=False, with_text=False).keys() == document.keys() - {"body", "text"}
    assert read_article(stored, with_body=False)["text"] == document["text"]
    assert read_article(stored, with_text=False)["body"] == document["body"]


@pytest.mark.parametrize("characters", [0, 1, 2, 3, 4, 5, 10_000, 10**9])
def test_long_text_is_read_up_to_the_requested_length(characters: int) -> None:
    text = read_article(stored_values(LONG), text_characters=characters)["text"]
    assert text == LONG["text"][:characters]


def test_long_article_is_compressed() -> None:
    stored = stored_values(LONG)
    assert len(stored) == 3
    assert sum(map(len, stored)) < len(orjson.dumps(LONG)) / 3


async def test_index_returns_the_requested_members(embedded_index: EmbeddedIndex) -> None:
    await put(
        embedded_index,
        publish("long", "Ferry", body="<p>harbour</p>" * COMPRESS_FROM_CHARACTERS),
        publish("short", "Ferry"),
    )
    whole = {article["id"]: article for article in await embedded_index.get_all(["long", "short"])}
    assert all(article["body"] and article["text"] for article in whole.values())
    page = await embedded_index.search(request("ferry", with_text=False, with_body=False))
    assert len(page.articles) == 2
    for article in (*page.articles, *await embedded_index.get_all(["long", "short"], with_text=False, with_body=False)):
        assert article == {name: value for name, value in whole[article["id"]].items() if name not in ("body", "text")}

"""The shared table of queries: both search indexes and subscriptions must agree on it."""

import json
from pathlib import Path
from typing import Any

from newswire.events import ArticlePublished
from newswire.text.query import Nothing, parse

_TABLE = json.loads((Path(__file__).parent / "queries.json").read_text())
_LANGUAGES = json.loads((Path(__file__).parent / "languages.json").read_text())
HARD_TOKENS: list[tuple[str, list[str]]] = [
    (case["text"], case["terms"]) for case in json.loads((Path(__file__).parent / "hard_tokens.json").read_text())
]
QUERIES: list[tuple[str, list[str]]] = [(case["q"], case["matches"]) for case in _TABLE["queries"]]
SAVED_QUERIES = [(q, expected) for q, expected in QUERIES if parse(q) != Nothing()]
"""The queries that a subscription accepts; those without anything to search for would never match."""


IN_LANGUAGES: list[tuple[str, list[str]]] = [(case["q"], case["matches"]) for case in _LANGUAGES["queries"]]
"""Queries about `articles_in_languages`."""


def articles() -> list[ArticlePublished]:
    """Return the articles of the table; an article's id is its name."""
    return _articles(_TABLE["articles"])


def articles_in_languages() -> list[ArticlePublished]:
    """Return the articles of the table of languages, each in another language."""
    return _articles(_LANGUAGES["articles"])


def _articles(sent_articles: list[dict[str, Any]]) -> list[ArticlePublished]:
    return [
        ArticlePublished.model_validate(
            {
                "id": sent["name"],
                "version": 1,
                "publisher": "The Harbour Post",
                "url": f"https://news.example/articles/{sent['name']}/x",
                "body": f"<p>{sent['text']}</p>",
                "published_at": "2026-03-01T12:00:00Z",
                "updated_at": "2026-03-01T12:00:00Z",
                **{key: value for key, value in sent.items() if key not in {"name", "authors"}},
                "authors": [{"name": name} for name in sent["authors"]],
            }
        )
        for sent in sent_articles
    ]

"""Sample articles, and shortcuts to index and search them."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from newswire.article import Article
from newswire.events import ArticlePublished
from newswire.text.query import parse
from newswire_search.index.models import (
    FieldFilter,
    Operation,
    Publish,
    Retract,
    SearchPage,
    SearchRequest,
    Sort,
)
from newswire_search.index.port import ArticleIndex


def article(id_: str, title: str = "Untitled", text: str = "Nothing to see.", **more: Any) -> ArticlePublished:
    members: dict[str, Any] = {
        "id": id_,
        "version": 1,
        "publisher": "The Harbour Post",
        "url": f"https://news.example/articles/{id_}/{quote(re.sub(r'[^0-9a-zа-я]+', '-', title.lower()).strip('-'))}",
        "title": title,
        "text": text,
        "body": f"<p>{escape(text)}</p>",
        "published_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
    }
    authors = more.get("authors", [])
    more["authors"] = [author if isinstance(author, dict) else {"name": author} for author in authors]
    return ArticlePublished.model_validate(members | more)


def publish(id_: str, title: str = "Untitled", text: str = "Nothing to see.", **more: Any) -> Publish:
    made: Article = article(id_, title, text, **more)
    return Publish(made, made.model_dump(mode="json", exclude_none=True))


def retract(id_: str, version: int) -> Retract:
    return Retract(id_, version)


async def put(index: ArticleIndex, *operations: Operation) -> None:
    """Write one batch, and wait until it is visible."""
    await index.write(operations)
    await index.until_visible(operations)


def request(q: str = "", sort: Sort | None = None, **more: Any) -> SearchRequest:
    return SearchRequest(query=parse(q), sort=sort or (Sort.RELEVANCE if q else Sort.NEWEST), **more)


async def search(index: ArticleIndex, q: str = "", sort: Sort | None = None, **more: Any) -> SearchPage:
    return await index.search(request(q, sort, **more))


async def found(index: ArticleIndex, q: str = "", sort: Sort | None = None, **more: Any) -> list[str]:
    """Return the ids of the results, in order."""
    return ids(await search(index, q, sort, **more))


def ids(page: SearchPage) -> list[str]:
    return [found["id"] for found in page.articles]


def wanting(field: str, *values: str) -> dict[str, FieldFilter]:
    return {field: FieldFilter(include=values)}


def avoiding(field: str, *values: str) -> dict[str, FieldFilter]:
    return {field: FieldFilter(exclude=values)}


def values(page: SearchPage, facet: str) -> Sequence[tuple[str, int]]:
    return [(found.value, found.count) for found in page.facets[facet]]

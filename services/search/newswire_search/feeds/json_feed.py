"""Formats a feed as JSON Feed 1.1 (jsonfeed.org)."""

from typing import Any

import orjson

from newswire.article import Author
from newswire_search.feeds.feed import Feed, FeedEntry

VERSION = "https://jsonfeed.org/version/1.1"


def json_feed(feed: Feed) -> bytes:
    """Return a feed as JSON Feed 1.1."""
    document = {
        "version": VERSION,
        "title": feed.title,
        "home_page_url": feed.home,
        "feed_url": feed.address,
        "language": feed.language,
        "hubs": [{"type": "WebSub", "url": feed.hub}] if feed.hub else None,
        "items": [_item(entry) for entry in feed.entries],
    }
    return orjson.dumps(_set(document))


def _item(entry: FeedEntry) -> dict[str, Any]:
    content = {"content_text": entry.summary} if entry.body is None else {"content_html": entry.body}
    return _set(
        {
            "id": entry.id,
            "url": entry.url,
            "external_url": entry.canonical,
            "title": entry.title,
            **content,
            "summary": entry.summary,
            "image": entry.image.url if entry.image else None,
            "date_published": entry.published.isoformat(),
            "date_modified": entry.updated.isoformat(),
            "authors": [_author(author) for author in entry.credited],
            "tags": [*entry.tags],
            "language": entry.language,
        }
    )


def _author(author: Author) -> dict[str, Any]:
    return _set({"name": author.name, "url": author.url})


def _set(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}

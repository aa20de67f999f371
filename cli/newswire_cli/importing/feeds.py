"""RSS 0.9x, 1.0 (RDF) and 2.0, and Atom (RFC 4287)."""

import io
from collections.abc import Iterator
from typing import Any

import feedparser

from newswire_cli.importing.markup import is_markup, paragraphs, plain
from newswire_cli.importing.safe_xml import elements, line_of
from newswire_cli.importing.sources import Source
from newswire_cli.importing.stories import Fault, Found, Story, Unreadable

ROOTS = ("rss", "{*}RDF", "{*}feed")
ENTRIES = ("item", "{*}item", "{*}entry")


def read(source: Source) -> Iterator[Found]:
    """Read a feed; of one that breaks off, the entries that are whole."""
    content = source.whole()
    lines, broken = _whole_entries(content)
    headers = {"content-location": source.url} if source.url else {}
    feed = feedparser.parse(io.BytesIO(content), response_headers=headers)
    language = feed.feed.get("language", "")
    for entry, line in zip(feed.entries, lines, strict=False):
        yield _story(source.name, line, entry, language)
    if broken:
        raise broken


def _whole_entries(content: bytes) -> tuple[list[int], Unreadable | None]:
    """Return the lines on which entries begin that also end; feedparser neither counts lines nor tells what was cut short."""
    lines: list[int] = []
    try:
        for element in elements(io.BufferedReader(io.BytesIO(content)), ROOTS, ENTRIES):
            lines.append(line_of(element) or 0)  # noqa: PERF401 (those before the error count)
    except Unreadable as broken:
        return lines, broken
    return lines, None


def _story(file: str, line: int, entry: Any, language: str) -> Found:
    identity = entry.get("id") or entry.get("link")
    if not identity:
        return Fault(file, line, "has neither an id nor a link, so that it could not be known again")
    contents = [part for part in entry.get("content", []) if part.get("value")]
    body = next((part["value"] for part in contents if "html" in part.get("type", "")), "")
    body = body or (contents[0]["value"] if contents else "")
    summary = entry.get("summary", "")
    topics = [tag["term"] for tag in entry.get("tags", []) if tag.get("term")]
    link = entry.get("link", "")
    draft = {
        "title": plain(entry.get("title", "")),
        "body": _html(body or summary),
        "summary": plain(summary) if body and summary != body else "",
        "authors": [author["name"] for author in entry.get("authors", []) if author.get("name")],
        "category": topics[0] if topics else "",
        "topics": topics[1:],
        "language": entry.get("language") or language,
        "published_at": entry.get("published") or entry.get("updated"),
        "external_id": identity,
        "canonical_url": link if link.startswith(("http://", "https://")) else "",
        "image": _image(entry),
    }
    return Story(file, line, draft)


def _html(text: str) -> str:
    return text if is_markup(text) else paragraphs(text)


def _image(entry: Any) -> dict[str, str] | None:
    for media in entry.get("media_content", []):
        if media.get("url") and ("image" in media.get("medium", "") or media.get("type", "").startswith("image/")):
            return {"url": media["url"]}
    for link in entry.get("enclosures", []):
        if link.get("href") and link.get("type", "").startswith("image/"):
            return {"url": link["href"]}
    return next(({"url": media["url"]} for media in entry.get("media_thumbnail", []) if media.get("url")), None)

"""Formats a feed as Atom (RFC 4287)."""

from datetime import UTC, datetime
from typing import Any

from lxml import etree

from newswire_search.feeds.feed import MEDIA_TYPES, Feed, FeedEntry, Format
from newswire_search.feeds.rss import ATOM, DC, image_type
from newswire_search.feeds.xml_writing import add, clean, to_bytes

PREFIXES: dict[Any, str] = {None: ATOM[1:-1], "dc": DC[1:-1]}
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The ``updated`` time of an empty feed, which Atom requires."""


def atom(feed: Feed) -> bytes:
    """Return a feed as Atom."""
    root = etree.Element(ATOM + "feed", nsmap=PREFIXES)
    if feed.language:
        root.set(LANG, feed.language)
    add(root, ATOM + "id", feed.address)
    add(root, ATOM + "title", feed.title, type="text")
    add(root, ATOM + "updated", (feed.updated or EPOCH).isoformat())
    add(root, ATOM + "link", rel="self", type=MEDIA_TYPES[Format.ATOM], href=feed.address)
    if feed.hub:
        add(root, ATOM + "link", rel="hub", href=feed.hub)
    add(root, ATOM + "link", rel="alternate", type="text/html", href=feed.home)
    for entry in feed.entries:
        _add_entry(root, entry)
    return to_bytes(root)


def _add_entry(root: etree._Element, entry: FeedEntry) -> None:
    element = add(root, ATOM + "entry")
    if entry.language:
        element.set(LANG, clean(entry.language))
    add(element, ATOM + "id", entry.id)
    add(element, ATOM + "title", entry.title, type="text")
    add(element, ATOM + "published", entry.published.isoformat())
    add(element, ATOM + "updated", entry.updated.isoformat())
    add(element, ATOM + "link", rel="alternate", type="text/html", href=entry.url)
    if entry.canonical:
        add(element, ATOM + "link", rel="canonical", href=entry.canonical)
    if entry.image:
        kind, title = image_type(entry.image), entry.image.caption or entry.image.alt
        add(element, ATOM + "link", rel="enclosure", type=kind, title=title, href=entry.image.url)
    for author in entry.credited:
        person = add(element, ATOM + "author")
        add(person, ATOM + "name", author.name)
        if author.url:
            add(person, ATOM + "uri", author.url)
    add(element, DC + "publisher", entry.publisher)
    for tag in entry.tags:
        add(element, ATOM + "category", term=tag)
    add(element, ATOM + "summary", entry.summary, type="text")
    if entry.body is not None:
        add(element, ATOM + "content", entry.body, type="html")

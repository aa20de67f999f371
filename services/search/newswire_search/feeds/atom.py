"""Formats a feed as Atom (RFC 4287)."""

from datetime import UTC, datetime

from newswire_search.feeds.feed import MEDIA_TYPES, Feed, FeedEntry, Format
from newswire_search.feeds.rss import ATOM_NAMESPACE, DC_NAMESPACE, image_type
from newswire_search.feeds.xml_writing import document, element, start_tag

NAMESPACES = {"xmlns": ATOM_NAMESPACE, "xmlns:dc": DC_NAMESPACE}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The ``updated`` time of an empty feed, which Atom requires."""


def atom(feed: Feed) -> bytes:
    """Return a feed as Atom."""
    parts = [
        start_tag("feed", NAMESPACES | {"xml:lang": feed.language or None}),
        element("id", feed.address),
        element("title", feed.title, type="text"),
        element("updated", (feed.updated or EPOCH).isoformat()),
        element("link", rel="self", type=MEDIA_TYPES[Format.ATOM], href=feed.address),
    ]
    if feed.hub:
        parts.append(element("link", rel="hub", href=feed.hub))
    parts.append(element("link", rel="alternate", type="text/html", href=feed.home))
    for entry in feed.entries:
        parts += _entry(entry)
    return document("".join([*parts, "</feed>"]))


def _entry(entry: FeedEntry) -> list[str]:
    parts = [
        start_tag("entry", {"xml:lang": entry.language or None}),
        element("id", entry.id),
        element("title", entry.title, type="text"),
        element("published", entry.published.isoformat()),
        element("updated", entry.updated.isoformat()),
        element("link", rel="alternate", type="text/html", href=entry.url),
    ]
    if entry.canonical:
        parts.append(element("link", rel="canonical", href=entry.canonical))
    if entry.image:
        kind, title = image_type(entry.image), entry.image.caption or entry.image.alt
        parts.append(element("link", rel="enclosure", type=kind, title=title, href=entry.image.url))
    for author in entry.credited:
        parts += ["<author>", element("name", author.name)]
        if author.url:
            parts.append(element("uri", author.url))
        parts.append("</author>")
    parts.append(element("dc:publisher", entry.publisher))
    parts += [element("category", term=tag) for tag in entry.tags]
    parts.append(element("summary", entry.summary, type="text"))
    if entry.body is not None:
        parts.append(element("content", entry.body, type="html"))
    return [*parts, "</entry>"]

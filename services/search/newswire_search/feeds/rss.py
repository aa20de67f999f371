"""Formats a feed as RSS 2.0 with the extensions Dublin Core, Media RSS, content:encoded and Atom links.

Only ``description`` and ``content:encoded`` of an item are read as HTML, so plain text is escaped there before the XML writer
escapes it again. All other elements are plain text (RSS Advisory Board, RSS Best Practices Profile, section 3).
"""

import mimetypes
from email.utils import format_datetime
from html import escape

from newswire.article import Image
from newswire_search.feeds.feed import MEDIA_TYPES, Feed, FeedEntry, Format
from newswire_search.feeds.xml_writing import document, element, start_tag

ATOM_NAMESPACE = "http://www.w3.org/2005/Atom"
DC_NAMESPACE = "http://purl.org/dc/elements/1.1/"
NAMESPACES = {
    "xmlns:atom": ATOM_NAMESPACE,
    "xmlns:content": "http://purl.org/rss/1.0/modules/content/",
    "xmlns:dc": DC_NAMESPACE,
    "xmlns:media": "http://search.yahoo.com/mrss/",
}
CHANNEL_DESCRIPTION = "The newest articles, published with Newswire"


def rss(feed: Feed) -> bytes:
    """Return a feed as RSS 2.0."""
    parts = [
        start_tag("rss", NAMESPACES | {"version": "2.0"}),
        "<channel>",
        element("title", feed.title),
        element("link", feed.home),
        # Readers interpret this element as plain text or as HTML: a constant text is the same in both, unlike the words of a
        # search.
        element("description", CHANNEL_DESCRIPTION),
    ]
    if feed.language:
        parts.append(element("language", feed.language))
    if feed.updated:
        parts.append(element("lastBuildDate", format_datetime(feed.updated, usegmt=True)))
    parts.append(element("atom:link", rel="self", type=MEDIA_TYPES[Format.RSS], href=feed.address))
    if feed.hub:
        parts.append(element("atom:link", rel="hub", href=feed.hub))
    for entry in feed.entries:
        parts += _item(entry)
    return document("".join([*parts, "</channel></rss>"]))


def _item(entry: FeedEntry) -> list[str]:
    parts = [
        "<item>",
        element("title", entry.title),
        element("link", entry.url),
        element("guid", entry.id, isPermaLink="false"),
        element("pubDate", format_datetime(entry.published, usegmt=True)),
        element("atom:updated", entry.updated.isoformat()),
        *(element("dc:creator", author.name) for author in entry.credited),
        element("dc:publisher", entry.publisher),
    ]
    if entry.language:
        parts.append(element("dc:language", entry.language))
    parts += [element("category", tag) for tag in entry.tags]
    parts.append(element("description", escape(entry.summary, quote=False)))
    if entry.body is not None:
        parts.append(element("content:encoded", entry.body))
    if entry.image:
        parts += _image(entry.image)
    return [*parts, "</item>"]


def _image(image: Image) -> list[str]:
    kind = image_type(image)
    # RSS requires length and type; a length of 0 means unknown.
    parts = [element("enclosure", url=image.url, length=0, type=kind)] if kind else []
    attributes = {"url": image.url, "medium": "image", "type": kind, "width": image.width, "height": image.height}
    # No media:description: some readers display it as the article's text.
    if not image.credit:
        return [*parts, element("media:content", **attributes)]
    credit = element("media:credit", image.credit)
    return [*parts, start_tag("media:content", attributes), credit, "</media:content>"]


def image_type(image: Image) -> str | None:
    """Return the media type that an image's file extension implies, or None."""
    kind, _ = mimetypes.guess_type(image.url.partition("?")[0])
    return kind if kind and kind.startswith("image/") else None

"""Formats a feed as RSS 2.0 with the extensions Dublin Core, Media RSS, content:encoded and Atom links.

Only ``description`` and ``content:encoded`` of an item are read as HTML, so plain text is escaped there before the XML writer
escapes it again. All other elements are plain text (RSS Advisory Board, RSS Best Practices Profile, section 3).
"""

import mimetypes
from email.utils import format_datetime
from html import escape

from lxml import etree

from newswire.article import Image
from newswire_search.feeds.feed import MEDIA_TYPES, Feed, FeedEntry, Format
from newswire_search.feeds.xml_writing import add, to_bytes

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENT = "{http://purl.org/rss/1.0/modules/content/}"
DC = "{http://purl.org/dc/elements/1.1/}"
MEDIA = "{http://search.yahoo.com/mrss/}"
CHANNEL_DESCRIPTION = "The newest articles, published with Newswire"
PREFIXES = {"atom": ATOM[1:-1], "content": CONTENT[1:-1], "dc": DC[1:-1], "media": MEDIA[1:-1]}


def rss(feed: Feed) -> bytes:
    """Return a feed as RSS 2.0."""
    root = etree.Element("rss", nsmap=PREFIXES)
    root.set("version", "2.0")
    channel = add(root, "channel")
    add(channel, "title", feed.title)
    add(channel, "link", feed.home)
    # Readers interpret this element as plain text or as HTML: a constant text is the same in both, unlike the words of a
    # search.
    add(channel, "description", CHANNEL_DESCRIPTION)
    if feed.language:
        add(channel, "language", feed.language)
    if feed.updated:
        add(channel, "lastBuildDate", format_datetime(feed.updated, usegmt=True))
    add(channel, ATOM + "link", rel="self", type=MEDIA_TYPES[Format.RSS], href=feed.address)
    if feed.hub:
        add(channel, ATOM + "link", rel="hub", href=feed.hub)
    for entry in feed.entries:
        _add_item(channel, entry)
    return to_bytes(root)


def _add_item(channel: etree._Element, entry: FeedEntry) -> None:
    item = add(channel, "item")
    add(item, "title", entry.title)
    add(item, "link", entry.url)
    add(item, "guid", entry.id, isPermaLink="false")
    add(item, "pubDate", format_datetime(entry.published, usegmt=True))
    add(item, ATOM + "updated", entry.updated.isoformat())
    for author in entry.credited:
        add(item, DC + "creator", author.name)
    add(item, DC + "publisher", entry.publisher)
    if entry.language:
        add(item, DC + "language", entry.language)
    for tag in entry.tags:
        add(item, "category", tag)
    add(item, "description", escape(entry.summary, quote=False))
    if entry.body is not None:
        add(item, CONTENT + "encoded", entry.body)
    if entry.image:
        _add_image(item, entry.image)


def _add_image(item: etree._Element, image: Image) -> None:
    kind = image_type(image)
    if kind:
        # RSS requires length and type; a length of 0 means unknown.
        add(item, "enclosure", url=image.url, length=0, type=kind)
    media = add(
        item, MEDIA + "content", url=image.url, medium="image", type=kind, width=image.width, height=image.height
    )
    # No media:description: some readers display it as the article's text.
    if image.credit:
        add(media, MEDIA + "credit", image.credit)


def image_type(image: Image) -> str | None:
    """Return the media type that an image's file extension implies, or None."""
    kind, _ = mimetypes.guess_type(image.url.partition("?")[0])
    return kind if kind and kind.startswith("image/") else None

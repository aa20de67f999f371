"""Reads RSS 0.9x, 1.0 (RDF) and 2.0, Atom 1.0 (RFC 4287) and 0.3, JSON Feed 1.0 and 1.1."""

import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from newswire_ingest.importing.formats import json_feed
from newswire_ingest.importing.formats.feed_fields import (
    Fields,
    Text,
    absolute,
    atom_text,
    attribute,
    base_of,
    is_atom,
    language_of,
    rss_text,
)
from newswire_ingest.importing.formats.feed_media import media_of, picture_and_links
from newswire_ingest.importing.formats.feed_people import Person, authors
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.markup import plain
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.normalize import MAX_CHARACTERS
from newswire_ingest.importing.xml.items import Item, context, items
from newswire_ingest.importing.xml.safe_parser import text

ITEMS = ("item", "entry")
_BODIES = ("content:encoded", "content", "atom:content", "xhtml:body", "xhtml:div", "fullitem")
_SUMMARIES = ("description", "summary", "atom:summary", "itunes:summary", "dc:description", "dcterms:abstract")
_DATES = ("published", "pubDate", "issued", "dc:date", "dcterms:issued", "dcterms:created", "created", "atom:published")
_CHANGES = ("updated", "modified", "atom:updated", "dcterms:modified")
_ATOM = "http://www.w3.org/2005/Atom"


@dataclass(frozen=True, slots=True)
class Feed:
    """The properties of a feed that its items inherit."""

    title: str = ""
    language: str = ""
    address: str = ""
    """The base of relative addresses."""
    authors: tuple[Person, ...] = ()
    shared_ids: frozenset[str] = frozenset()
    """Ids that several items share, so that they do not identify an item."""


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read a feed item by item; a broken item does not affect the others."""
    if source.head().lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        yield from json_feed.read(source)
        return
    feed = _feed(source)
    item = None
    for item in items(source, ITEMS):
        yield item if isinstance(item, FailedItem) else _article(source.name, item, feed)
    if item is None:
        yield SkippedItem(source.name, None, "is a feed without items")


def _feed(source: InputFile) -> Feed:
    root = context(source, ITEMS)
    if root is None:
        return Feed(address=source.url or "")
    channel = next((child for child in root.iterchildren("{*}channel")), root)
    fields = Fields(channel)
    page = _link(fields, channel)
    itself = next(
        (attribute(link, "href") for link in fields.all("link", "atom:link") if attribute(link, "rel") == "self"), ""
    )
    address = next((each for each in (page, source.url or "", itself) if each.startswith(("http://", "https://"))), "")
    if address and page:
        address = absolute(page, address)
    people, _ = authors(fields) if is_atom(channel) else ([], [])
    return Feed(
        title=fields.text("title"),
        language=fields.text("language", "dc:language") or language_of(channel),
        address=address,
        authors=tuple(people),
        shared_ids=_shared_ids(source),
    )


def _shared_ids(source: InputFile) -> frozenset[str]:
    links: dict[str, str] = {}
    shared = set()
    for item in items(source, ITEMS):
        if isinstance(item, Item):
            fields = Fields(item.element)
            identity, link = fields.text("guid", "id"), _link(fields, item.element)
            if identity and link and links.setdefault(identity, link) != link:
                shared.add(identity)
    return frozenset(shared)


def _article(file: str, item: Item, feed: Feed) -> SourceItem:
    element = item.element
    fields = Fields(element)
    base = base_of(element, feed.address)
    notes = list(item.notes)
    body, summary, said_in = _texts(fields, element, notes)
    link = _link(fields, element)
    link = absolute(link, base) if link else ""
    media, remarks = media_of(fields, base)
    picture, links, more = picture_and_links(media, body)
    people, unnamed = authors(fields)
    notes += [*remarks, *more, *unnamed]
    topics = _topics(fields)
    title = _title(fields, element)
    if not (title or plain(body)):
        if not (link or media):
            return FailedItem(file, item.line, "has neither title, text nor link")
        title = re.sub(r"^https?://|[?#].*$|/$", "", link or media[0].url)
        notes.append("no title and no text: its address is used")
        body = f'<p><a href="{html.escape(link)}">{html.escape(link)}</a></p>' if link else body
    identity = _identity(fields, element, link, base, feed, notes)
    draft: dict[str, Any] = {
        "title": title,
        "body": body + links,
        "summary": summary,
        "authors": people or _source_authors(fields) or list(feed.authors),
        "category": topics[0] if topics else "",
        "topics": topics[1:],
        "language": fields.text("dc:language", "language") or language_of(said_in) or feed.language,
        "published_at": _dates(fields),
        "external_id": identity or _made_of(title, body, fields, media[0].url if media else "", feed, notes),
        "canonical_url": link if link.startswith(("http://", "https://")) else "",
        "image": picture,
    }
    return SourceArticle(file, item.line, draft, tuple(notes), base=base_of(said_in, feed.address))


def _dates(fields: Fields) -> list[str]:
    """Return all candidates for the date of an item, best first."""
    return fields.texts(*_DATES, *_CHANGES)


def _texts(fields: Fields, element: etree._Element, notes: list[str]) -> tuple[str, str, etree._Element]:
    """Return body and summary, and the element that contains the body."""

    def read_all(names: tuple[str, ...]) -> list[Text]:
        found = [_text(member, element) for member in fields.all(*names) if not attribute(member, "url")]
        notes.extend(each.note for each in found if each.note)
        return [each for each in found if each.html]

    bodies, summaries = read_all(_BODIES), read_all(_SUMMARIES)
    if any(attribute(member, "src") for member in fields.all("content", "atom:content")):
        notes.append("content at another address: omitted")
    if not bodies:
        bodies, summaries = summaries[:1] or read_all(("media:description",))[:1], summaries[1:]
    if not bodies:
        return "", fields.text("itunes:subtitle"), element
    body, summary = bodies[0], summaries[0] if summaries else None
    if summary and len(summary.plain) > max(MAX_CHARACTERS["summary"], len(body.plain)):
        body, summary = (
            summary,
            body,
        )  # the description contains the full text; used as a summary, it would be shortened
    short = "" if summary is None or summary.plain == body.plain else summary.plain
    return body.html, short or fields.text("itunes:subtitle"), body.element


def _text(member: etree._Element, item: etree._Element) -> Text:
    namespace = str(member.tag)
    of_atom = is_atom(item) and "}" in namespace and namespace.partition("}")[0] == str(item.tag).partition("}")[0]
    return atom_text(member) if of_atom or namespace.startswith(f"{{{_ATOM}}}") else rss_text(member)


def _title(fields: Fields, element: etree._Element) -> str:
    for member in fields.all("title", "atom:title", "dc:title", "media:title", "itunes:title"):
        is_plain = is_atom(element) and str(member.tag).rpartition("}")[0] == str(element.tag).rpartition("}")[0]
        if label := atom_text(member, body=False).plain if is_plain else rss_text(member).plain:
            return label
    return ""


def _link(fields: Fields, element: etree._Element) -> str:
    """Return the address of the page of an item or a feed."""
    if original := fields.text("feedburner:origLink"):
        return original
    links = [
        (attribute(link, "rel") or "alternate", attribute(link, "type"), attribute(link, "href") or text(link))
        for link in fields.all("link", "atom:link")
    ]
    pages = [(kind, address) for relation, kind, address in links if relation == "alternate" and address]
    pages.sort(key=lambda page: page[0] not in ("", "text/html", "application/xhtml+xml"))
    if pages:
        return "".join(pages[0][1].split())
    guid = fields.first("guid")
    if guid is not None and attribute(guid, "isPermaLink").lower() != "false" and re.match(r"https?://|/", text(guid)):
        return text(guid)
    about = attribute(element, "about")
    return about if about.startswith(("http://", "https://")) else ""


def _identity(fields: Fields, element: etree._Element, link: str, base: str, feed: Feed, notes: list[str]) -> str:
    """Return the identity of an item: its id or address. Relative ones are made absolute, so that those of two sites differ."""
    identity = fields.text("guid", "id", "dc:identifier") or attribute(element, "about")
    if identity in feed.shared_ids and link:
        notes.append("several items share its id: its link identifies it")
        identity = ""
    identity = identity or link
    if re.match(r"\.{0,2}/|[?#]", identity):
        identity = absolute(identity, base)
        if not identity.startswith(("http://", "https://")):
            identity = f"{feed.title} {identity}".strip()
    return identity


def _made_of(title: str, body: str, fields: Fields, enclosure: str, feed: Feed, notes: list[str]) -> str:
    """Return an id for an item without one; the next import derives the same id."""
    notes.append("has neither id nor link: its enclosure, or else title and date, identifies it")
    if enclosure:
        return enclosure
    parts = (feed.title, feed.address, title or body, *_dates(fields)[:1])
    return "urn:sha256:" + hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()


def _source_authors(fields: Fields) -> list[Person]:
    origin = fields.first("source", "atom:source")
    return [] if origin is None else authors(Fields(origin))[0]


def _topics(fields: Fields) -> list[str]:
    found: dict[str, None] = {}
    for member in fields.all("category", "atom:category", "dc:subject", "itunes:category"):
        if "schemas.google.com" in attribute(member, "scheme"):
            continue  # Blogger's marker for the kind of an entry
        label = (
            attribute(member, "label") or attribute(member, "term") or plain(text(member)) or attribute(member, "text")
        )
        if label:
            found[label] = None
    for listed in fields.texts("itunes:keywords", "media:keywords"):
        found.update(dict.fromkeys(word.strip() for word in listed.split(",") if word.strip()))
    return list(found)

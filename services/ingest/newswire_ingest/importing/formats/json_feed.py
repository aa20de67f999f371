"""Reads JSON Feed 1.0 and 1.1."""

import hashlib
import html
from collections.abc import Iterator
from typing import Any

import orjson

from newswire_ingest.importing.decoding import text_of
from newswire_ingest.importing.formats.feed_fields import absolute
from newswire_ingest.importing.formats.feed_media import Media, picture_and_links
from newswire_ingest.importing.formats.feed_people import Person, name_of
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.markup import paragraphs, plain
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem, UnreadableSourceError


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read the items; one that is not an object becomes a `FailedItem`, and reading continues."""
    try:
        feed = orjson.loads(text_of(source.whole(), source.charset).encode("utf-8", "replace"))
    except orjson.JSONDecodeError as error:
        raise UnreadableSourceError(f"is not JSON: {error.msg}", error.lineno) from None
    items = feed.get("items") if isinstance(feed, dict) else None
    if not isinstance(items, list):
        raise UnreadableSourceError("is a JSON feed without 'items'")
    if not items:
        yield SkippedItem(source.name, None, "is a feed without items")
    base = next(
        (each for each in (_text(feed, "home_page_url"), source.url or "", _text(feed, "feed_url")) if _is_web(each)),
        "",
    )
    for number, item in enumerate(items, start=1):
        file = f"{source.name} item {number}"
        yield (
            _article(file, item, feed, base)
            if isinstance(item, dict)
            else FailedItem(file, None, "is not a JSON object")
        )


def _article(file: str, item: dict[str, Any], feed: dict[str, Any], base: str) -> SourceItem:
    written, plain_text = _text(item, "content_html"), _text(item, "content_text")
    body = written or paragraphs(plain_text)
    link = absolute(_text(item, "url") or _text(item, "external_url"), base)
    notes: list[str] = []
    media = [
        Media(absolute(address, base), "image") for name in ("image", "banner_image") if (address := _text(item, name))
    ]
    attachments = item.get("attachments")
    for attached in attachments if isinstance(attachments, list) else ():
        if isinstance(attached, dict) and (address := _text(attached, "url")):
            media.append(Media(absolute(address, base), _text(attached, "mime_type"), title=_text(attached, "title")))
        else:
            notes.append("an enclosure without an http address: omitted")
    picture, links, more = picture_and_links([each for each in media if _is_web(each.url)], body)
    title, summary = plain(_text(item, "title")), plain(_text(item, "summary"))
    if not (title or plain(body) or link):
        return FailedItem(file, None, "has neither title, text nor link")
    if not (title or plain(body)):
        title, body = summary or link, f'<p><a href="{html.escape(link)}">{html.escape(link)}</a></p>'
        notes.append("no title and no text: its address is used")
    tags = [tag for tag in item.get("tags") or () if isinstance(tag, str)] if isinstance(item.get("tags"), list) else []
    dates = [_text(item, "date_published"), _text(item, "date_modified")]
    identity = _identity(item.get("id")) or link
    if not identity:
        digest = hashlib.sha256("\n".join((base, title or body, *dates)).encode("utf-8", "replace")).hexdigest()
        identity = f"urn:sha256:{digest}"
        notes.append("has neither id nor link: its enclosure, or else title and date, identifies it")
    draft: dict[str, Any] = {
        "title": title,
        "body": body + links,
        "summary": summary,
        "authors": _people(item) or _people(feed),
        "category": tags[0] if tags else "",
        "topics": tags[1:],
        "language": _text(item, "language") or _text(feed, "language"),
        "published_at": dates,
        "external_id": absolute(identity, base) if identity.startswith(("/", "?", "./", "../")) else identity,
        "canonical_url": link if _is_web(link) else "",
        "image": picture,
    }
    return SourceArticle(file, None, draft, (*notes, *more), base=link if _is_web(link) else base)


def _people(holder: dict[str, Any]) -> list[Person]:
    listed = holder.get("authors")
    people: list[Person] = []
    for person in listed if isinstance(listed, list) and listed else [holder.get("author")]:
        if isinstance(person, dict) and (name := name_of(_text(person, "name"))):
            address = _text(person, "url")
            people.append({"name": name, "url": address} if _is_web(address) else name)
    return people


def _identity(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _text(holder: dict[str, Any], name: str) -> str:
    value = holder.get(name)
    return value.strip() if isinstance(value, str) else ""


def _is_web(address: str) -> bool:
    return address.startswith(("http://", "https://"))

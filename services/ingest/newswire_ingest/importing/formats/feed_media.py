"""Reads images, audio and video of feed items: the best image becomes the image of the article, the rest become links."""

import html
import posixpath
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from lxml import etree

from newswire_ingest.importing.formats.feed_fields import Fields, absolute, attribute
from newswire_ingest.importing.xml.safe_parser import text

_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".svg", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Media:
    """One media file of an item."""

    url: str
    kind: str = ""
    width: int = 0
    title: str = ""
    caption: str = ""
    credit: str = ""

    @property
    def is_picture(self) -> bool:
        """Return whether it is an image, by its type, or by its name if no type is declared."""
        if self.kind:
            return self.kind == "image" or self.kind.startswith("image/")
        return urlsplit(self.url).path.lower().endswith(_PICTURES)


def media_of(fields: Fields, base: str) -> tuple[list[Media], list[str]]:
    """Return all media of an item, best first, and notes."""
    found: list[Media] = []
    groups = list(fields.all("media:group"))
    for holder in (fields, *(Fields(group) for group in groups)):
        contents = [
            _content(member, holder, fields, base)
            for member in holder.all("media:content", "content")
            if attribute(member, "url")
        ]
        found += sorted(contents, key=lambda media: -media.width)[: 1 if holder is not fields and contents else None]
    enclosures = [(attribute(member, "url"), attribute(member, "type")) for member in fields.all("enclosure")]
    found += [Media(absolute(address, base), kind) for address, kind in enclosures if address]
    nowhere = any(not address for address, _ in enclosures)
    found += [
        Media(absolute(attribute(link, "href"), base), attribute(link, "type"), title=attribute(link, "title"))
        for link in fields.all("link", "atom:link")
        if attribute(link, "rel") == "enclosure" and attribute(link, "href")
    ]
    found += [
        Media(absolute(address, base), "" if str(member.tag).endswith("player") else "image")
        for member in fields.all("itunes:image", "media:thumbnail", "image", "media:player")
        if (address := _address(member))
    ]
    for group in groups:
        found += [
            Media(absolute(attribute(each, "url"), base), "image")
            for each in Fields(group).all("media:thumbnail", "thumbnail")
            if attribute(each, "url")
        ]
    usable = {media.url: media for media in reversed(found) if media.url.startswith(("http://", "https://"))}
    lost = nowhere or any(media.url and media.url not in usable for media in found)
    order = list(dict.fromkeys(media.url for media in found if media.url in usable))
    return [next(media for media in found if media.url == url) for url in order], (
        ["an enclosure without an http address: omitted"] if lost else []
    )


def _address(member: etree._Element) -> str:
    written = attribute(member, "href") or attribute(member, "url") or attribute(member, "resource")
    return written or Fields(member).text("url") or text(member)


def picture_and_links(media: list[Media], body: str) -> tuple[dict[str, str] | None, str, list[str]]:
    """Return the image of the article, HTML with links to the media that its body does not show, and notes."""
    pictures = [each for each in media if each.is_picture]
    best = pictures[0] if pictures else None
    shown = (
        None
        if best is None
        else {
            name: value
            for name, value in (("url", best.url), ("caption", best.caption), ("credit", best.credit))
            if value
        }
    )
    notes: list[str] = []
    plain_body = html.unescape(body)
    links = [
        f'<p><a href="{html.escape(each.url)}">{html.escape(each.title or _name(each.url))}</a></p>'
        for each in media
        if not each.is_picture and each.url not in plain_body
    ]
    if links:
        notes.append("an enclosure (sound, film or file) became a link")
    if any(each is not best and each.url not in plain_body for each in pictures):
        notes.append("several images: the best one kept")
    return shown, "".join(links), notes


def _content(member: etree._Element, holder: Fields, item: Fields, base: str) -> Media:
    inside = Fields(member)
    kind = attribute(member, "type") or attribute(member, "medium")
    if attribute(member, "medium") == "image":
        kind = "image"
    width = attribute(member, "width")

    def child_text(name: str) -> str:
        return inside.text(name, f"media:{name}") or holder.text(f"media:{name}") or item.text(f"media:{name}")

    return Media(
        absolute(attribute(member, "url"), base),
        kind,
        int(width) if width.isascii() and width.isdigit() and len(width) < 6 else 0,
        child_text("title"),
        child_text("description"),
        child_text("credit"),
    )


def _name(url: str) -> str:
    return unquote(posixpath.basename(urlsplit(url).path)) or url

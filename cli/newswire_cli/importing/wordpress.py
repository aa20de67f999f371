"""WordPress eXtended RSS (WXR 1.0 to 1.2), what "Tools, Export" writes: published posts, with the pictures of attachments."""

import re
from collections.abc import Iterator
from contextlib import suppress

from lxml import etree

from newswire_cli.importing.markup import paragraphs, plain
from newswire_cli.importing.safe_xml import elements, line_of
from newswire_cli.importing.sources import Source
from newswire_cli.importing.stories import Fault, Found, Skipped, Story, Unreadable

_SHORTCODES = re.compile(r"\[/?(?:caption|gallery|embed|audio|video|playlist|wp_caption)(?:\s[^\[\]]*)?/?\]")
_BLOCK = re.compile(
    r"(?i)\s*<!?/?(?:--|p|div|h[1-6]|ul|ol|li|dl|blockquote|pre|table|figure|hr|section|article|iframe|form)\b"
)
_BLANK_LINE = re.compile(r"\r?\n[ \t]*\r?\n\s*")
_UNCATEGORISED = "uncategorized"


def read(source: Source) -> Iterator[Found]:
    """Read an export in two passes, for a post may come before the attachment that it shows."""
    pictures = _pictures(source)
    authors: dict[str, str] = {}
    language = ""
    with source.open() as stream:
        for element in elements(stream, ["rss"], ["{*}author", "item", "language"]):
            name = etree.QName(element).localname
            if name == "author":
                authors[_wp(element, "author_login")] = _wp(element, "author_display_name")
            elif name == "language":
                language = element.text or ""
            else:
                yield _post(source.name, element, authors, pictures, language)


def _pictures(source: Source) -> dict[str, dict[str, str]]:
    """Return the pictures by the ids of their attachments; where the file breaks off, the second pass says so."""
    pictures = {}
    with source.open() as stream, suppress(Unreadable):
        for item in elements(stream, ["rss"], ["item"]):
            if _wp(item, "post_type") == "attachment" and (url := _wp(item, "attachment_url")):
                pictures[_wp(item, "post_id")] = {
                    "url": url,
                    "alt": _meta(item, "_wp_attachment_image_alt"),
                    "caption": plain(_encoded(item, "excerpt")),
                }
    return pictures


def _post(
    file: str, item: etree._Element, authors: dict[str, str], pictures: dict[str, dict[str, str]], language: str
) -> Found:
    line, kind, status = line_of(item), _wp(item, "post_type"), _wp(item, "status")
    if kind != "post":
        return Skipped(file, line, f"is of type '{kind}', not a post")
    if status != "publish":
        return Skipped(file, line, f"is not published but '{status}'")
    if _wp(item, "post_password"):
        return Skipped(file, line, "is protected by a password")
    identity = (item.findtext("guid") or "").strip() or (item.findtext("link") or "").strip()
    if not identity:
        return Fault(file, line, "has neither guid nor link, so that it could not be known again")
    login = (item.findtext("{http://purl.org/dc/elements/1.1/}creator") or "").strip()
    sections = [
        (category.get("domain"), " ".join((category.text or "").split()))
        for category in item.iterfind("category")
        if category.get("nicename") != _UNCATEGORISED
    ]
    categories = [name for domain, name in sections if domain == "category"]
    published = _wp(item, "post_date_gmt")
    picture = pictures.get(_meta(item, "_thumbnail_id"))
    draft = {
        "title": plain(item.findtext("title") or ""),
        "body": body(_encoded(item, "content")),
        "summary": plain(_encoded(item, "excerpt")),
        "authors": [authors.get(login) or login] if login else [],
        "category": categories[0] if categories else "",
        "topics": [*categories[1:], *(name for domain, name in sections if domain == "post_tag")],
        "language": language,
        "published_at": item.findtext("pubDate") if published.startswith("0000") else published,
        "external_id": identity,
        "canonical_url": (item.findtext("link") or "").strip(),
        "image": picture and {name: value for name, value in picture.items() if value},
    }
    return Story(file, line, draft)


def body(content: str) -> str:
    """Make the HTML that WordPress would show: it stores a classic post without ``<p>``, paragraphs parted by blank lines."""
    content = _SHORTCODES.sub("", content)
    if "<!-- wp:" in content or "<p>" in content or "<p " in content:
        return content
    if "<" not in content and "&" not in content:
        return paragraphs(content)
    parts = (part.strip() for part in _BLANK_LINE.split(content))
    return "\n".join(part if _BLOCK.match(part) else f"<p>{part}</p>" for part in parts if part)


def _wp(item: etree._Element, name: str) -> str:
    """Return a member of WordPress's own namespace, whose address carries the version of the format."""
    return next((child.text or "" for child in item.iterchildren("{*}" + name)), "").strip()


def _encoded(item: etree._Element, kind: str) -> str:
    for child in item.iterchildren("{*}encoded"):
        if f"/{kind}/" in str(etree.QName(child).namespace):
            return child.text or ""
    return ""


def _meta(item: etree._Element, key: str) -> str:
    for meta in item.iterchildren("{*}postmeta"):
        if _wp(meta, "meta_key") == key:
            return _wp(meta, "meta_value")
    return ""

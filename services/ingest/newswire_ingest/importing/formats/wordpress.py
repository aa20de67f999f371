"""Reads WordPress eXtended RSS (WXR 1.0 to 1.2), the output of "Tools, Export": published posts and the images of attachments."""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from newswire_ingest.importing.formats.wordpress_shortcodes import Attachment, expanded
from newswire_ingest.importing.formats.wordpress_text import body
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.markup import plain
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.xml.items import Item, context, items

_UNCATEGORISED = "uncategorized"
_INTERNAL = frozenset(
    "category tag post_tag author language post_format nav_menu link_category wp_theme wp_template_part_area"
    " wp_pattern_category post_translations term_translations".split()
)
"""Taxonomies that are read as labels, or that do not describe the content."""


@dataclass
class _Site:
    """What an export contains besides the current post."""

    language: str = ""
    address: str = ""
    authors: dict[str, str] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)

    def gallery(self, post: str, attributes: Mapping[str, str]) -> list[Attachment]:
        """Return the files of a gallery: those that it lists, else those attached to the post."""
        named = re.findall(r"\d+", attributes.get("ids") or attributes.get("include") or "")
        if named:
            return [self.attachments[each] for each in named if each in self.attachments]
        post = attributes.get("id") or post
        left_out = set(re.findall(r"\d+", attributes.get("exclude", "")))
        return [each for number, each in self.attachments.items() if each.parent == post and number not in left_out]


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read an export in two passes, because a post may precede the attachment that it shows."""
    site = _site(source)
    item = None
    for item in items(source, ("item",)):
        yield item if isinstance(item, FailedItem) else _post(source.name, item, site)
    if item is None:
        yield SkippedItem(source.name, None, "is an export without items")


def _site(source: InputFile) -> _Site:
    site = _Site()
    root = context(source, ("item",))
    channel = None if root is None else next(root.iterchildren("{*}channel"), root)
    for member in () if channel is None else channel.iterchildren(etree.Element):
        name = str(member.tag).rpartition("}")[2]
        if name == "author":
            site.authors[_wp(member, "author_login")] = plain(_wp(member, "author_display_name"))
        elif name == "language":
            site.language = (member.text or "").strip()
        elif name in ("base_blog_url", "base_site_url", "link") and not site.address:
            site.address = (member.text or "").strip()
    for item in items(source, ("item",)):
        if isinstance(item, Item) and _wp(item.element, "post_type") == "attachment":
            element = item.element
            address = _wp(element, "attachment_url") or (element.findtext("guid") or "").strip()
            if address.startswith(("http://", "https://")):
                site.attachments[_wp(element, "post_id")] = Attachment(
                    address,
                    plain(_meta(element, "_wp_attachment_image_alt")),
                    plain(_encoded(element, "excerpt")),
                    _wp(element, "post_parent"),
                )
    return site


def _post(file: str, item: Item, site: _Site) -> SourceItem:
    element, line, notes = item.element, item.line, list(item.notes)
    if skipped := _reason_to_skip(file, item):
        return skipped
    identity = (element.findtext("guid") or "").strip() or (element.findtext("link") or "").strip()
    if not identity:
        return FailedItem(file, line, "has neither guid nor link, so it could not be recognised in the next import")
    number = _wp(element, "post_id")
    content, remarks = expanded(_encoded(element, "content"), lambda attributes: site.gallery(number, attributes))
    notes += remarks
    content, remarks = body(content)
    notes += remarks
    categories, topics, taxonomies = _terms(element)
    notes += [f"the taxonomy '{name}': omitted" for name in taxonomies]
    if next(element.iterchildren("{*}comment"), None) is not None:
        notes.append("its comments: omitted")
    thumbnail = _meta(element, "_thumbnail_id")
    picture = site.attachments.get(thumbnail)
    if thumbnail and thumbnail != "0" and picture is None:
        notes.append("its featured image is not in this export")
    draft: dict[str, Any] = {
        "title": plain(element.findtext("title") or ""),
        "body": content,
        "summary": plain(_encoded(element, "excerpt")),
        "authors": _authors(element, site),
        "category": categories[0] if categories else "",
        "topics": [*categories[1:], *topics],
        "language": _language(element) or site.language,
        "external_id": identity,
        "canonical_url": (element.findtext("link") or "").strip(),
        "image": picture
        and {
            name: value
            for name, value in (("url", picture.url), ("alt", picture.alt), ("caption", picture.caption))
            if value
        },
    }
    scheduled = _wp(element, "status") == "future"
    draft["embargo_until" if scheduled else "published_at"] = _dates(element)
    base = draft["canonical_url"] or site.address
    return SourceArticle(file, line, draft, tuple(notes), base=base, scheduled=scheduled)


def _reason_to_skip(file: str, item: Item) -> SkippedItem | FailedItem | None:
    """Return why an item is not a published post, or None. A broken item counts as unpublished unless it says otherwise."""
    element, line = item.element, item.line
    kind, status = _wp(element, "post_type"), _wp(element, "status")
    if not kind:
        return FailedItem(file, line, "has no wp:post_type, so it cannot be recognised as a post")
    if kind != "post":
        return SkippedItem(file, line, f"is of type '{kind}', not a post")
    if status not in ("publish", "future"):
        return SkippedItem(file, line, f"is not published but '{status}'")
    if _wp(element, "post_password"):
        return SkippedItem(file, line, "is protected by a password")
    if "post_password" in item.broken_text and next(element.iterchildren("{*}post_password"), None) is None:
        return FailedItem(file, line, "is broken, and does not say whether a password protects it")
    if status == "future" and not _dates(element):
        return SkippedItem(file, line, "is scheduled without a date")
    return None


def _dates(element: etree._Element) -> list[str]:
    """Return all candidates for the date of a post, best first; WordPress writes zeros for a missing date."""
    universal = _wp(element, "post_date_gmt")
    found = (universal and f"{universal}Z", (element.findtext("pubDate") or "").strip(), _wp(element, "post_date"))
    return [each for each in found if each and not each.startswith("0000") and "-0001" not in each]


def _authors(element: etree._Element, site: _Site) -> list[str]:
    """Return the authors: guests and co-authors as the Co-Authors Plus plug-in stores them, else the post's author."""
    logins = [
        (category.text or "").strip() or (category.get("nicename") or "").removeprefix("cap-")
        for category in element.iterchildren("category")
        if category.get("domain") == "author"
    ]
    creator = (element.findtext("{http://purl.org/dc/elements/1.1/}creator") or "").strip()
    logins = [login for login in logins if login] or ([creator] if creator else [])
    return list(dict.fromkeys(site.authors.get(login) or plain(login) for login in logins))


def _terms(element: etree._Element) -> tuple[list[str], list[str], list[str]]:
    """Return categories, tags, and the names of other taxonomies."""
    found: dict[str, dict[str, None]] = {}
    for category in element.iterchildren("category"):
        name = plain(html.unescape(category.text or ""))
        if name and category.get("nicename") != _UNCATEGORISED:
            found.setdefault(category.get("domain") or "category", {})[name] = None
    tags = found.get("post_tag", {}) | found.get("tag", {})
    categories = [name for name in found.get("category", {}) if name not in tags and name.lower() != _UNCATEGORISED]
    return categories, list(tags), [name for name in found if name not in _INTERNAL]


def _language(element: etree._Element) -> str:
    return next(
        (each.get("nicename") or "" for each in element.iterchildren("category") if each.get("domain") == "language"),
        "",
    )


def _wp(item: etree._Element, name: str) -> str:
    """Return a member of WordPress's own namespace, whose address contains the version of the format."""
    return next(("".join(map(str, child.itertext())) for child in item.iterchildren("{*}" + name)), "").strip()


def _encoded(item: etree._Element, kind: str) -> str:
    for child in item.iterchildren("{*}encoded"):
        if f"/{kind}/" in str(child.tag):
            return "".join(map(str, child.itertext()))
    return ""


def _meta(item: etree._Element, key: str) -> str:
    for meta in item.iterchildren("{*}postmeta"):
        if _wp(meta, "meta_key") == key:
            return _wp(meta, "meta_value")
    return ""

"""Reads ninjs, the IPTC's News in JSON: versions 1.3 to 3.1; one object, an array of objects, or one per line."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from newswire_ingest.importing.formats.json_documents import values
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.markup import authors_of, paragraphs, plain
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem

WITH_TEXT = ("text", "composite")
WITHOUT_TEXT = ("picture", "graphic", "audio", "video", "event", "planning", "coverage", "contact", "package")
_MAIN = ("main", None, "headline", "text", "html", "html5", "richtext", "summary")
_MARKUP_TYPES = ("text/html", "application/xhtml+xml")
_BODY = re.compile(r"(?is)<body\b[^>]*>(.*)</body>")


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read the items that contain a text."""
    for found in values(source):
        if isinstance(found, FailedItem):
            yield found
        elif wrapped := _unwrap_items(found[2]):
            for number, item in enumerate(wrapped, start=1):
                yield _article(f"{source.name} item {number}", None, item, "")
        else:
            file, line, item = found
            path = PurePath(source.relative).with_suffix("").as_posix() if file == source.name and line == 1 else ""
            yield _article(file, line, item, path)


def _unwrap_items(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items of an API response or a bundle, which are not at the top level."""
    if any(name in answer for name in ("uri", "guid", "headline", "headlines")):
        return []
    for name in ("items", "item", "_items", "results", "articles"):
        items = answer.get(name)
        if isinstance(items, list) and items and all(isinstance(item, dict) for item in items):
            return items
    return []


def _article(file: str, line: int | None, item: dict[str, Any], path: str) -> SourceItem:
    one = _lower(item)
    notes: list[str] = []
    kind, status = one.get("type"), one.get("pubstatus", "usable")
    if kind in WITHOUT_TEXT:
        return SkippedItem(file, line, f"is of type '{kind}' and contains no text")
    if status != "usable":
        return SkippedItem(file, line, f"is not published but '{status}'")
    body = _body(one)
    if kind not in WITH_TEXT and not body.strip():
        return SkippedItem(file, line, f"is of type '{kind}' and contains no text" if kind else "contains no text")
    identity = _alternative(one, "newswire:external-id") or one.get("uri") or one.get("guid")
    if not identity and path:
        identity, notes = path, ["has neither uri nor guid: its path identifies it"]
    if not identity:
        return FailedItem(file, line, "has neither uri nor guid, so it could not be recognised in the next import")
    categories, topics = _subjects(one)
    draft = {
        "title": plain(_main(one, "headlines", "headline") or str(one.get("title", ""))),
        "body": body,
        "summary": plain(_main(one, "descriptions", "description_summary") or one.get("description_text", "")),
        "authors": _authors(one),
        "category": categories[0] if categories else "",
        "topics": [*categories[1:], *topics],
        "language": one.get("language", ""),
        "published_at": [
            one[name]
            for name in ("firstpublished", "firstcreated", "contentcreated", "versioncreated")
            if one.get(name)
        ],
        "embargo_until": one.get("embargoeduntil") or one.get("embargoed"),
        "external_id": str(identity),
        "canonical_url": _alternative(one, "newswire:canonical-url"),
        "image": _image(one),
        "urgency": one.get("urgency"),
        "source_version": one.get("version"),
        "metadata": {
            name: str(one[member])
            for name, member in (
                ("slugline", "slugline"),
                ("located", "located"),
                ("copyright", "copyrightnotice"),
                ("usage_terms", "usageterms"),
            )
            if one.get(member)
        },
    }
    return SourceArticle(file, line, draft, tuple(notes), expires=one.get("expires") or one.get("expiry"))


def _lower(value: Any) -> Any:
    """Return JSON with lower-case member names, as all were before version 3."""
    if isinstance(value, dict):
        return {name.lower(): _lower(inside) for name, inside in value.items()}
    return [_lower(each) for each in value] if isinstance(value, list) else value


def _objects(item: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = item.get(name, [])
    found = list(found.values()) if isinstance(found, dict) else found
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _main(item: Mapping[str, Any], name: str, formerly: str) -> str:
    """Return the text with the main role, or the first one; in earlier versions it was a single string."""
    texts = [text for text in _objects(item, name) if isinstance(text.get("value"), str)]
    texts.sort(key=lambda text: _MAIN.index(text.get("role")) if text.get("role") in _MAIN else len(_MAIN))
    return texts[0]["value"] if texts else str(item.get(formerly) or item.get(f"{formerly}_main", ""))


def _body(item: Mapping[str, Any]) -> str:
    bodies = [body for body in _objects(item, "bodies") if isinstance(body.get("value"), str)]
    types = {str(body.get("contenttype", "")).partition(";")[0].strip().lower(): body["value"] for body in bodies}
    markup = next((types[kind] for kind in _MARKUP_TYPES if kind in types), None)
    markup = markup or item.get("body_xhtml") or item.get("body_html") or item.get("body_richtext")
    if isinstance(markup, str):
        inside = _BODY.search(markup)
        return inside[1] if inside else markup
    plain_text = types.get("text/plain") or (bodies[0]["value"] if bodies else "")
    return paragraphs(str(plain_text or item.get("body_text") or item.get("body_main", "")))


def _subjects(item: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return categories and topics."""
    subjects = _objects(item, "subjects") or _objects(item, "subject")
    named = [(subject.get("rel"), subject.get("name") or subject.get("literal")) for subject in subjects]
    categories = [str(name) for rel, name in named if rel == "category" and name]
    genres = [str(genre["name"]) for genre in _objects(item, "genres") if genre.get("name")]
    return categories or genres[:1], [str(name) for rel, name in named if rel != "category" and name]


def _authors(item: Mapping[str, Any]) -> list[str | dict[str, str]]:
    people = _objects(item, "people") or _objects(item, "person")
    writers = [person for person in people if person.get("rel") in ("author", "creator") and person.get("name")]
    if writers:
        return [
            {"name": str(person["name"]), "url": str(person["uri"])} if person.get("uri") else str(person["name"])
            for person in writers
        ]
    return list(authors_of(str(item.get("by") or item.get("byline") or "")))


def _alternative(item: Mapping[str, Any], role: str) -> str:
    return next((str(known.get("value") or "") for known in _objects(item, "altids") if known.get("role") == role), "")


def _image(item: Mapping[str, Any]) -> dict[str, Any] | None:
    for picture in _objects(item, "associations"):
        renditions = [
            rendition
            for rendition in _objects(picture, "renditions")
            if str(rendition.get("href", "")).startswith("http")
        ]
        if picture.get("type") in ("picture", "graphic") and renditions:
            widest = max(renditions, key=lambda rendition: _pixels(rendition.get("width")) or 0)
            found = {
                "url": widest["href"],
                "width": _pixels(widest.get("width")),
                "height": _pixels(widest.get("height")),
                "alt": plain(_main(picture, "headlines", "headline")),
                "caption": plain(_main(picture, "descriptions", "description_text")),
                "credit": picture.get("by") or picture.get("byline") or picture.get("copyrightholder"),
            }
            return {name: value for name, value in found.items() if value}
    return None


def _pixels(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None

"""Reads NewsML-G2: a ``newsItem``, or a ``newsMessage`` with several; the text is NITF, XHTML or plain."""

from collections.abc import Iterator
from typing import Any

from lxml import etree

from newswire_ingest.importing.formats import nitf
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.markup import authors_of, inner, is_markup, text_as_html
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.xml.document import parse
from newswire_ingest.importing.xml.safe_parser import line_of, local_name, text

NAR = "{http://iptc.org/std/nar/2006-10-01/}"
_OTHER_ITEMS = ("packageItem", "conceptItem", "knowledgeItem", "planningItem", "catalogItem")
_CATEGORY = ("category", "section")
_TEXTS = frozenset("nitf html body div article section pre".split())


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read the items that contain a text."""
    root, notes = parse(source)
    items = (
        [root] if root.tag != f"{NAR}newsMessage" else [item for part in root.iter(f"{NAR}itemSet") for item in part]
    )
    items = [item for item in items if isinstance(item.tag, str)]
    if not items:
        yield FailedItem(source.name, line_of(root), "contains no items")
    for item in items:
        name = local_name(item)
        if name == "newsItem":
            yield _article(source.name, item, notes)
            notes = ()  # these notes apply to the whole file
        elif name in _OTHER_ITEMS:
            yield SkippedItem(source.name, line_of(item), f"is a {name}, which contains no text")
        else:
            yield FailedItem(source.name, line_of(item), f"<{name}> is not a supported NewsML-G2 item")


def _article(file: str, item: etree._Element, notes: tuple[str, ...]) -> SourceItem:
    line, identity, version = line_of(item), item.get("guid", ""), item.get("version", "")
    status = _qcode(item, "itemMeta/pubStatus") or "usable"
    kind = _qcode(item, "itemMeta/itemClass") or "text"
    if kind not in ("text", "composite"):
        return SkippedItem(file, line, f"is of class '{kind}' and contains no text")
    if status != "usable":
        return SkippedItem(file, line, f"is not published but '{status}'")
    if not identity:
        return FailedItem(file, line, "has no guid, so it could not be recognised in the next import")
    if other := _other_markup(item):
        return SkippedItem(file, line, f"contains <{other}>, which is not text")
    inside = _content(item)
    if inside is None:
        return FailedItem(file, line, "contains no text: neither inline NITF or XHTML nor plain inline data")
    language = item.find(_path("contentMeta/language"))
    urgency = _text(item, "contentMeta/urgency")
    subjects = [
        (subject.get("type", "").rpartition(":")[2], _name(subject))
        for subject in item.iterfind(_path("contentMeta/subject"))
    ]
    categories = [name for kind, name in subjects if kind in _CATEGORY and name]
    draft = {
        **inside,
        "title": _text(item, "contentMeta/headline") or inside.get("title") or _text(item, "itemMeta/title"),
        "summary": _text(item, "contentMeta/description") or inside.get("summary"),
        "authors": _authors(item) or inside.get("authors"),
        "category": categories[0] if categories else inside.get("category"),
        "topics": [*categories[1:], *(name for kind, name in subjects if kind not in _CATEGORY and name)]
        or inside.get("topics"),
        "language": (language.get("tag", "") if language is not None else "")
        or item.get("{http://www.w3.org/XML/1998/namespace}lang"),
        "published_at": [
            value
            for step in ("itemMeta/firstCreated", "contentMeta/contentCreated", "itemMeta/versionCreated")
            if (value := _text(item, step))
        ],
        "embargo_until": _text(item, "itemMeta/embargoed"),
        "external_id": identity,
        "urgency": urgency or inside.get("urgency"),
        "source_version": version,
        "metadata": inside.get("metadata", {}) | _metadata(item),
    }
    return SourceArticle(
        file, line, draft, notes, expires=_text(item, "itemMeta/expires") or _text(item, "contentMeta/expires")
    )


def _content(item: etree._Element) -> dict[str, Any] | None:
    for markup in item.iterfind(_path("contentSet/inlineXML")):
        root = next((child for child in markup if isinstance(child.tag, str)), None)
        if root is None:
            continue
        name = local_name(root)
        if name == "nitf":
            return nitf.content(root)
        if name == "html":
            body = next(root.iter("{*}body"), None)
            return {"title": text(next(root.iter("{*}title"), None)), "body": inner(root if body is None else body)}
        return {"body": inner(markup)}
    for data in item.iterfind(_path("contentSet/inlineData")):
        if data.get("contenttype", "text/plain").startswith("text/plain"):
            inside = "".join(map(str, data.itertext()))
            return {"body": inside if is_markup(inside) else text_as_html(inside)}
    return None


def _other_markup(item: etree._Element) -> str:
    """Return the root of inline XML that describes events, people or places, if the item has no text."""
    roots = [
        child
        for markup in item.iterfind(_path("contentSet/inlineXML"))
        for child in markup
        if isinstance(child.tag, str)
    ]
    if not roots or any(_is_text(root) for root in roots) or item.find(_path("contentSet/inlineData")) is not None:
        return ""
    return local_name(roots[0])


def _is_text(root: etree._Element) -> bool:
    return local_name(root) in _TEXTS or next(root.iter("{*}p", "{*}P"), None) is not None


def _authors(item: etree._Element) -> list[str | dict[str, str]]:
    authors: list[str | dict[str, str]] = []
    for creator in item.iterfind(_path("contentMeta/creator")):
        if name := _name(creator):
            address = creator.get("uri", "")
            authors.append({"name": name, "url": address} if address.startswith("http") else name)
    return authors or list(authors_of(_text(item, "contentMeta/by")))


def _metadata(item: etree._Element) -> dict[str, str]:
    located = item.find(_path("contentMeta/located"))
    found = {
        "slugline": _text(item, "contentMeta/slugline"),
        "located": _name(located) if located is not None else "",
        "copyright": _text(item, "rightsInfo/copyrightNotice"),
        "usage_terms": _text(item, "rightsInfo/usageTerms"),
    }
    return {name: value for name, value in found.items() if value}


def _path(steps: str) -> str:
    return "/".join(NAR + step for step in steps.split("/"))


def _text(item: etree._Element, steps: str) -> str:
    return text(item.find(_path(steps)))


def _name(element: etree._Element) -> str:
    return text(element.find(f"{NAR}name"))


def _qcode(item: etree._Element, steps: str) -> str:
    """Return a code without the alias of its scheme, which each provider chooses."""
    found = item.find(_path(steps))
    code = "" if found is None else found.get("qcode") or found.get("uri") or ""
    return code.replace("/", ":").rpartition(":")[2]

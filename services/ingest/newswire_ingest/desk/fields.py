"""The form of a draft: its fields as texts, and the members of the draft that they stand for."""

import re
from collections.abc import Mapping

from newswire.http.forms import FormData
from newswire_ingest.drafts.content import DraftAuthorName, DraftContent, DraftImage

_TEXTS = ("title", "summary", "body", "category", "language", "canonical_url", "correction_note")
_IMAGE = ("url", "alt", "caption", "credit")
NAMES = (*_TEXTS, "authors", "topics", "urgency", "silent", *(f"image_{name}" for name in _IMAGE))
"""The fields of the form, in the order of a comparison."""
_AUTHOR = re.compile(r"(.*?)\s*<(https?://[^<>\s]+)>")
_BLANK_PARAGRAPH = re.compile(r"<p>(\s|&nbsp;|<br>)*</p>")


def fields_of(content: DraftContent) -> dict[str, str]:
    """Return the fields of a draft's form."""
    image = content.image or DraftImage()
    found = {name: getattr(content, name) or "" for name in _TEXTS}
    found["authors"] = "\n".join(f"{each.name} <{each.url}>" if each.url else each.name for each in content.authors)
    found["topics"] = ", ".join(content.topics)
    found["urgency"] = "" if content.urgency is None else str(content.urgency)
    found["silent"] = "on" if content.silent else ""
    return found | {f"image_{name}": getattr(image, name) or "" for name in _IMAGE}


def content_with(fields: FormData, base: DraftContent) -> DraftContent:
    """Return a draft's text with the fields of its form. Members without a field stay as they are.

    Raises:
        pydantic.ValidationError: a text is longer than a draft may have.
    """
    sent = {name: fields.one(name).replace("\r\n", "\n") for name in NAMES}
    members = base.model_dump(exclude_defaults=True)
    members |= {name: sent[name].strip() or None for name in _TEXTS}
    members["title"], members["body"] = sent["title"].strip(), _body(sent["body"])
    members["authors"] = [_author(line) for line in sent["authors"].split("\n") if line.strip()]
    members["topics"] = _unique(sent["topics"].replace("\n", ",").split(","))
    members["urgency"] = int(sent["urgency"]) if sent["urgency"] in set("123456789") else None
    members["silent"] = sent["silent"] == "on"
    members["image"] = _image(sent, base.image)
    return DraftContent.model_validate({name: value for name, value in members.items() if value is not None})


def _body(sent: str) -> str:
    """Return a body; one of blank paragraphs alone is none."""
    return "" if not _BLANK_PARAGRAPH.sub("", sent).strip() else sent


def _author(line: str) -> DraftAuthorName:
    found = _AUTHOR.fullmatch(line.strip())
    return DraftAuthorName(name=found[1], url=found[2]) if found else DraftAuthorName(name=line.strip())


def _unique(labels: list[str]) -> list[str]:
    return list(dict.fromkeys(label.strip() for label in labels if label.strip()))


def _image(sent: Mapping[str, str], before: DraftImage | None) -> DraftImage | None:
    """Return the lead image; its size stays known as long as its address is the same."""
    members = {name: sent[f"image_{name}"].strip() or None for name in _IMAGE}
    if not any(members.values()):
        return None
    size = before if before is not None and before.url == (members["url"] or "") else DraftImage()
    return DraftImage(
        url=members["url"] or "",
        alt=members["alt"],
        caption=members["caption"],
        credit=members["credit"],
        width=size.width,
        height=size.height,
    )

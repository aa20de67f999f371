"""Reads Newswire's own articles, one JSON object per line: the output of `newswire export`, or objects with a title and a body."""

from collections.abc import Iterator
from typing import Any

from newswire.article import Article, ArticleDraft
from newswire_ingest.importing.formats.json_documents import values
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.markup import is_markup, paragraphs
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem

SENT = frozenset(ArticleDraft.model_fields) | {"author"}
ANSWERED = frozenset({*Article.model_fields, "reading_minutes", "language_detected", "kind", "changed"}) - SENT
"""Members that the API adds to its responses, and rejects in requests."""
PUBLIC = ("published", "publish", "scheduled", "live", "public")
_OURS = {"id", "version", "status", "publisher"}


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read the lines; unknown members are omitted, and named once in a note."""
    named: set[str] = set()
    for found in values(source):
        if isinstance(found, FailedItem):
            yield found
            continue
        file, line, members = found
        unknown = sorted(members.keys() - SENT - ANSWERED - named - {"id"})
        named.update(unknown)
        notes = (f"omitted in this line and all following ones: {', '.join(unknown)}",) if unknown else ()
        yield _article(file, line, members, notes)


def _article(file: str, line: int | None, members: dict[str, Any], notes: tuple[str, ...]) -> SourceItem:
    if members.get("status") == "retracted":
        return SkippedItem(file, line, "was retracted")
    status = str(members.get("status") or "published").lower()
    if status not in PUBLIC or members.get("draft") not in (None, False) or members.get("published") is False:
        return SkippedItem(file, line, f"is not published but '{status}'" if status not in PUBLIC else "is a draft")
    draft = {name: value for name, value in members.items() if name in SENT and value is not None}
    identity = draft.get("external_id", members.get("id"))
    if identity is None or isinstance(identity, dict | list | bool):
        return FailedItem(
            file, line, "has neither external_id nor id, so it could not be recognised in the next import"
        )
    draft["external_id"] = str(identity)
    if members.get("language_detected") or draft.get("language") == "und":
        draft.pop("language", None)
    if members.get("status") != "scheduled" and "embargo_until" in draft and members.keys() >= _OURS:
        del draft["embargo_until"]
    body = draft.get("body")
    if isinstance(body, str) and not (members.keys() >= _OURS or is_markup(body)):
        draft["body"] = paragraphs(body)
    return SourceArticle(file, line, draft, notes)

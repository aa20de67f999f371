"""Converts a draft to the content members of a version document."""

import re
from typing import Any, Final

from newswire.article import ArticleDraft
from newswire.timestamps import rfc3339
from newswire_ingest.content.language import MIN_WORDS, detect
from newswire_ingest.content.sanitise import word_count
from newswire_ingest.content.sanitised_body import SanitisedBody, sanitised_body

NOT_CONTENT: Final = frozenset(("embargo_until", "embargo_lifted", "silent"))
"""Members of a draft that are instructions, not content."""
_MADE_HERE: Final = {*NOT_CONTENT, "body", "published_at"}
"""What is not stored as the draft has it."""
SENT: Final = tuple(name for name in ArticleDraft.model_fields if name not in NOT_CONTENT)
"""Members of a document that a publisher sends: these are compared to find out what a new version changes."""
WORDS_A_MINUTE = 230
_WRITTEN_WITHOUT_SPACES: Final = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")


def content(draft: ArticleDraft, body: SanitisedBody | None = None) -> dict[str, Any]:
    """Return the stored members of a draft: sanitised, with word count, and with the language detected if it is not given.

    Servers pass the ``body`` from `newswire_ingest.content.body_sanitiser`; without it, the body is sanitised here.

    Raises:
        MarkupLimitError: the structure of the body is over a limit.
    """
    body = body or sanitised_body(draft.body, draft.canonical_url)
    text = body.text
    stored = draft.model_dump(mode="json", exclude_none=True, exclude=_MADE_HERE)
    words = word_count(text)
    read_as = words if text.isascii() else words + sum(map(len, _WRITTEN_WITHOUT_SPACES.findall(text))) // 2
    if draft.language is None:
        found = detect(text) if read_as >= MIN_WORDS else None
        stored["language"] = found or "und"
        if found:
            stored["language_detected"] = True
    if draft.published_at is not None:
        stored["published_at"] = rfc3339(draft.published_at)
    minutes = -(-read_as // WORDS_A_MINUTE)
    return {**stored, "body": body.html, "text": text, "word_count": words, "reading_minutes": minutes}


def draft_members(document: dict[str, Any]) -> dict[str, Any]:
    """Return a stored document in the form of a draft, to which a merge patch is applied."""
    found = {name: document[name] for name in SENT if name in document}
    if document.get("language_detected") or found.get("language") == "und":
        found.pop("language", None)
    return found


def changed(earlier: dict[str, Any], later: dict[str, Any]) -> list[str]:
    """Return the members in which two documents differ, of those that a publisher sends."""
    return [name for name in SENT if (earlier.get(name) or None) != (later.get(name) or None)]

"""Builds what is stored: version documents, tombstones, and their events."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from unicodedata import category
from urllib.parse import quote

import orjson

from newswire.article import ArticleDraft, Status, Tombstone
from newswire.events import PUBLISHED, RETRACTED, SCHEMA_URN, ArticlePublished, ArticleRetracted, Kind, event, source
from newswire.storage.article_records import ArticleState
from newswire.text.folding import fold
from newswire.timestamps import rfc3339
from newswire_ingest.content.content import changed, content
from newswire_ingest.content.sanitised_body import SanitisedBody

MAX_SLUG_CHARS = 80
_IN_ASCII_SLUGS = re.compile("[a-z0-9]++")
_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
VERSION_SUMMARY_FIELDS = ("version", "kind", "changed", "updated_at", "correction_note")


@dataclass(frozen=True, slots=True)
class Version:
    """The version to write: the next version of an article, or version 1 of a scheduled article."""

    id: str
    number: int
    document: dict[str, Any]
    event_prefix: bytes
    """The event up to its data; the document follows."""
    due: datetime | None = None
    rewritten_labels: frozenset[str] = frozenset()
    """The labels whose spelling differs from the draft: `newswire_ingest.labels.repository.CanonicalLabels`."""
    media_files: tuple[str, ...] = ()
    """The files of its publisher's images that it shows."""
    write_token: str = field(default_factory=lambda: new_write_token())
    """Unique to this write, so that the store recognises a retried call."""

    @property
    def document_json(self) -> bytes:
        """The data of the event, and the stored document of this version."""
        return orjson.dumps(self.document)

    @property
    def about(self) -> bytes:
        """The summary of this version for lists."""
        return orjson.dumps({name: self.document[name] for name in VERSION_SUMMARY_FIELDS if name in self.document})


def is_article_id(text: str) -> bool:
    """Return whether a text has the form of an article id: a ULID in lower case."""
    return _ID.fullmatch(text) is not None


def new_write_token() -> str:
    """Return a token by which the store recognises a call that the client library retried."""
    return os.urandom(8).hex()


def fingerprint(raw: dict[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of the members as sent."""
    return hashlib.sha256(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)).hexdigest()


def due_after(draft: ArticleDraft, now: datetime) -> datetime | None:
    """Return the due time of a draft with a future embargo; None if it is published immediately."""
    return draft.embargo_until if draft.embargo_until is not None and draft.embargo_until > now else None


def next_version(
    draft: ArticleDraft,
    *,
    id_: str,
    publisher: str,
    site: str,
    now: datetime,
    traceparent: str,
    number: int = 1,
    earlier: dict[str, Any] | None = None,
    first_published: str | None = None,
    corrects: bool = False,
    body: SanitisedBody | None = None,
) -> Version:
    """Return a version of an article: the first, or the one after ``earlier`` (None if that was erased).

    With a future embargo, the time of publication is the end of the embargo.
    """
    due = due_after(draft, now)
    moment = rfc3339(due or now)
    kind = Kind.PUBLISHED if earlier is None else Kind.CORRECTED if corrects else Kind.UPDATED
    document = {
        "id": id_,
        "version": number,
        "revision": 0,
        "status": Status.PUBLISHED.value,
        "publisher": publisher,
        "url": f"{site}/articles/{id_}/{slug(draft.title)}",
        "published_at": first_published or moment,
        **content(draft, body),
        "updated_at": moment,
        "kind": kind.value,
        "silent": draft.silent,
    }
    if earlier is not None:
        document["changed"] = changed(earlier, document)
    envelope = {
        "specversion": "1.0",
        "id": f"{id_}.{number}",
        "source": source(site, publisher),
        "type": PUBLISHED,
        "subject": id_,
        "time": moment,
        "datacontenttype": "application/json",
        "dataschema": SCHEMA_URN + PUBLISHED,
        "traceparent": traceparent,
    }
    return Version(id_, number, document, orjson.dumps(envelope)[:-1] + b',"data":', due)


def tombstone(last: ArticlePublished, reason: str | None, now: datetime) -> Tombstone:
    """Return the tombstone of an article with this last version."""
    return Tombstone(
        id=last.id,
        version=last.version,
        publisher=last.publisher,
        external_id=last.external_id,
        reason=reason,
        category=last.category,
        topics=last.topics,
        authors=last.authors,
        language=last.language,
        retracted_at=now,
    )


def bare_tombstone(
    state: ArticleState, labels: tuple[str | None, list[str]], reason: str | None, now: datetime
) -> Tombstone:
    """Return the tombstone of an article whose last version cannot be read: without authors and language."""
    return Tombstone(
        id=state.id,
        version=state.version,
        publisher=state.publisher,
        external_id=state.external_id,
        reason=reason,
        category=labels[0],
        topics=labels[1],
        retracted_at=now,
    )


def retraction_event(remains: Tombstone, *, site: str, traceparent: str) -> bytes:
    """Return the event of a retraction."""
    return event(
        RETRACTED,
        ArticleRetracted.model_validate(remains.model_dump()),
        id_=f"{remains.id}.{remains.version}.retracted",
        source=source(site, remains.publisher),
        subject=remains.id,
        time=remains.retracted_at,
        traceparent=traceparent,
    ).to_json()


def slug(title: str) -> str:
    """Return a title as the readable part of an address."""
    folded = fold(title)
    if folded.isascii():
        return "-".join(_IN_ASCII_SLUGS.findall(folded))[:MAX_SLUG_CHARS].rstrip("-") or "article"
    words = "-".join("".join(sign if _in_slugs(sign) else " " for sign in folded).split())
    end = MAX_SLUG_CHARS
    while 0 < end < len(words) and _is_mark(words[end]):  # a letter is not separated from its combining marks
        end -= 1
    return quote(words[:end].rstrip("-") or "article")


def _in_slugs(sign: str) -> bool:
    return sign.isalnum() or _is_mark(sign)


def _is_mark(sign: str) -> bool:
    """Return whether a character is part of the letter before it, such as a vowel sign in Devanagari or Thai."""
    return category(sign).startswith("M")

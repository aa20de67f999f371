"""From what a publisher sent to what goes on record: the version document, the tombstone, and their events."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from newswire.article import ArticleDraft, Status, Tombstone
from newswire.events import PUBLISHED, RETRACTED, SCHEMA_ROOT, ArticlePublished, ArticleRetracted, Kind, event
from newswire.folding import fold
from newswire.problems import invalid
from newswire_ingest.sanitise import plain_text, sanitise, word_count

LONGEST_SLUG = 80
_NOT_IN_SLUGS = re.compile(r"[\W_]+")
_NOT_ANSWERED = ("text", "kind", "changed", "silent")


@dataclass(frozen=True, slots=True)
class Version:
    """A version ready to be published: what is stored, and the event up to its data, which is the document."""

    id: str
    number: int
    document: dict[str, Any]
    event_head: bytes

    @property
    def document_json(self) -> bytes:
        """The data of the event, and what is kept of this version."""
        return orjson.dumps(self.document)


def fingerprint(raw: dict[str, Any]) -> str:
    """Return the SHA-256 over the canonical JSON of the members as they were sent."""
    return hashlib.sha256(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)).hexdigest()


def first_version(
    draft: ArticleDraft, *, id_: str, publisher: str, site: str, now: datetime, traceparent: str
) -> Version:
    """Make version 1 of an article.

    Raises:
        newswire.problems.Problem: the draft asks for what cannot be done.
    """
    if draft.embargo_until is not None and draft.embargo_until > now:
        raise invalid(
            "embargo_until", "publishing later is not available yet", "leave it out and send the article when it is due"
        )
    moment = _moment(now)
    body = sanitise(draft.body)
    text = plain_text(body)
    sent = draft.model_dump(mode="json", exclude_none=True, exclude={"embargo_until", "body", "silent"})
    document = {
        "id": id_,
        "version": 1,
        "revision": 0,
        "status": Status.PUBLISHED.value,
        "publisher": publisher,
        "url": f"{site}/articles/{id_}/{slug(draft.title)}",
        "language": "und",
        "published_at": moment,
        **sent,
        "updated_at": moment,
        "body": body,
        "text": text,
        "word_count": word_count(text),
        "kind": Kind.PUBLISHED.value,
        "silent": draft.silent,
    }
    head = {
        "specversion": "1.0",
        "id": f"{id_}.1",
        "source": source(site, publisher),
        "type": PUBLISHED,
        "subject": id_,
        "time": moment,
        "datacontenttype": "application/json",
        "dataschema": SCHEMA_ROOT + PUBLISHED,
        "traceparent": traceparent,
    }
    return Version(id_, 1, document, orjson.dumps(head)[:-1] + b',"data":')


def tombstone(last: ArticlePublished, reason: str | None, now: datetime) -> Tombstone:
    """Return what remains of an article whose last version this is."""
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


def retraction_event(remains: Tombstone, *, site: str, traceparent: str) -> bytes:
    """Return the event that says that an article was withdrawn."""
    return event(
        RETRACTED,
        ArticleRetracted.model_validate(remains.model_dump()),
        id_=f"{remains.id}.{remains.version}.retracted",
        source=source(site, remains.publisher),
        subject=remains.id,
        time=remains.retracted_at,
        traceparent=traceparent,
    ).to_json()


def answer(document: dict[str, Any]) -> dict[str, Any]:
    """Return a version document as its publisher sees it."""
    return {name: value for name, value in document.items() if name not in _NOT_ANSWERED}


def slug(title: str) -> str:
    """Return a title as the readable part of an address."""
    words = _NOT_IN_SLUGS.sub("-", fold(title)).strip("-")
    return quote(words[:LONGEST_SLUG].rstrip("-") or "article")


def source(site: str, publisher: str) -> str:
    """Return the ``source`` of a publisher's events."""
    return f"{site}/publishers/{quote(publisher, safe='')}"


def utc_now() -> datetime:
    """Return the time, to the millisecond that events and records carry."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

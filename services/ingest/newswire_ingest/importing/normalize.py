"""Makes articles valid for the API: applies limits, parses dates, sets embargoes for future dates, and notes each change."""

import hashlib
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from newswire.article import FUTURE_TOLERANCE, ArticleDraft
from newswire.http.problems import field_errors
from newswire.validation.characters import clean_headline, clean_label, label_violation
from newswire.validation.fields import METADATA_LIMIT
from newswire.validation.language_tags import check_language_tag, probable_tag
from newswire.validation.web_addresses import check_web_address
from newswire_ingest.importing.dates import first_date
from newswire_ingest.importing.links import resolved, with_real_links
from newswire_ingest.importing.markup import plain
from newswire_ingest.importing.models import FailedItem, SkippedItem, SourceArticle, SourceItem
from newswire_ingest.importing.text_cleanup import remove_invalid_text, replace_windows_characters

MAX_CHARACTERS = {"title": 300, "summary": 2000, "category": 100, "correction_note": 2000}
MAX_TOPIC_CHARACTERS, MAX_NAME_CHARACTERS, MAX_ID_CHARACTERS, MAX_URL_CHARACTERS = 100, 200, 200, 2000
MAX_IMAGE_MEMBER_CHARACTERS = {"alt": 1000, "caption": 1000, "credit": 300}
MAX_LIST_ITEMS = 50
MAX_DIGITS = 20
_NUMBERS = {"urgency": range(1, 10), "source_version": range(2**53)}
GENERATED_TITLE_WORDS = 12


class HeldBackError(Exception):
    """An article must not be published; the message says why."""


def normalize(story: SourceArticle, now: datetime, *, expired: bool = False) -> SourceItem:
    """Return the article as the API accepts it, or the reason for skipping it. ``expired``: accept articles that have expired."""
    notes = list(story.notes)
    try:
        _check_availability(story, now, notes, expired=expired)
        draft = _normalize_draft(story.draft, notes, now, story.base)
        ArticleDraft.model_validate(draft)
    except HeldBackError as held:
        return SkippedItem(story.file, story.line, str(held))
    except ValidationError as error:
        wrong = list(field_errors(error.errors(include_url=False, include_input=False), ArticleDraft))
        return FailedItem(story.file, story.line, "; ".join(f"{each.field} {each.problem}" for each in wrong[:3]))
    except ValueError as error:
        return FailedItem(story.file, story.line, str(error))
    return SourceArticle(story.file, story.line, draft, tuple(dict.fromkeys(notes)))


def _check_availability(story: SourceArticle, now: datetime, notes: list[str], *, expired: bool) -> None:
    """Reject an article that its source has not published yet, or that has expired.

    Raises:
        HeldBackError: it must not be published.
    """
    if story.scheduled:
        due, _ = first_date(_as_list(story.draft.get("embargo_until")))
        if due is None:
            raise HeldBackError("was scheduled for a time that cannot be read, and is not published")
        if due.at <= now:
            raise HeldBackError("was scheduled for a time that has passed, and is not published")
    if story.expires not in (None, ""):
        end, _ = first_date([story.expires])
        if end is not None and end.at <= now:
            if not expired:
                raise HeldBackError(f"expired on {end.at:%Y-%m-%d} in its source; --expired imports it anyway")
            notes.append("has expired in its source")
            return
        notes.append(
            "expires in its source: Newswire does not retract it automatically"
            if end
            else "has an expiry date that cannot be read"
        )


def _normalize_draft(draft: dict[str, Any], notes: list[str], now: datetime, base: str) -> dict[str, Any]:
    normalized = {
        name: value if name == "external_id" else replace_windows_characters(value)
        for name, value in draft.items()
        if value not in (None, "", [], {}, ())
    }
    normalized.setdefault("body", "")
    if isinstance(normalized["body"], str):
        normalized["body"], remarks = with_real_links(normalized["body"], base)
        notes += remarks
    remove_invalid_text(normalized, notes)
    _normalize_title(normalized, notes)
    for name, limit in MAX_CHARACTERS.items():
        if isinstance(normalized.get(name), str):
            normalized[name] = _shorten(normalized[name], limit, name, notes)
    _normalize_labels(normalized, notes)
    _normalize_authors(normalized, notes)
    _normalize_addresses(normalized, notes, base)
    language = normalized.get("language")
    if isinstance(language, str):
        normalized["language"] = language = language.strip().replace("_", "-")
        try:
            check_language_tag(language)
        except PydanticCustomError:
            if meant := probable_tag(language):
                normalized["language"] = meant
            else:
                del normalized["language"]
            notes.append(
                f"language {language[:40]!r} is not a language tag: {meant} used"
                if meant
                else f"language {language[:40]!r} is not a language tag: omitted"
            )
    _normalize_dates(normalized, notes, now)
    _normalize_numbers(normalized, notes)
    _normalize_external_id(normalized, notes)
    _limit_metadata(normalized, notes)
    return normalized


def _normalize_numbers(normalized: dict[str, Any], notes: list[str]) -> None:
    """Read numbers that are written as text; what is no number, or out of range, costs the number and not the article."""
    for name, numbers in _NUMBERS.items():
        value = normalized.get(name)
        if value is None:
            continue
        written = str(value).strip()
        digits = written.removesuffix(".0") if isinstance(value, float) else written
        if len(digits) <= MAX_DIGITS and digits.isascii() and digits.isdigit() and int(digits) in numbers:
            normalized[name] = int(digits)
        else:
            del normalized[name]
            notes.append(f"{name} {written[:40]!r} is not a whole number from {numbers[0]} to {numbers[-1]:,}: omitted")


def _normalize_external_id(normalized: dict[str, Any], notes: list[str]) -> None:
    identity = normalized.get("external_id")
    if not isinstance(identity, str):
        return
    if label_violation(identity) and "\x00" not in identity:
        normalized["external_id"] = identity = clean_label(" ".join(identity.split()))
        notes.append("external_id: control characters removed")
    if len(identity) > MAX_ID_CHARACTERS:
        digest = hashlib.sha256(identity.encode(errors="replace")).hexdigest()
        normalized["external_id"] = identity[: MAX_ID_CHARACTERS - len(digest) - 1] + "-" + digest
        notes.append(f"external_id longer than {MAX_ID_CHARACTERS} characters: its end is replaced by a digest")


def _normalize_title(normalized: dict[str, Any], notes: list[str]) -> None:
    title = normalized.get("title", "")
    if isinstance(title, str) and not title.strip() and isinstance(normalized["body"], str):
        words = clean_headline(plain(normalized["body"])).split()
        if not words:
            raise ValueError("has neither title nor text")
        normalized["title"] = " ".join(words[:GENERATED_TITLE_WORDS]) + (
            " …" if len(words) > GENERATED_TITLE_WORDS else ""
        )
        notes.append("no title: the first words of the text are used")


def _shorten(text: str, limit: int, name: str, notes: list[str]) -> str:
    if len(text) <= limit:
        return text
    notes.append(f"{name} longer than {limit:,} characters: shortened")
    return text[: limit - 2].rstrip() + " …"


def _normalize_labels(normalized: dict[str, Any], notes: list[str]) -> None:
    topics = normalized.get("topics")
    if isinstance(topics, list):
        kept = [
            _shorten(topic, MAX_TOPIC_CHARACTERS, "a topic", notes)
            for topic in topics
            if isinstance(topic, str) and topic.strip()
        ]
        if len(kept) > MAX_LIST_ITEMS:
            notes.append(f"more than {MAX_LIST_ITEMS} topics: the first {MAX_LIST_ITEMS} kept")
        normalized["topics"] = kept[:MAX_LIST_ITEMS]
    if isinstance(normalized.get("category"), str) and not normalized["category"].strip():
        del normalized["category"]


def _normalize_authors(normalized: dict[str, Any], notes: list[str]) -> None:
    authors = normalized.get("authors")
    if not isinstance(authors, list):
        return
    kept: list[Any] = []
    for author in authors:
        person = {"name": author} if isinstance(author, str) else author
        if not isinstance(person, dict) or not isinstance(name := person.get("name"), str):
            kept.append(author)
        elif name.strip():
            kept.append({**person, "name": _shorten(name, MAX_NAME_CHARACTERS, "an author", notes)})
    if len(kept) > MAX_LIST_ITEMS:
        notes.append(f"more than {MAX_LIST_ITEMS} authors: the first {MAX_LIST_ITEMS} kept")
    normalized["authors"] = kept[:MAX_LIST_ITEMS]


def _normalize_dates(normalized: dict[str, Any], notes: list[str], now: datetime) -> None:
    """Parse the dates. A date in the future becomes an embargo; dates that cannot be parsed are omitted.

    Raises:
        HeldBackError: an embargo cannot be parsed, so publishing might be too early.
    """
    language = normalized.get("language") if isinstance(normalized.get("language"), str) else ""
    embargo, unread = _date(normalized.pop("embargo_until", None), language or "", notes)
    if unread and embargo is None:
        raise HeldBackError(f"is not published: {unread[0]}, and it is an embargo")
    published, unread = _date(normalized.pop("published_at", None), language or "", notes)
    instead = "the next candidate is used" if published else "published at the time of the import"
    notes += [f"{why}: {instead}" for why in unread]
    if published is not None and published > now + FUTURE_TOLERANCE:
        embargo, published = max(published, embargo or published), None
    if embargo is not None and embargo <= now:
        if published is not None and embargo > published:
            published = embargo
        embargo = None
    if not (published or embargo or unread):
        notes.append("no date: published at the time of the import")
    for name, at in (("published_at", published), ("embargo_until", embargo)):
        if at is not None:
            normalized[name] = at.isoformat().replace("+00:00", "Z")


def _date(value: Any, language: str, notes: list[str]) -> tuple[datetime | None, list[str]]:
    """Parse a date, or the first of several that can be parsed; return it and the errors of the others."""
    found, unread = first_date(_as_list(value), language)
    if found and found.remark:
        notes.append(found.remark)
    return (found.at if found else None), unread


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _normalize_addresses(normalized: dict[str, Any], notes: list[str], base: str) -> None:
    canonical = normalized.get("canonical_url")
    if isinstance(canonical, str):
        normalized["canonical_url"] = canonical = resolved(canonical, base)
        if not _is_web_address(canonical) or "@" in canonical.split("/")[2]:
            del normalized["canonical_url"]
            notes.append("canonical_url is not an http address: omitted")
    image = normalized.get("image")
    if isinstance(image, dict):
        if isinstance(image.get("url"), str):
            image = {**image, "url": resolved(image["url"], base)}
        if not _is_web_address(image.get("url")):
            del normalized["image"]
            notes.append("the image has no http address: omitted")
            return
        normalized["image"] = {
            name: _shorten(value, MAX_IMAGE_MEMBER_CHARACTERS[name], f"the image's {name}", notes)
            if name in MAX_IMAGE_MEMBER_CHARACTERS and isinstance(value, str)
            else value
            for name, value in image.items()
            if value not in (None, "")
        }


def _is_web_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and len(value) <= MAX_URL_CHARACTERS and bool(check_web_address(value))
    except PydanticCustomError:
        return False


def _limit_metadata(normalized: dict[str, Any], notes: list[str]) -> None:
    metadata = normalized.get("metadata")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        return
    kept, size = {}, 0
    for name, value in metadata.items():
        size += len(name.encode(errors="replace")) + len(value.encode(errors="replace"))
        if size > METADATA_LIMIT:
            notes.append(f"metadata of more than {METADATA_LIMIT:,} bytes: the rest omitted, from '{name[:40]}' on")
            break
        kept[name] = value
    normalized["metadata"] = kept

"""Stories made valid: every member within its limit, dates read, the future embargoed. What is changed is told."""

import hashlib
import re
from datetime import UTC, date, datetime, time
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import ValidationError

from newswire.article import FUTURE_TOLERANCE, LANGUAGE_TAG, METADATA_LIMIT, ArticleDraft
from newswire.problems import field_errors
from newswire_cli.importing.links import resolved, with_real_links
from newswire_cli.importing.markup import plain
from newswire_cli.importing.stories import Fault, Found, Skipped, Story

LONGEST = {"title": 300, "summary": 2000, "category": 100, "correction_note": 2000}
LONGEST_TOPIC, LONGEST_NAME, LONGEST_ID, LONGEST_URL, LONGEST_LANGUAGE = 100, 200, 200, 2000, 35
LONGEST_IN_IMAGE = {"alt": 1000, "caption": 1000, "credit": 300}
MOST = 50
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
WORDS_OF_A_TITLE = 12


def fit(story: Story, now: datetime) -> Found:
    """Return the story as the API takes it, or why it cannot."""
    notes = list(story.notes)
    try:
        if story.scheduled and moment(story.draft["embargo_until"]) <= now:
            return Skipped(story.file, story.line, "was scheduled for a time that is over, and is not published")
        draft = _fitted(story.draft, notes, now, story.base)
        ArticleDraft.model_validate(draft)
    except ValidationError as error:
        wrong = list(field_errors(error.errors(include_url=False, include_input=False), ArticleDraft))
        return Fault(story.file, story.line, "; ".join(f"{each.field} {each.problem}" for each in wrong[:3]))
    except ValueError as error:
        return Fault(story.file, story.line, str(error))
    return Story(story.file, story.line, draft, tuple(dict.fromkeys(notes)))


def moment(value: Any) -> datetime:
    """Read a date or date-time, as Python has it or as text by ISO 8601, RFC 3339 or RFC 5322; without an offset it is UTC.

    Raises:
        ValueError: it is none.
    """
    found = value
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            try:
                found = parsedate_to_datetime(value)
            except (ValueError, TypeError, IndexError, OverflowError):
                raise ValueError(f"the date {value[:60]!r} cannot be read") from None
    elif isinstance(value, date) and not isinstance(value, datetime):
        found = datetime.combine(value, time())
    if not isinstance(found, datetime):
        raise ValueError(f"the date {str(value)[:60]!r} cannot be read")
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"the date {str(value)[:60]!r} lies outside the years 1 to 9999") from None


def _fitted(draft: dict[str, Any], notes: list[str], now: datetime, base: str) -> dict[str, Any]:
    fitted = {name: value for name, value in draft.items() if value not in (None, "", [], {})}
    fitted.setdefault("body", "")
    if isinstance(fitted["body"], str):
        fitted["body"], remarks = with_real_links(fitted["body"], base)
        notes += remarks
    _title(fitted, notes)
    for name, limit in LONGEST.items():
        if isinstance(fitted.get(name), str):
            fitted[name] = _shortened(fitted[name], limit, name, notes)
    _labels(fitted, notes)
    _authors(fitted, notes)
    _dates(fitted, now)
    if "published_at" not in fitted and "embargo_until" not in fitted:
        notes.append("names no date: published when it is imported")
    _addresses(fitted, notes, base)
    language = fitted.get("language")
    if isinstance(language, str):
        fitted["language"] = language = language.strip().replace("_", "-")
        if len(language) > LONGEST_LANGUAGE or not re.fullmatch(LANGUAGE_TAG, language):
            del fitted["language"]
            notes.append(f"language {language[:40]!r} is no language tag: left out")
    _identity(fitted, notes)
    _metadata(fitted, notes)
    return fitted


def _identity(fitted: dict[str, Any], notes: list[str]) -> None:
    identity = fitted.get("external_id")
    if not isinstance(identity, str):
        return
    if _CONTROL.search(identity):
        fitted["external_id"] = identity = _CONTROL.sub("", " ".join(identity.split()))
        notes.append("external_id without the control characters that stood in it")
    if len(identity) > LONGEST_ID:
        digest = hashlib.sha256(identity.encode(errors="replace")).hexdigest()
        fitted["external_id"] = identity[: LONGEST_ID - len(digest) - 1] + "-" + digest
        notes.append(f"external_id longer than {LONGEST_ID} characters: its end is now a digest of it")


def _title(fitted: dict[str, Any], notes: list[str]) -> None:
    title = fitted.get("title", "")
    if isinstance(title, str) and not title.strip() and isinstance(fitted["body"], str):
        words = plain(fitted["body"]).split()
        if not words:
            raise ValueError("has neither title nor text")
        fitted["title"] = " ".join(words[:WORDS_OF_A_TITLE]) + (" …" if len(words) > WORDS_OF_A_TITLE else "")
        notes.append("without a title: its first words stand for it")


def _shortened(text: str, limit: int, name: str, notes: list[str]) -> str:
    if len(text) <= limit:
        return text
    notes.append(f"{name} longer than {limit:,} characters: shortened")
    return text[: limit - 2].rstrip() + " …"


def _labels(fitted: dict[str, Any], notes: list[str]) -> None:
    topics = fitted.get("topics")
    if isinstance(topics, list):
        kept = [
            _shortened(topic, LONGEST_TOPIC, "a topic", notes)
            for topic in topics
            if isinstance(topic, str) and topic.strip()
        ]
        if len(kept) > MOST:
            notes.append(f"more than {MOST} topics: the first {MOST} kept")
        fitted["topics"] = kept[:MOST]
    if isinstance(fitted.get("category"), str) and not fitted["category"].strip():
        del fitted["category"]


def _authors(fitted: dict[str, Any], notes: list[str]) -> None:
    authors = fitted.get("authors")
    if not isinstance(authors, list):
        return
    kept: list[Any] = []
    for author in authors:
        person = {"name": author} if isinstance(author, str) else author
        if not isinstance(person, dict) or not isinstance(name := person.get("name"), str):
            kept.append(author)
        elif name.strip():
            kept.append({**person, "name": _shortened(name, LONGEST_NAME, "an author", notes)})
    if len(kept) > MOST:
        notes.append(f"more than {MOST} authors: the first {MOST} kept")
    fitted["authors"] = kept[:MOST]


def _dates(fitted: dict[str, Any], now: datetime) -> None:
    for name in ("published_at", "embargo_until"):
        if name in fitted:
            fitted[name] = moment(fitted[name])
    published, embargo = fitted.get("published_at"), fitted.get("embargo_until")
    if published is not None and published > now + FUTURE_TOLERANCE:
        fitted["embargo_until"] = embargo = max(published, embargo or published)
        del fitted["published_at"]
    if embargo is not None and embargo <= now:
        del fitted["embargo_until"]
        if published is not None and embargo > published:
            fitted["published_at"] = embargo
    for name in ("published_at", "embargo_until"):
        if name in fitted:
            fitted[name] = fitted[name].isoformat().replace("+00:00", "Z")


def _addresses(fitted: dict[str, Any], notes: list[str], base: str) -> None:
    canonical = fitted.get("canonical_url")
    if isinstance(canonical, str):
        fitted["canonical_url"] = canonical = resolved(canonical, base)
        if not _is_address(canonical) or "@" in canonical.split("/")[2]:
            del fitted["canonical_url"]
            notes.append("canonical_url is no http address: left out")
    image = fitted.get("image")
    if isinstance(image, dict):
        if isinstance(image.get("url"), str):
            image = {**image, "url": resolved(image["url"], base)}
        if not _is_address(image.get("url")):
            del fitted["image"]
            notes.append("the image has no http address: left out")
            return
        fitted["image"] = {
            name: _shortened(value, LONGEST_IN_IMAGE[name], f"the image's {name}", notes)
            if name in LONGEST_IN_IMAGE and isinstance(value, str)
            else value
            for name, value in image.items()
            if value not in (None, "")
        }


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://")) and len(value) <= LONGEST_URL


def _metadata(fitted: dict[str, Any], notes: list[str]) -> None:
    metadata = fitted.get("metadata")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        return
    kept, size = {}, 0
    for name, value in metadata.items():
        size += len(name.encode(errors="replace")) + len(value.encode(errors="replace"))
        if size > METADATA_LIMIT:
            notes.append(f"metadata of more than {METADATA_LIMIT:,} bytes: the rest left out, from '{name[:40]}' on")
            break
        kept[name] = value
    fitted["metadata"] = kept

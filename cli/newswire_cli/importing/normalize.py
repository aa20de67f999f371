"""Stories made valid: every member within its limit, dates read, the future embargoed. What is changed is told."""

import hashlib
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from newswire.article import FUTURE_TOLERANCE, ArticleDraft
from newswire.http.problems import field_errors
from newswire.validation.characters import fit_for_label, unfit_for_label
from newswire.validation.fields import METADATA_LIMIT
from newswire.validation.language_tags import check_language_tag, probable_tag
from newswire.validation.web_addresses import check_web_address
from newswire_cli.importing.dates import first_date
from newswire_cli.importing.links import resolved, with_real_links
from newswire_cli.importing.markup import plain
from newswire_cli.importing.models import Fault, Found, Skipped, Story
from newswire_cli.importing.text_cleanup import leave_out_unfit

LONGEST = {"title": 300, "summary": 2000, "category": 100, "correction_note": 2000}
LONGEST_TOPIC, LONGEST_NAME, LONGEST_ID, LONGEST_URL = 100, 200, 200, 2000
LONGEST_IN_IMAGE = {"alt": 1000, "caption": 1000, "credit": 300}
MOST = 50
WORDS_OF_A_TITLE = 12


class HeldBackError(Exception):
    """A story must not be published; the message says why."""


def fit(story: Story, now: datetime, *, expired: bool = False) -> Found:
    """Return the story as the API takes it, or why it cannot; ``expired``: also one whose source lets it be shown no more."""
    notes = list(story.notes)
    try:
        _hold_back(story, now, notes, expired=expired)
        draft = _fitted(story.draft, notes, now, story.base)
        ArticleDraft.model_validate(draft)
    except HeldBackError as held:
        return Skipped(story.file, story.line, str(held))
    except ValidationError as error:
        wrong = list(field_errors(error.errors(include_url=False, include_input=False), ArticleDraft))
        return Fault(story.file, story.line, "; ".join(f"{each.field} {each.problem}" for each in wrong[:3]))
    except ValueError as error:
        return Fault(story.file, story.line, str(error))
    return Story(story.file, story.line, draft, tuple(dict.fromkeys(notes)))


def _hold_back(story: Story, now: datetime, notes: list[str], *, expired: bool) -> None:
    """Stop what its source had not published, or publishes no more.

    Raises:
        HeldBackError: it must not be published.
    """
    if story.scheduled:
        due, _ = first_date(_several(story.draft.get("embargo_until")))
        if due is None:
            raise HeldBackError("was scheduled for a time that cannot be read, and is not published")
        if due.at <= now:
            raise HeldBackError("was scheduled for a time that is over, and is not published")
    if story.expires not in (None, ""):
        end, _ = first_date([story.expires])
        if end is not None and end.at <= now:
            if not expired:
                raise HeldBackError(f"expired on {end.at:%Y-%m-%d} in its source; --expired imports it all the same")
            notes.append("has expired in its source")
            return
        notes.append(
            "expires in its source: retract it then, Newswire does not do so by itself"
            if end
            else "says when it expires, but not in a way that can be read"
        )


def _fitted(draft: dict[str, Any], notes: list[str], now: datetime, base: str) -> dict[str, Any]:
    fitted = {name: value for name, value in draft.items() if value not in (None, "", [], {}, ())}
    fitted.setdefault("body", "")
    if isinstance(fitted["body"], str):
        fitted["body"], remarks = with_real_links(fitted["body"], base)
        notes += remarks
    leave_out_unfit(fitted, notes)
    _title(fitted, notes)
    for name, limit in LONGEST.items():
        if isinstance(fitted.get(name), str):
            fitted[name] = _shortened(fitted[name], limit, name, notes)
    _labels(fitted, notes)
    _authors(fitted, notes)
    _addresses(fitted, notes, base)
    language = fitted.get("language")
    if isinstance(language, str):
        fitted["language"] = language = language.strip().replace("_", "-")
        try:
            check_language_tag(language)
        except PydanticCustomError:
            if meant := probable_tag(language):
                fitted["language"] = meant
            else:
                del fitted["language"]
            notes.append(f"language {language[:40]!r} is no language tag: {f'{meant} taken' if meant else 'left out'}")
    _dates(fitted, notes, now)
    _identity(fitted, notes)
    _metadata(fitted, notes)
    return fitted


def _identity(fitted: dict[str, Any], notes: list[str]) -> None:
    identity = fitted.get("external_id")
    if not isinstance(identity, str):
        return
    if unfit_for_label(identity) and "\x00" not in identity:
        fitted["external_id"] = identity = fit_for_label(" ".join(identity.split()))
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


def _dates(fitted: dict[str, Any], notes: list[str], now: datetime) -> None:
    """Read the dates. One that lies ahead is an embargo; where none can be read, the article has none.

    Raises:
        HeldBackError: an embargo cannot be read, so that publishing might be too early.
    """
    language = fitted.get("language") if isinstance(fitted.get("language"), str) else ""
    embargo, unread = _date(fitted.pop("embargo_until", None), language or "", notes)
    if unread and embargo is None:
        raise HeldBackError(f"is not published: {unread[0]}, and it is an embargo")
    published, unread = _date(fitted.pop("published_at", None), language or "", notes)
    instead = "the next best is taken" if published else "published when it is imported"
    notes += [f"{why}: {instead}" for why in unread]
    if published is not None and published > now + FUTURE_TOLERANCE:
        embargo, published = max(published, embargo or published), None
    if embargo is not None and embargo <= now:
        if published is not None and embargo > published:
            published = embargo
        embargo = None
    if not (published or embargo or unread):
        notes.append("names no date: published when it is imported")
    for name, at in (("published_at", published), ("embargo_until", embargo)):
        if at is not None:
            fitted[name] = at.isoformat().replace("+00:00", "Z")


def _date(value: Any, language: str, notes: list[str]) -> tuple[datetime | None, list[str]]:
    """Read a date, or the first of several that can be read; return it and what could not be read."""
    found, unread = first_date(_several(value), language)
    if found and found.remark:
        notes.append(found.remark)
    return (found.at if found else None), unread


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


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
    try:
        return isinstance(value, str) and len(value) <= LONGEST_URL and bool(check_web_address(value))
    except PydanticCustomError:
        return False


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

"""Builds the next version of an article from a draft and the current state, and checks which changes are allowed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from newswire.article import ArticleDraft, Status
from newswire.media import ArticleImage
from newswire.storage.article_records import ArticleState
from newswire.timestamps import rfc3339
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.embargo import embargo_passed, has_invalid_embargo, held, invalid_embargo
from newswire_ingest.articles.errors import InvalidDraftError, InvalidMemberError, OlderVersionError, RetractedError
from newswire_ingest.articles.patch import patched
from newswire_ingest.articles.publishing import Version, next_version
from newswire_ingest.content.body_sanitiser import sanitise_body
from newswire_ingest.content.content import changed, draft_members
from newswire_ingest.content.sanitised_body import SanitisedBody
from newswire_ingest.labels.repository import Labels, Lookup

FindImages = Callable[[str, Sequence[str]], Awaitable[dict[str, ArticleImage]]]
"""Returns the images of an account whose addresses occur in texts, by their files."""


class VersionBuilder:
    """Builds the versions of articles, with labels in the spelling of their account."""

    def __init__(self, labels: Labels, site: str, images: FindImages) -> None:
        self._labels = labels
        self._site = site
        self._find_images = images

    async def first(
        self,
        draft: ArticleDraft,
        body: SanitisedBody,
        *,
        id_: str,
        publisher: str,
        trace: str,
        now: datetime,
        lookup: Lookup = "missing",
    ) -> Version:
        """Return the first version of an article. ``lookup``: where the spellings of its labels are looked up."""
        canonical = await self._labels.canonicalize_labels(draft, publisher, lookup)
        version = next_version(
            canonical.draft,
            id_=id_,
            publisher=publisher,
            site=self._site,
            now=now,
            traceparent=trace,
            body=body,
        )
        return await self._with_images(_rewriting(version, canonical.rewritten_labels))

    async def next(
        self, found: StoredArticle, draft: ArticleDraft, trace: str, now: datetime, corrects: bool | None = None
    ) -> tuple[Version, bool]:
        """Return the version that follows the current state, and whether it differs from it."""
        state = found.state
        canonical = await self._labels.canonicalize_labels(draft, state.publisher)
        document = orjson.loads(found.document) if found.document is not None else None
        version = next_version(
            canonical.draft,
            id_=state.id,
            publisher=state.publisher,
            site=self._site,
            now=now,
            traceparent=trace,
            number=state.version + 1,
            earlier=document if state.version else None,
            first_published=state.published_at if state.version else None,
            corrects=bool(canonical.draft.correction_note) if corrects is None else corrects,
            body=await sanitised(canonical.draft),
        )
        version = await self._with_images(_rewriting(version, canonical.rewritten_labels))
        return version, document is None or not _is_unchanged(version, document, state)

    async def _with_images(self, version: Version) -> Version:
        """Return a version with what readers' pages need of its images, if this installation stores them."""
        document = version.document
        texts = [document["body"], (document.get("image") or {}).get("url", "")]
        images = await self._find_images(document["publisher"], texts)
        if not images:
            return version
        described = [image.model_dump() for image in images.values()]
        return replace(version, document={**document, "media": described}, media_files=tuple(images))

    async def refresh_labels(self, draft: ArticleDraft, publisher: str) -> None:
        """Read the spellings of a draft's labels again, after a conflict."""
        await self._labels.canonicalize_labels(draft, publisher, "all")


def _rewriting(version: Version, labels: frozenset[str]) -> Version:
    return replace(version, rewritten_labels=labels) if labels else version


async def sanitised(draft: ArticleDraft) -> SanitisedBody:
    """Return the sanitised body of a draft.

    Raises:
        newswire_ingest.content.markup_limits.MarkupLimitError: it has too much markup.
        newswire.concurrency.offload.OffloadError: there is no capacity.
    """
    return await sanitise_body(draft.body, draft.canonical_url)


def patched_draft(found: StoredArticle, patch: dict[str, Any]) -> ArticleDraft:
    """Return the draft that a merge patch makes of an article (RFC 7396).

    Raises:
        RetractedError: there is nothing to patch.
        InvalidDraftError: the result is not valid.
    """
    state = found.state
    if found.document is None:
        raise RetractedError("it cannot be patched; PUT the whole article to publish it again")
    members = draft_members(orjson.loads(found.document))
    if state.embargo_until is not None:
        members["embargo_until"] = state.embargo_until
    if state.version or members["published_at"] == state.embargo_until:
        del members["published_at"]  # unless the patch sets it, it is kept or follows the embargo
    try:
        return ArticleDraft.model_validate(patched(members, patch))
    except ValidationError as error:
        raise InvalidDraftError(error) from None


def with_kept_members(draft: ArticleDraft, state: ArticleState, now: datetime) -> ArticleDraft:
    """Return a draft with the members that an article keeps when its publisher does not send them.

    Raises:
        newswire_ingest.articles.errors.ArticleError: the change is not allowed.
    """
    if state.external_id is not None and draft.external_id not in (None, state.external_id):
        raise InvalidMemberError(
            "external_id",
            f"is '{state.external_id}' and cannot be changed",
            "omit it, or publish another article",
        )
    if state.version > 0 and draft.embargo_until is not None and draft.embargo_until > now:
        raise InvalidMemberError("embargo_until", "the article was published before", "omit it, or retract the article")
    if state.held is not None and embargo_passed(draft, now):
        raise held()
    is_new = draft.embargo_until is not None and rfc3339(draft.embargo_until) != state.embargo_until
    if state.status is not Status.PUBLISHED and is_new and has_invalid_embargo(draft, now):
        raise invalid_embargo(draft)
    stored = state.source_version
    if stored is not None and draft.source_version is not None and draft.source_version < stored:
        raise OlderVersionError(draft.source_version, stored)
    return draft.model_copy(
        update={
            "external_id": state.external_id if draft.external_id is None else draft.external_id,
            "source_version": stored if draft.source_version is None else draft.source_version,
        }
    )


def _is_unchanged(version: Version, document: dict[str, Any], state: ArticleState) -> bool:
    if state.status is Status.PUBLISHED:
        return not version.document["changed"]
    due = rfc3339(version.due) if version.due is not None else None
    same_silent = document["silent"] == version.document["silent"]
    return due == state.embargo_until and same_silent and not changed(document, version.document)

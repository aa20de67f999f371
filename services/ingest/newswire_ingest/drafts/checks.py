"""Remarks on a draft before it is published. None of them prevents an act: what must not be published, the act itself refuses."""

import asyncio
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from typing import Literal
from urllib.parse import urlsplit

from newswire.article import Status
from newswire.concurrency.offload import Offload
from newswire.storage.article_records import stored_title
from newswire.text.folding import fold
from newswire_ingest.articles.errors import InvalidDraftError
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.drafts.content import DraftContent, article_draft
from newswire_ingest.drafts.models import Draft
from newswire_ingest.drafts.refusals import Refusal, refusals_of

Level = Literal["error", "warning"]
MAX_HEADLINE_CHARS = 110
"""Search engines cut longer headlines."""
COMPARED_ARTICLES = 50
"""The newest articles of the account, with which the title is compared."""
_SIMILAR = 0.8
_INLINE_CHARACTERS = 16 * 1024
_pool = Offload("check")


@dataclass(frozen=True, slots=True)
class DraftRemark:
    """A remark: what it is about, the member, and the words. An act refuses a draft with an ``error``."""

    code: str
    member: str
    level: Level
    detail: str
    refusal: Refusal | None = None
    """The mistake, of a remark that says that a member is invalid."""


class DraftChecker:
    """Makes remarks on drafts."""

    def __init__(self, articles: ArticleStore) -> None:
        self._articles = articles

    async def check(self, draft: Draft, body: str) -> list[DraftRemark]:
        """Return the remarks on a draft with this sanitised body.

        Raises:
            newswire.concurrency.offload.OffloadError: there is no capacity.
        """
        found = [*_refusals(draft.content), *_on_members(draft.content)]
        if len(body) <= _INLINE_CHARACTERS:
            found += on_body(body)
        else:
            found += await _pool.run(lambda _: on_body(body))
        return [*found, *await self._duplicates(draft)]

    async def _duplicates(self, draft: Draft) -> list[DraftRemark]:
        """Return a remark if one of the newest articles of the account has nearly the same title."""
        words = _words(draft.content.title)
        if not words:
            return []
        own = draft.article.id if draft.article else None
        ids = await self._articles.list_articles(
            draft.account, [Status.PUBLISHED, Status.SCHEDULED], None, COMPARED_ARTICLES
        )
        for article_id in ids:
            if article_id == own:
                continue
            title = await self._title(article_id)
            if title and _similarity(words, _words(title)) >= _SIMILAR:
                return [_warning("duplicate", "title", f"an article has nearly the same title: {title} ({article_id})")]
            await asyncio.sleep(0)
        return []

    async def _title(self, article_id: str) -> str | None:
        stored = await self._articles.packed_document(article_id)
        return None if stored is None else stored_title(stored)


@dataclass
class _Outline(HTMLParser):
    """Collects images, headings and links of a sanitised body."""

    images_without_alt: int = 0
    headings: list[int] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one tag."""
        attributes = dict(attrs)
        if tag == "img" and not (attributes.get("alt") or "").strip():
            self.images_without_alt += 1
        elif tag in ("h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        elif tag == "a":
            self.links.append(attributes.get("href") or "")


def on_body(body: str) -> list[DraftRemark]:
    """Return the remarks on a sanitised body."""
    outline = _Outline()
    outline.feed(body)
    found = []
    if outline.images_without_alt:
        detail = f"{outline.images_without_alt} images in the text have no alternative text"
        found.append(_warning("missing_alt", "body", detail))
    levels = [1, *outline.headings]
    if any(later > before + 1 for before, later in pairwise(levels)):
        found.append(_warning("heading_order", "body", "a heading skips a level, so the outline has a gap"))
    broken = [link for link in outline.links if not _is_link(link)]
    if broken:
        found.append(_warning("broken_link", "body", f"{len(broken)} links lead nowhere, such as '{broken[0][:100]}'"))
    return found


def _refusals(content: DraftContent) -> list[DraftRemark]:
    """Return an error for each member with which the draft would be refused."""
    try:
        article_draft(content, correction_note=None)
    except InvalidDraftError as error:
        return [
            DraftRemark("invalid", each.member, "error", f"{each.member}: {each.message}", each)
            for each in refusals_of(error)
        ]
    return []


def _on_members(content: DraftContent) -> list[DraftRemark]:
    found = []
    if len(content.title) > MAX_HEADLINE_CHARS:
        detail = f"the headline has {len(content.title)} characters; search engines cut it after {MAX_HEADLINE_CHARS}"
        found.append(_warning("long_headline", "title", detail))
    if not content.body.strip():
        found.append(_warning("missing_body", "body", "there is no text"))
    if not (content.category or "").strip():
        found.append(_warning("missing_category", "category", "there is no category, so the article is in no section"))
    if not (content.summary or "").strip():
        found.append(_warning("missing_summary", "summary", "there is no summary for lists, feeds and mails"))
    if content.image is not None and content.image.url and not (content.image.alt or "").strip():
        found.append(_warning("missing_image_alt", "image.alt", "the lead image has no alternative text"))
    return found


def _is_link(link: str) -> bool:
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "mailto":
        return "@" in parts.path
    return parts.scheme in ("http", "https") and ("." in host.strip(".") or host == "localhost" or ":" in host)


def _words(title: str) -> frozenset[str]:
    return frozenset("".join(sign if sign.isalnum() else " " for sign in fold(title)).split())


def _similarity(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0


def _warning(code: str, member: str, detail: str) -> DraftRemark:
    return DraftRemark(code, member, "warning", detail)

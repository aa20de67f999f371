"""Work on drafts: create, find, list, save, restore, discard and recover them. Nothing of it publishes anything."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ulid import ULID

from newswire.observability import audit
from newswire.observability.audit import Act
from newswire_ingest.articles.errors import ArticleBusyError, ArticleNotFoundError, KeyRevokedError, RetractedError
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.drafts.article_links import ArticleLinks
from newswire_ingest.drafts.content import (
    MAX_CONTENT_BYTES,
    DraftContent,
    content_of_article,
    parse_content,
    to_json,
)
from newswire_ingest.drafts.errors import (
    DraftConflictError,
    DraftDiscardedError,
    DraftNotDiscardedError,
    DraftNotFoundError,
    DraftTooLargeError,
    TooManyDraftsError,
)
from newswire_ingest.drafts.history import HistoryLimits, NewHistory, with_revision
from newswire_ingest.drafts.models import (
    Draft,
    DraftActor,
    DraftPage,
    DraftRevision,
    Revision,
    RevisionKind,
)
from newswire_ingest.drafts.records import StoredDraft
from newswire_ingest.drafts.repository import DraftStore, DraftWrite, packed
from newswire_ingest.drafts.selection import DraftSelection, matches, parse_position, position
from newswire_ingest.drafts.views import full_view, summary
from newswire_ingest.limits.limits import Limits

MAX_ATTEMPTS = 20
"""How often a change is attempted while other requests change the draft."""
MAX_SCANNED = 2000
"""Drafts read for one page; a list that selects few of them continues with the next page."""


@dataclass(frozen=True, slots=True)
class DraftRules:
    """The history of drafts, and how long a discarded one can be recovered."""

    history: HistoryLimits
    recoverable: timedelta


class DraftEditing:
    """Works on the drafts of all accounts. Every method takes the account whose drafts it may touch."""

    def __init__(
        self,
        store: DraftStore,
        articles: ArticleStore,
        limits: Limits,
        rules: DraftRules,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._articles = articles
        self._links = ArticleLinks(articles, store)
        self._limits = limits
        self._rules = rules
        self._clock = clock

    async def create(
        self, account: str, actor: DraftActor, content: DraftContent | None = None, article_id: str | None = None
    ) -> Draft:
        """Create a draft of a new article, or of a change of an existing one; without content, with the text of the article.

        An article has one draft: without content, the one that exists is returned.

        Raises:
            newswire_ingest.articles.errors.ArticleNotFoundError: the account has no such article.
            newswire_ingest.articles.errors.RetractedError: the article has no text, and none was sent.
        """
        based_on = None
        if article_id is not None:
            if content is None and (known := await self._store.draft_of_article(account, article_id)):
                return await self.find(account, known)
            content, based_on = await self._text_of(account, article_id, content)
        now, draft_id = self._clock(), f"dft_{str(ULID()).lower()}"
        blank = StoredDraft(
            draft_id, account, "", now, actor.author, now, actor.author, article=article_id, based_on=based_on
        )
        text = _checked(content or DraftContent())
        after, added = self._with_text(blank, text, actor, RevisionKind.CREATED, now)
        entry = self._entry(actor, Act.DRAFT_CREATED, draft_id, article=article_id)
        await self._write(DraftWrite(None, after, actor.audit, packed(text), added.dropped, entry))
        return await self.find(account, draft_id)

    async def find(self, account: str, draft_id: str) -> Draft:
        """Return a draft.

        Raises:
            DraftNotFoundError: the account has no such draft.
        """
        stored, text = await self._read(account, draft_id)
        return await self.view(stored, text)

    async def save(
        self, account: str, draft_id: str, content: DraftContent, *, revision: int, actor: DraftActor
    ) -> Draft:
        """Save a text that is based on a revision. The same text again changes nothing, so a request can be repeated.

        Raises:
            DraftConflictError: the draft has another revision; the text is kept as a revision that is not current.
        """
        text = _checked(content)
        for _ in range(MAX_ATTEMPTS):
            stored, current = await self.changeable(account, draft_id)
            if current == text:
                return await self.view(stored, current)
            if stored.revision == revision:
                if await self._add(stored, text, actor, RevisionKind.SAVED, Act.DRAFT_SAVED):
                    return await self.find(account, draft_id)
                continue
            kept = _known(stored, text)
            if kept is None:
                if not await self._add(stored, text, actor, RevisionKind.CONFLICT, Act.DRAFT_SAVED):
                    continue
                kept = stored.sequence + 1
            raise DraftConflictError(await self.view(stored, current), kept)
        raise ArticleBusyError("other requests keep changing the draft; repeat the request")

    async def revisions(self, account: str, draft_id: str) -> list[DraftRevision]:
        """Return the history of a draft, newest first."""
        stored, _ = await self._read(account, draft_id)
        published = stored.done.revision if stored.done else None
        return [
            DraftRevision(
                each.number,
                each.saved_at,
                each.by,
                each.kind,
                each.title,
                is_current=each.number == stored.revision,
                is_published=each.number == published,
            )
            for each in sorted(stored.history, key=lambda each: -each.number)
        ]

    async def revision(self, account: str, draft_id: str, number: int) -> DraftContent:
        """Return the text of one revision.

        Raises:
            DraftNotFoundError: there is no such revision, or it was dropped from the history.
        """
        await self._read(account, draft_id)
        found = await self._store.read(draft_id, number)
        if found is None or found[1] is None:
            raise DraftNotFoundError("revision of this draft")
        return parse_content(found[1])

    async def restore(self, account: str, draft_id: str, number: int, *, revision: int, actor: DraftActor) -> Draft:
        """Give a draft the text of an earlier revision, as a new revision. It publishes nothing.

        Raises:
            DraftConflictError: the draft has another revision than the one named.
        """
        text = to_json(await self.revision(account, draft_id, number))
        for _ in range(MAX_ATTEMPTS):
            stored, current = await self.changeable(account, draft_id)
            if current == text:
                return await self.view(stored, current)
            if stored.revision != revision:
                raise DraftConflictError(await self.view(stored, current))
            if await self._add(stored, text, actor, RevisionKind.RESTORED, Act.DRAFT_RESTORED):
                return await self.find(account, draft_id)
        raise ArticleBusyError("other requests keep changing the draft; repeat the request")

    async def discard(self, account: str, draft_id: str, *, actor: DraftActor) -> Draft:
        """Discard a draft. Its article stays as it is; the draft can be recovered for some time."""
        return await self._set_discarded(account, draft_id, actor, discarded=True)

    async def recover(self, account: str, draft_id: str, *, actor: DraftActor) -> Draft:
        """Recover a discarded draft."""
        return await self._set_discarded(account, draft_id, actor, discarded=False)

    async def erase(self, account: str, draft_id: str, *, actor: DraftActor) -> None:
        """Erase a discarded draft with all its revisions.

        Raises:
            DraftNotDiscardedError: it is not discarded.
        """
        for _ in range(MAX_ATTEMPTS):
            stored, _text = await self._read(account, draft_id)
            if stored.discarded_at is None:
                raise DraftNotDiscardedError
            if await self._store.erase(stored, self._entry(actor, Act.DRAFT_ERASED, draft_id)):
                return
        raise ArticleBusyError("other requests keep changing the draft; repeat the request")

    async def list(
        self, account: str, selection: DraftSelection | None = None, *, cursor: str | None = None, limit: int = 50
    ) -> DraftPage:
        """Return drafts, those changed last first. A draft that is changed while pages are read moves to the front."""
        chosen, after = selection or DraftSelection(), parse_position(cursor)
        page = DraftPage([], None)
        scanned = 0
        while found := await self._store.page(account, after):
            states = await self._links.states([stored for stored, _ in found])
            for stored, changed in found:
                listed = summary(stored, states.get(stored.article or ""), self._rules.recoverable)
                if matches(listed, chosen):
                    if len(page.drafts) == limit:
                        return replace(page, next_cursor=position(after)) if after else page
                    page.drafts.append(listed)
                after = changed, stored.id
            scanned += len(found)
            if scanned >= MAX_SCANNED:
                return replace(page, next_cursor=position(after)) if after else page
        return page

    async def changeable(self, account: str, draft_id: str) -> tuple[StoredDraft, bytes | None]:
        """Return a draft as it is stored, with its text.

        Raises:
            DraftNotFoundError: the account has no such draft.
            DraftDiscardedError: it is discarded.
        """
        stored, text = await self._read(account, draft_id)
        if stored.discarded_at is not None:
            raise DraftDiscardedError
        return stored, text

    async def view(self, stored: StoredDraft, text: bytes | None) -> Draft:
        """Return a draft as people and programs see it, with the state of its article."""
        states = await self._links.states([stored])
        return full_view(stored, text, states.get(stored.article or ""), self._rules.recoverable)

    async def _set_discarded(self, account: str, draft_id: str, actor: DraftActor, *, discarded: bool) -> Draft:
        act = Act.DRAFT_DISCARDED if discarded else Act.DRAFT_RECOVERED
        for _ in range(MAX_ATTEMPTS):
            stored, text = await self._read(account, draft_id)
            if (stored.discarded_at is not None) == discarded:
                return await self.view(stored, text)
            after = replace(stored, stamp=stored.stamp + 1, discarded_at=self._clock() if discarded else None)
            entry, recovered = self._entry(actor, act, draft_id), None if discarded else text
            if await self._write(DraftWrite(stored, after, actor.audit, entry=entry, recovered=recovered)):
                return await self.find(account, draft_id)
        raise ArticleBusyError("other requests keep changing the draft; repeat the request")

    async def _read(self, account: str, draft_id: str) -> tuple[StoredDraft, bytes | None]:
        """Return a draft of the account, in line with its article."""
        while True:
            found = await self._store.read(draft_id)
            if found is None or found[0].account != account:
                raise DraftNotFoundError
            if not await self._links.settle(found[0]):
                return found

    async def _text_of(self, account: str, article_id: str, content: DraftContent | None) -> tuple[DraftContent, str]:
        found = await self._links.find(account, article_id)
        if found is None:
            raise ArticleNotFoundError
        state, document = found.state, found.document
        if content is None and document is None:
            raise RetractedError("its text is erased; send the text of the draft")
        return content or content_of_article(state, document or b""), state.revision_tag

    async def _add(self, stored: StoredDraft, text: bytes, actor: DraftActor, kind: RevisionKind, act: Act) -> bool:
        """Add a revision; return whether nothing else was written first. Only the first one of a series has an audit entry."""
        after, added = self._with_text(stored, text, actor, kind, self._clock())
        entry = b""
        if added.is_new:
            is_conflict = True if kind is RevisionKind.CONFLICT else None
            entry = self._entry(actor, act, stored.id, revision=after.sequence, conflict=is_conflict)
        return await self._write(DraftWrite(stored, after, actor.audit, packed(text), added.dropped, entry))

    def _with_text(
        self, stored: StoredDraft, text: bytes, actor: DraftActor, kind: RevisionKind, now: datetime
    ) -> tuple[StoredDraft, NewHistory]:
        number = stored.sequence + 1
        current = stored.revision if kind is RevisionKind.CONFLICT else number
        title = parse_content(text).title
        new = Revision(number, now, now, actor.author, kind, title, _digest(text), len(packed(text)))
        kept = frozenset(done.revision for done in (stored.done, stored.pending) if done)
        added = with_revision(stored.history, new, self._rules.history, current=current, kept=kept)
        after = replace(stored, stamp=stored.stamp + 1, sequence=number, revision=current, history=added.revisions)
        if kind is not RevisionKind.CONFLICT:
            after = replace(after, title=title, updated_at=now, updated_by=actor.author)
        return after, added

    async def _write(self, change: DraftWrite) -> bool:
        """Write a change; return whether it was written, and not another one first."""
        if change.text is not None:
            self._limits.check_memory()
        match await self._store.write(change):
            case "OK":
                return True
            case "STALE":
                return False
            case "BARRED":
                raise KeyRevokedError
            case "TOO_MANY":
                raise TooManyDraftsError("the account has as many drafts as it may have; discard and erase some")
            case _:
                raise TooManyDraftsError("the drafts of the account take as much space as they may; erase some")

    def _entry(self, actor: DraftActor, act: Act, draft_id: str, **details: object) -> bytes:
        return audit.new_entry(actor.audit, act, "draft", draft_id, **details)


def _checked(content: DraftContent) -> bytes:
    text = to_json(content)
    if len(text) > MAX_CONTENT_BYTES:
        raise DraftTooLargeError(MAX_CONTENT_BYTES)
    return text


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:32]


def _known(stored: StoredDraft, text: bytes) -> int | None:
    """Return the revision that has this text, if there is one."""
    digest = _digest(text)
    return next((each.number for each in reversed(stored.history) if each.digest == digest), None)

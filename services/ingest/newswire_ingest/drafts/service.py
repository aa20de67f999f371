"""The application service of drafts: everything that people and programs do with them.

Saving publishes nothing; each of the five acts does one thing, once, with the text that its caller saw.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from redis.asyncio import Redis

from newswire.article import ArticleDraft
from newswire.auth.accounts import find_account
from newswire.auth.credentials import Caller, Scope
from newswire.keys import Keyspace
from newswire.observability import tracing
from newswire.preconditions import Preconditions, etag
from newswire.timestamps import rfc3339
from newswire_ingest.articles.errors import ArticleBusyError, InvalidMemberError, KeyRevokedError
from newswire_ingest.articles.models import StoredArticle, WriteCommand, WriteResult
from newswire_ingest.articles.publishing import fingerprint
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.articles.write_context import IdempotencyScope
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.drafts.acts import ActRequest, DraftActs
from newswire_ingest.drafts.checks import DraftChecker, DraftRemark
from newswire_ingest.drafts.content import DraftContent, article_draft, due_instructions
from newswire_ingest.drafts.editing import MAX_ATTEMPTS, DraftEditing, DraftRules
from newswire_ingest.drafts.errors import DraftConflictError
from newswire_ingest.drafts.models import Draft, DraftAct, DraftActor
from newswire_ingest.drafts.preview import preview_article, preview_body
from newswire_ingest.drafts.repository import DraftStore
from newswire_ingest.limits.limits import Limits

MakeOfContent = Callable[[DraftContent, StoredArticle | None], Awaitable[ArticleDraft]]
"""Makes the article of an act, from the text of the draft and the present article."""


@dataclass(frozen=True, slots=True)
class PublicationTime:
    """When a draft is to be published: ``zone`` and ``local`` as the person chose them.

    ``past_is_meant``: at once, if the time has passed.
    """

    utc: datetime
    zone: str | None = None
    local: str | None = None
    past_is_meant: bool = False


class DraftService(DraftEditing):
    """Works on drafts, and publishes them."""

    def __init__(
        self,
        store: DraftStore,
        article_store: ArticleStore,
        articles: ArticleService,
        limits: Limits,
        rules: DraftRules,
        redis: "Redis",
        keys: Keyspace,
        site: str,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(store, article_store, limits, rules, clock)
        self._article_service = articles
        self._acts = DraftActs(store, self._links, articles, clock)
        self._redis = redis
        self._keys = keys
        self._site = site
        self._checker = DraftChecker(article_store)

    async def check(self, draft: Draft, body: str | None = None) -> list[DraftRemark]:
        """Return remarks on a draft before it is published. ``body``: its sanitised body, if that was made already."""
        try:
            body = (await preview_body(draft)).html if body is None else body
        except MarkupLimitError as error:
            return [DraftRemark("invalid", "body", "error", f"body: {error.problem}; {error.fix}")]
        return await self._checker.check(draft, body)

    async def preview(self, draft: Draft) -> dict[str, Any]:
        """Return the finished article that a draft would become; members that are not valid yet are left out."""
        return await preview_article(draft, self._site, self._clock())

    async def publish(
        self, account: str, draft_id: str, *, revision: int, actor: DraftActor, article_revision: str | None = None
    ) -> WriteResult:
        """Publish a draft now: a new article, one that is scheduled, or again one that was retracted.

        Raises:
            newswire_ingest.drafts.errors.DraftError: the draft or its article is not as its caller saw it.
            newswire_ingest.articles.errors.ArticleError: the article is refused.
        """

        async def make(content: DraftContent, _: StoredArticle | None) -> ArticleDraft:
            return article_draft(content, correction_note=None)

        return await self._act(account, draft_id, revision, DraftAct.PUBLISH, actor, make, article_revision)

    async def schedule(
        self,
        account: str,
        draft_id: str,
        *,
        revision: int,
        actor: DraftActor,
        at: PublicationTime | None = None,
        article_revision: str | None = None,
    ) -> WriteResult:
        """Schedule a draft, or change a scheduled article: its text, its time, or both. Without a time, it keeps its own.

        Raises:
            newswire_ingest.articles.errors.InvalidMemberError: the time has passed, and its caller did not say that this is meant.
            newswire_ingest.drafts.errors.DraftError: the draft or its article is not as its caller saw it.
        """

        async def make(content: DraftContent, article: StoredArticle | None) -> ArticleDraft:
            due = at.utc if at else _present_time(article)
            now = await self._articles.time()
            if due <= now and not (at and at.past_is_meant):
                raise InvalidMemberError(
                    "at",
                    f"has passed: it is {rfc3339(due)}, and the article would be published at once",
                    "send a later time, or 'past_is_meant': true to publish now",
                )
            return article_draft(content, correction_note=None, **due_instructions(due, lifted=due <= now))

        return await self._act(account, draft_id, revision, DraftAct.SCHEDULE, actor, make, article_revision, at=at)

    async def update(
        self, account: str, draft_id: str, *, revision: int, actor: DraftActor, article_revision: str | None = None
    ) -> WriteResult:
        """Replace the text of the published article, without a correction note; a note that it has stays."""

        async def make(content: DraftContent, article: StoredArticle | None) -> ArticleDraft:
            present = orjson.loads(article.document) if article and article.document else {}
            return article_draft(content, correction_note=present.get("correction_note"))

        return await self._act(account, draft_id, revision, DraftAct.UPDATE, actor, make, article_revision)

    async def correct(
        self,
        account: str,
        draft_id: str,
        *,
        revision: int,
        actor: DraftActor,
        correction_note: str | None = None,
        article_revision: str | None = None,
    ) -> WriteResult:
        """Replace the text of the published article, with a note that says what was wrong; by default that of the draft."""

        async def make(content: DraftContent, _: StoredArticle | None) -> ArticleDraft:
            note = correction_note or content.correction_note
            if not note or not note.strip():
                raise InvalidMemberError("correction_note", "is missing", "say what was wrong, and what is right")
            return article_draft(content, correction_note=note)

        return await self._act(
            account, draft_id, revision, DraftAct.CORRECT, actor, make, article_revision, correction_note
        )

    async def retract(
        self, account: str, article_id: str, *, revision: str, actor: DraftActor, reason: str | None = None
    ) -> WriteResult:
        """Retract an article, or cancel it if it is scheduled. ``revision`` is the state of the article that the person saw.

        Its draft stays, for the next attempt.

        Raises:
            newswire.preconditions.PreconditionError: the article is in another state.
            newswire_ingest.articles.errors.ArticleError: it is refused.
        """
        caller = await self._caller(account, actor)
        content = {"article": article_id, "revision": revision, "reason": reason}
        command = WriteCommand(
            caller,
            fingerprint(content),
            tracing.traceparent(None),
            IdempotencyScope(account, "RETRACT", article_id, revision),
            Preconditions(frozenset({etag(revision)})),
            actor=actor.audit,
        )
        return await self._article_service.withdraw(partial(self._article_service.find, article_id), reason, command)

    async def _act(
        self,
        account: str,
        draft_id: str,
        revision: int,
        act: DraftAct,
        actor: DraftActor,
        make: MakeOfContent,
        article_revision: str | None,
        *parameters: str | None,
        at: PublicationTime | None = None,
    ) -> WriteResult:
        self._limits.check_memory()
        caller = await self._caller(account, actor)
        if at is not None:
            parameters = (*parameters, at.utc.isoformat(), str(at.past_is_meant))
        for _ in range(MAX_ATTEMPTS):
            stored, text = await self._changeable(account, draft_id)
            draft = await self._view(stored, text)
            if stored.revision != revision:
                raise DraftConflictError(draft)
            request = ActRequest(
                act,
                actor,
                partial(make, draft.content),
                parameters,
                at.utc if at else None,
                at.zone if at else None,
                at.local if at else None,
                article_revision,
            )
            result = await self._acts.carry_out(stored, draft, request, caller)
            if result is not None:
                return result
        raise ArticleBusyError("other requests keep changing the draft; repeat the request")

    async def _caller(self, account: str, actor: DraftActor) -> Caller:
        """Return the caller of the article's service: the key, or the user of the account."""
        found = await find_account(self._redis, self._keys, account)
        if found is None or found.disabled_at is not None:
            raise KeyRevokedError
        by = actor.audit
        return Caller(
            account,
            by.key_id or "",
            frozenset({Scope.PUBLISH}),
            daily_quota=found.daily_quota,
            user_id=by.user_id,
        )


def _present_time(article: StoredArticle | None) -> datetime:
    due = article.state.embargo_until if article else None
    if due is None:
        raise InvalidMemberError("at", "is missing", "send the time at which it is to be published")
    return datetime.fromisoformat(due)

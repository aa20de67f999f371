"""What becomes of drafts: they are checked, shown as articles, and published by the five acts.

Saving publishes nothing (`newswire_ingest.drafts.editing`); each act does one thing, once, with the text that its caller saw.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from redis.asyncio import Redis

from newswire.auth.accounts import find_publisher
from newswire.auth.credentials import Caller
from newswire.keys import Keyspace
from newswire.observability import tracing
from newswire.preconditions import Preconditions, etag
from newswire_ingest.articles.errors import ArticleBusyError, KeyRevokedError
from newswire_ingest.articles.models import WriteCommand, WriteResult
from newswire_ingest.articles.publishing import fingerprint
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.articles.write_context import IdempotencyScope
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.drafts.act_requests import ActRequest
from newswire_ingest.drafts.acts import DraftActs
from newswire_ingest.drafts.checks import DraftChecker, DraftRemark
from newswire_ingest.drafts.editing import MAX_ATTEMPTS, DraftEditing
from newswire_ingest.drafts.errors import DraftConflictError
from newswire_ingest.drafts.models import Draft, DraftActor
from newswire_ingest.drafts.preview import preview_article, preview_body
from newswire_ingest.limits.limits import Limits


class DraftService:
    """Publishes drafts, and says what they would become. `editing` is all other work on them."""

    def __init__(
        self,
        editing: DraftEditing,
        acts: DraftActs,
        article_store: ArticleStore,
        articles: ArticleService,
        limits: Limits,
        redis: "Redis",
        keys: Keyspace,
        site: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.editing = editing
        self._acts = acts
        self._articles = articles
        self._limits = limits
        self._redis = redis
        self._keys = keys
        self._site = site
        self._clock = clock
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

    async def carry_out(self, account: str, draft_id: str, request: ActRequest) -> WriteResult:
        """Publish, schedule, update or correct, as the request says.

        Raises:
            newswire_ingest.drafts.errors.DraftError: the draft or its article is not as its caller saw it.
            newswire_ingest.articles.errors.InvalidMemberError: the time or the note of the act is missing, or the time has passed.
            newswire_ingest.articles.errors.ArticleError: the article is refused.
        """
        self._limits.check_memory()
        caller = await self._caller(account, request.actor)
        for _ in range(MAX_ATTEMPTS):
            stored, text = await self.editing.changeable(account, draft_id)
            draft = await self.editing.view(stored, text)
            if stored.revision != request.revision:
                raise DraftConflictError(draft)
            result = await self._acts.carry_out(stored, draft, request, caller)
            if result is not None:
                return result
        raise ArticleBusyError("other requests keep changing the draft; repeat the request")

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
        return await self._articles.withdraw(partial(self._articles.find, article_id), reason, command)

    async def _caller(self, account: str, actor: DraftActor) -> Caller:
        """Return the caller of the article's service: the key, or the user of the account."""
        by = actor.audit
        found = await find_publisher(self._redis, self._keys, account, key_id=by.key_id or "", user_id=by.user_id)
        if found is None:
            raise KeyRevokedError
        return found

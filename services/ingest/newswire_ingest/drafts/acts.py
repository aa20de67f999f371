"""What publishes drafts: publish, schedule, update and correct, each once for one revision.

An act begins in the draft: the revision that the person saw must be the current one. It continues in the article, whose version is
marked with the write token of the act, and ends in the draft. A repeat finds the act done, or continues it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from ulid import ULID

from newswire.article import ArticleDraft
from newswire.auth.credentials import Caller
from newswire.observability import tracing
from newswire.preconditions import PreconditionError, Preconditions, etag
from newswire.storage.article_records import ArticleState
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.errors import ArticleBusyError, ArticleError, KeyRevokedError
from newswire_ingest.articles.models import WriteCommand, WriteResult
from newswire_ingest.articles.publishing import fingerprint, new_write_token
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.results import view
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.drafts.act_requests import ActRequest, article_of_act
from newswire_ingest.drafts.article_links import ArticleLinks
from newswire_ingest.drafts.errors import ArticleChangedError, DraftError, WrongActError
from newswire_ingest.drafts.models import DoneAct, Draft, DraftAct, acts_of
from newswire_ingest.drafts.records import StoredDraft
from newswire_ingest.drafts.repository import DraftStore, DraftWrite
from newswire_ingest.limits.errors import QuotaExceededError

INTERRUPTED_AFTER = timedelta(seconds=30)
"""An act that began and did not end within this time was interrupted: another one may begin."""
_REFUSALS = (ArticleError, PreconditionError, QuotaExceededError, MarkupLimitError)
"""Errors after which it is certain that no article was written."""


class DraftActs:
    """Carries out acts: the draft was read and is at the revision that the person saw."""

    def __init__(
        self,
        store: DraftStore,
        article_store: ArticleStore,
        articles: ArticleService,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._article_store = article_store
        self._links = ArticleLinks(article_store, store)
        self._articles = articles
        self._clock = clock

    async def carry_out(
        self, stored: StoredDraft, draft: Draft, request: ActRequest, caller: Caller
    ) -> WriteResult | None:
        """Carry out an act, or return what it led to before; None if the draft was changed meanwhile.

        Raises:
            WrongActError: it does not apply to the article as it is.
            ArticleChangedError: the article is not in the state that the person saw.
            newswire_ingest.articles.errors.ArticleError: the article is refused.
        """
        article = await self._links.find(stored.account, stored.article) if stored.article else None
        wanted = self._wanted(stored, request, article.state if article else None)
        if article is not None and _is_repeat(stored.done, wanted, article.state, request):
            return _result(article)
        refusal = _refusal(request, stored, draft, article)
        if refusal is not None:
            # The article may be as the act that began has just left it.
            if stored.pending is not None and await self._links.settle(stored):
                return None
            raise refusal
        made = article_of_act(request, draft.content, article, await self._article_store.time())
        began = await self._begin(stored, wanted, request)
        if began is None:
            return None
        pending = began.pending or wanted
        try:
            result = await self._write(began, pending, made, request, caller)
        except _REFUSALS as error:
            await self._abandon(began)
            if isinstance(error, PreconditionError):
                raise await self._changed(began, draft) from None
            if isinstance(error, ArticleBusyError):
                return None
            raise
        await self._links.complete(began, replace(pending, article_revision=result.revision_tag), result.article_id)
        current = await self._links.find(stored.account, result.article_id)
        return _result(current, result.effect) if current else result

    def _wanted(self, stored: StoredDraft, request: ActRequest, state: ArticleState | None) -> DoneAct:
        parameters = orjson.dumps([request.act, *request.parameters])
        seen = request.article_revision or stored.based_on or "" if state else ""
        return DoneAct(
            request.act,
            stored.revision,
            new_write_token(),
            hashlib.sha256(parameters).hexdigest()[:16],
            self._clock(),
            request.actor.author,
            before=seen,
            due=request.at.utc if request.at else None,
            zone=request.at.zone if request.at else None,
            local=request.at.local if request.at else None,
            address=request.actor.audit.address,
        )

    async def _begin(self, stored: StoredDraft, wanted: DoneAct, request: ActRequest) -> StoredDraft | None:
        """Note the act in the draft; None if the draft was changed meanwhile."""
        pending = stored.pending
        if pending is not None and pending.repeats(wanted) and pending.before == wanted.before:
            return stored
        if pending is not None and self._clock() - pending.at < INTERRUPTED_AFTER:
            raise ArticleBusyError("the draft is being published by another request; repeat the request")
        reserved = stored.reserved or (None if stored.article else str(ULID()).lower())
        after = replace(stored, stamp=stored.stamp + 1, pending=wanted, reserved=reserved)
        verdict = await self._store.write(DraftWrite(stored, after, request.actor.audit))
        if verdict == "BARRED":
            raise KeyRevokedError
        return after if verdict == "OK" else None

    async def _write(
        self, began: StoredDraft, pending: DoneAct, made: ArticleDraft, request: ActRequest, caller: Caller
    ) -> WriteResult:
        command = WriteCommand(
            caller,
            fingerprint({"draft": began.id, "revision": pending.revision, "parameters": pending.parameters}),
            tracing.traceparent(None),
            conditions=Preconditions(frozenset({etag(pending.before)}) if began.article else None),
            article_id=began.reserved,
            write_token=pending.token,
        )
        if began.article is None:
            return await self._articles.create(made, command)
        return await self._articles.put(began.article, made, command, corrects=request.act is DraftAct.CORRECT)

    async def _abandon(self, began: StoredDraft) -> None:
        """Forget an act that was refused, unless something else was written meanwhile."""
        await self._store.write(DraftWrite(began, replace(began, stamp=began.stamp + 1, pending=None), None))

    async def _changed(self, began: StoredDraft, draft: Draft) -> Exception:
        article = await self._links.find(began.account, began.article or "")
        if article is None:
            return ArticleBusyError("the article is being changed; repeat the request")
        return ArticleChangedError(draft, view(article), article.state.revision_tag)


def _refusal(
    request: ActRequest, stored: StoredDraft, draft: Draft, article: StoredArticle | None
) -> DraftError | None:
    """Return why an act is not possible with the article as it is; None if it is possible."""
    status = article.state.status if article else None
    if request.act not in acts_of(status):
        return WrongActError(request.act, acts_of(status), status)
    if article is None:
        return None
    seen = request.article_revision or stored.based_on
    if seen == article.state.revision_tag:
        return None
    return ArticleChangedError(draft, view(article), article.state.revision_tag)


def _is_repeat(done: DoneAct | None, wanted: DoneAct, state: ArticleState, request: ActRequest) -> bool:
    """Return whether an act is done already. A person who saw what became of the article since may do it again."""
    saw_later = request.article_revision == state.revision_tag and done and done.article_revision != state.revision_tag
    return done is not None and done.repeats(wanted) and not saw_later


def _result(article: StoredArticle, effect: Any = "unchanged") -> WriteResult:
    return WriteResult(article.state.id, article.state.revision_tag, view(article), effect)

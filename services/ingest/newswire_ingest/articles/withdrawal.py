"""Retraction of published articles, and cancellation of scheduled ones."""

from collections.abc import Callable
from datetime import datetime

from newswire.article import Status
from newswire.events import ArticlePublished
from newswire.observability.audit import Act, new_entry
from newswire_ingest.articles import schemas
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.errors import ArticleBusyError, RepublishedError
from newswire_ingest.articles.models import Find, WriteCommand, WriteResult
from newswire_ingest.articles.publishing import bare_tombstone, new_write_token, retraction_event, tombstone
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.results import ResultReader, cancelled, count_event

MAX_ATTEMPTS = 100
"""How often a change is attempted while other requests change the article. Each time, one of them succeeds."""


class Withdrawal:
    """Withdraws articles."""

    def __init__(self, store: ArticleStore, results: ResultReader, site: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._results = results
        self._site = site
        self._clock = clock

    async def withdraw(
        self, find: Find, reason: str | None, command: WriteCommand, *, by_operator: bool = False
    ) -> WriteResult:
        """Retract an article, or cancel it if it is scheduled.

        A repeated request succeeds while the article is withdrawn. Once the article is published again, it is rejected. The audit
        log has one entry, written in the same step: hardly anything else remains of the article.

        Raises:
            newswire_ingest.articles.errors.ArticleError: the request is rejected; nothing is written.
        """
        context = command.context(self._clock())
        if previous := await self._results.previous(command, context, allow_cancelled=True):
            return _still_withdrawn(previous)
        write_token = new_write_token()
        for _ in range(MAX_ATTEMPTS):
            found = await find(command.caller)
            command.conditions.check(found.state.revision_tag)
            result = await (
                self._cancel(found, reason, command)
                if found.state.status is Status.SCHEDULED
                else self._retract(found, reason, command, write_token, by_operator=by_operator)
            )
            if result is not None:
                return _still_withdrawn(result)
        raise ArticleBusyError

    async def _retract(
        self, found: StoredArticle, reason: str | None, command: WriteCommand, write_token: str, *, by_operator: bool
    ) -> WriteResult | None:
        state, now = found.state, self._clock()
        if found.unavailable is not None:  # a retraction does not wait for the archive
            labels = await self._store.labels(state.id)
            remains, revision = bare_tombstone(state, labels, reason, now), state.revision + 1
        elif found.document is not None:
            remains = tombstone(ArticlePublished.model_validate_json(found.document), reason, now)
            revision = state.revision + 1
        elif state.tombstone is not None:
            remains, revision = state.tombstone, state.revision
        else:
            return None
        event = retraction_event(remains, site=self._site, traceparent=command.trace)
        document = remains.model_dump_json(exclude_none=True).encode()
        entry = new_entry(command.actor, Act.ARTICLE_RETRACTED, "article", state.id, reason=reason)
        stored = await self._store.retract(
            state, command.context(now), document, event, write_token, entry, by_operator=by_operator
        )
        count_event(stored, "retracted")
        result = WriteResult(state.id, f"{state.version}-{revision}", schemas.retracted(remains))
        return await self._results.resolve(stored, result)

    async def _cancel(self, found: StoredArticle, reason: str | None, command: WriteCommand) -> WriteResult | None:
        entry = new_entry(command.actor, Act.ARTICLE_CANCELLED, "article", found.state.id, reason=reason)
        stored = await self._store.cancel(found.state, command.context(self._clock()), entry)
        match stored.verdict:
            case "OK" | "REPEAT":
                return cancelled(found.state.id)
            case "STALE":
                return None
            case _:
                raise self._results.refusal(stored)


def _still_withdrawn(result: WriteResult) -> WriteResult:
    status = result.view["status"]
    if status in ("cancelled", Status.RETRACTED.value):
        return result
    raise RepublishedError(result.article_id, status)

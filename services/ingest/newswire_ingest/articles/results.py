"""The results of commands: converts results of the store into articles or problems."""

from functools import cache
from typing import Any

from newswire.observability import metrics
from newswire_ingest.articles import schemas
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.errors import (
    ArticleBusyError,
    ArticleCancelledError,
    ArticleError,
    ExternalIdTakenError,
    KeyRevokedError,
    TakenDownError,
    key_mismatch,
)
from newswire_ingest.articles.models import PATH, WriteCommand, WriteResult
from newswire_ingest.articles.publishing import is_article_id
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.store_result import StoreResult
from newswire_ingest.articles.write_context import WriteContext

_events_of_kind = cache(metrics.article_events.labels)
"""The counter of a kind: looking it up costs more than counting."""


class ResultReader:
    """Reads articles, and converts results of the store into results of commands or errors."""

    def __init__(self, store: ArticleStore, site: str) -> None:
        self._store = store
        self._site = site

    async def find(self, article_id: str) -> StoredArticle | None:
        """Return an article of any publisher."""
        return await self._store.find(article_id) if is_article_id(article_id) else None

    async def current(self, article_id: str) -> WriteResult:
        """Return an article as the result of a repeated request."""
        found = await self.find(article_id)
        if found is None:
            raise ArticleBusyError("the article is being changed; repeat the request")
        return WriteResult(article_id, found.state.revision_tag, view(found))

    async def previous(
        self, command: WriteCommand, context: WriteContext, *, allow_cancelled: bool = False
    ) -> WriteResult | None:
        """Return the result of a request that was handled before; None for a new request."""
        if command.idempotency is None:
            return None
        stored = await self._store.find_repeat(context)
        if stored is None:
            return None
        match stored.verdict:
            case "REPEAT":
                metrics.idempotent_repeats.inc()
                return await self.current(stored.article_id)
            case "CANCELLED" if allow_cancelled:
                return cancelled(stored.article_id)
            case _:
                raise self.refusal(stored)

    async def resolve(self, stored: StoreResult, result: WriteResult) -> WriteResult | None:
        """Return the result of a write; None if another request changed the article first."""
        match stored.verdict:
            case "OK":
                return result
            case "STALE":
                return None
            case "REPEAT":
                return await self.current(stored.article_id)
            case _:
                raise self.refusal(stored)

    def refusal(self, stored: StoreResult) -> ArticleError:
        """Return the error for a store result that rejects a request."""
        match stored.verdict:
            case "KEY_MISMATCH":
                return key_mismatch()
            case "EXTERNAL_TAKEN":
                return self.external_taken(stored.article_id)
            case "CANCELLED":
                return ArticleCancelledError(stored.article_id)
            case "BARRED":
                return KeyRevokedError()
            case "TAKEN_DOWN":
                return TakenDownError()
            case _:
                return ArticleBusyError()

    def external_taken(self, article_id: str) -> ExternalIdTakenError:
        """Return the error for an external id that another article has."""
        return ExternalIdTakenError(f"{self._site}{PATH}/{article_id}")


def view(found: StoredArticle) -> dict[str, Any]:
    """Return an article as its publisher sees it."""
    if found.document is None and found.state.tombstone is None:
        raise ArticleBusyError("the article is being changed; repeat the request")
    return schemas.view(found.state, found.document)


def listed_view(found: StoredArticle) -> dict[str, Any]:
    """Return an article as its publisher sees it in a list: without its texts if they are in an archive that cannot be read."""
    if found.unavailable is None:
        return view(found)
    state = found.state
    shown = {"id": state.id, "version": state.version, "status": state.status.value, "publisher": state.publisher}
    times = {"external_id": state.external_id, "published_at": state.published_at, "updated_at": state.updated_at}
    return shown | {name: value for name, value in times.items() if value is not None}


def cancelled(article_id: str) -> WriteResult:
    """Return the result for a scheduled article that was cancelled."""
    return WriteResult(article_id, "", schemas.Cancelled(id=article_id).model_dump())


def count_event(stored: StoreResult, kind: str) -> None:
    """Count an event, if the write added one to the stream."""
    if stored.entry:
        _events_of_kind(kind).inc()

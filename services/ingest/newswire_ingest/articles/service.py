"""The application service of articles: publish, schedule, change and withdraw them."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from ulid import ULID

from newswire.article import ArticleDraft, Status
from newswire.auth.credentials import Caller
from newswire.timestamps import rfc3339
from newswire_ingest.articles import schemas
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.embargo import has_invalid_embargo, invalid_embargo
from newswire_ingest.articles.errors import ArticleBusyError, ArticleNotFoundError, RetractedError
from newswire_ingest.articles.models import Effect, Find, WriteCommand, WritePlan, WriteResult
from newswire_ingest.articles.publishing import Version, due_after
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.results import ResultReader, count_event, view
from newswire_ingest.articles.versioning import FindImages, VersionBuilder, patched_draft, sanitised, with_kept_members
from newswire_ingest.articles.withdrawal import MAX_ATTEMPTS, Withdrawal
from newswire_ingest.labels.repository import Labels, Lookup
from newswire_ingest.limits.limits import Limits


class ArticleService:
    """Executes the commands of publishers.

    Every method raises an error of `newswire_ingest.articles.errors` if it rejects a command; nothing is written then.
    """

    def __init__(
        self,
        store: ArticleStore,
        labels: Labels,
        limits: Limits,
        site: str,
        clock: Callable[[], datetime],
        images: FindImages,
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._versions = VersionBuilder(labels, site, images)
        self._results = ResultReader(store, site)
        self._withdrawal = Withdrawal(store, self._results, site, clock)

    async def find(self, article_id: str, caller: Caller) -> StoredArticle:
        """Return one of the caller's own articles."""
        found = await self._results.find(article_id)
        if found is None or found.state.publisher != caller.account:
            raise ArticleNotFoundError
        if found.state.status is Status.SCHEDULED and not caller.sees_scheduled:
            raise ArticleNotFoundError
        return found

    async def find_external(self, external_id: str, caller: Caller) -> StoredArticle:
        """Return the caller's article with this external id."""
        article_id = await self._store.find_by_external_id(caller.account, external_id)
        if article_id is None:
            raise ArticleNotFoundError
        return await self.find(article_id, caller)

    async def find_any(self, article_id: str, _: Caller) -> StoredArticle:
        """Return an article of any publisher: for operators."""
        found = await self._results.find(article_id)
        if found is None:
            raise ArticleNotFoundError("article")
        return found

    async def create(self, draft: ArticleDraft, command: WriteCommand) -> WriteResult:
        """Publish or schedule a new article."""
        _, result = await self._create(draft, command, upsert=False)
        if result is None:
            raise ArticleBusyError("the article's id is taken; send the request again")
        return result

    async def put(
        self, article_id: str, draft: ArticleDraft, command: WriteCommand, *, corrects: bool | None = None
    ) -> WriteResult:
        """Replace the content of an article: writes the next version or revision, or nothing if the content is the same.

        ``corrects``: whether it is a correction; by default, if the draft has a note that says so.
        """
        return await self._update(partial(self.find, article_id), command, lambda _: draft, corrects)

    async def patch(self, find: Find, patch: dict[str, Any], command: WriteCommand) -> WriteResult:
        """Change some members of an article."""

        def draft(found: StoredArticle) -> ArticleDraft:
            return patched_draft(found, patch)

        return await self._update(find, command, draft, corrects=bool(patch.get("correction_note")))

    async def put_external(
        self, external_id: str, draft: ArticleDraft, command: WriteCommand, *, imported: bool = False
    ) -> WriteResult:
        """Create the article with this external id, or replace its content.

        An ``imported`` article is expected to be new, which saves a read; a retracted article is not published again.
        """
        if not imported and (previous := await self.previous_result(command)):
            return previous
        draft = draft.model_copy(update={"external_id": external_id})
        for attempt in range(MAX_ATTEMPTS):
            ask = attempt > 0 or not imported
            article_id = await self._store.find_by_external_id(command.caller.account, external_id) if ask else None
            if article_id is None:
                command.conditions.check(None)
                article_id, result = await self._create(draft, command, upsert=True)
                if result is not None:
                    return result
            found = await self._results.find(article_id)
            if imported and found is not None and found.document is None:
                raise RetractedError("PUT it by itself to publish it again")
            if found is not None and (result := await self._write_next(found, draft, command)):
                return result
        raise ArticleBusyError

    async def previous_result(self, command: WriteCommand) -> WriteResult | None:
        """Return the result of a request that was handled before; None for a new request."""
        return await self._results.previous(command, command.context(self._clock()))

    async def plan(self, draft: ArticleDraft, command: WriteCommand, assumed: StoredArticle | None = None) -> WritePlan:
        """Return what `put_external` of an import, or `create` without an external id, would do now; nothing is written.

        ``assumed`` replaces the stored article, if earlier commands of the same plan would change it.
        """
        found = assumed
        if found is None and draft.external_id is not None:
            article_id = await self._store.find_by_external_id(command.caller.account, draft.external_id)
            found = await self._results.find(article_id) if article_id else None
        now = await self._now(draft)
        if found is None:
            if has_invalid_embargo(draft, now):
                raise invalid_embargo(draft)
            body = await sanitised(draft)
            if draft.external_id is None:  # no later line can refer to it, so its content is not needed
                return WritePlan("created", Version("", 1, {}, b"", due_after(draft, now)), None)
            account, trace = command.caller.account, command.trace
            version = await self._versions.first(draft, body, id_="", publisher=account, trace=trace, now=now)
            return WritePlan("created", version, None)
        if found.document is None:
            raise RetractedError("PUT it by itself to publish it again")
        kept = with_kept_members(draft, found.state, now)
        version, is_new = await self._versions.next(found, kept, command.trace, now)
        return WritePlan("updated" if is_new else "unchanged", version, found)

    async def take_down(self, article_id: str, reason: str, command: WriteCommand) -> WriteResult:
        """Withdraw any article for an operator. Its publisher cannot publish it again."""
        return await self.withdraw(partial(self.find_any, article_id), reason, command, by_operator=True)

    async def withdraw(
        self, find: Find, reason: str | None, command: WriteCommand, *, by_operator: bool = False
    ) -> WriteResult:
        """Retract an article, or cancel it if it is scheduled: see `Withdrawal.withdraw`."""
        return await self._withdrawal.withdraw(find, reason, command, by_operator=by_operator)

    async def _now(self, draft: ArticleDraft) -> datetime:
        """Return the time. For an embargo, it is the time of the store, the clock that all processes share."""
        return self._clock() if draft.embargo_until is None else await self._store.time()

    async def _create(
        self, draft: ArticleDraft, command: WriteCommand, *, upsert: bool
    ) -> tuple[str, WriteResult | None]:
        """Return the id and the result; no result if an article with the external id exists, and nothing was written."""
        now, id_ = await self._now(draft), command.article_id or str(ULID()).lower()
        if has_invalid_embargo(draft, now):
            return await self._existing_external(draft, command, upsert=upsert)
        body = await sanitised(draft)
        quota = self._limits.quota(command.caller, now)
        account, trace = command.caller.account, command.trace
        for attempt in range(MAX_ATTEMPTS):
            lookup: Lookup = "all" if attempt else "cache"
            version = await self._versions.first(
                draft, body, id_=id_, publisher=account, trace=trace, now=now, lookup=lookup
            )
            version = command.marked(version)
            stored = await self._store.create(version, command.context(now), quota, upsert=upsert)
            if stored.verdict != "LABEL_CONFLICT":  # a label was first used, or merged, after this process read it
                break
        match stored.verdict:
            case "OK":
                count_event(stored, version.document["kind"])
                return version.id, _written_result(version, now, revision=1, created=True)
            case "REPEAT":
                return stored.article_id, await self._results.current(stored.article_id)
            case "EXTERNAL_TAKEN" if upsert:
                return stored.article_id, None
            case "STALE":
                return version.id, None
            case "OVER_QUOTA":
                raise self._limits.over_quota(command.caller, now)
            case _:
                raise self._results.refusal(stored)

    async def _existing_external(
        self, draft: ArticleDraft, command: WriteCommand, *, upsert: bool
    ) -> tuple[str, WriteResult | None]:
        """Return what `_create` returns, for a draft with a past embargo: it is valid only as a repeat of an earlier draft."""
        if previous := await self.previous_result(command):
            return previous.article_id, previous
        account, external_id = command.caller.account, draft.external_id
        known = external_id and await self._store.find_by_external_id(account, external_id)
        if not known:
            raise invalid_embargo(draft)
        if upsert:
            return known, None
        found = await self._results.find(known)
        if found is None or found.state.fingerprint != command.fingerprint:
            raise self._results.external_taken(known)
        return known, await self._results.current(known)

    async def _update(
        self,
        find: Find,
        command: WriteCommand,
        draft: Callable[[StoredArticle], ArticleDraft],
        corrects: bool | None = None,
    ) -> WriteResult:
        if previous := await self.previous_result(command):
            return previous
        for _ in range(MAX_ATTEMPTS):
            found = await find(command.caller)
            command.conditions.check(found.state.revision_tag)
            if result := await self._write_next(found, draft(found), command, corrects):
                return result
        raise ArticleBusyError

    async def _write_next(
        self, found: StoredArticle, draft: ArticleDraft, command: WriteCommand, corrects: bool | None = None
    ) -> WriteResult | None:
        """Write the version that follows the current state; None if the state changed meanwhile."""
        command.conditions.check(found.state.revision_tag)
        now, state = await self._now(draft), found.state
        kept = with_kept_members(draft, state, now)
        version, is_new = await self._versions.next(found, kept, command.trace, now, corrects)
        version = command.marked(version)
        if not is_new:
            stored = await self._store.record_unchanged(command.context(now), state)
            return await self._results.resolve(stored, WriteResult(state.id, state.revision_tag, view(found)))
        stored = await self._store.change(version, command.context(now), state)
        if stored.verdict == "LABEL_CONFLICT":
            await self._versions.refresh_labels(kept, state.publisher)
            return None
        count_event(stored, version.document["kind"])
        return await self._results.resolve(stored, _written_result(version, now, revision=state.revision + 1))


def _written_result(version: Version, now: datetime, *, revision: int, created: bool = False) -> WriteResult:
    effect: Effect = "created" if created else "updated"
    if version.due is not None:
        shown = schemas.scheduled(version.document, revision, rfc3339(version.due), rfc3339(now))
        return WriteResult(version.id, f"0-{revision}", shown, effect)
    return WriteResult(version.id, f"{version.number}-0", schemas.published(version.document), effect)

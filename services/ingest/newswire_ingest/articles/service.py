"""What publishers do with their articles: publish, schedule, change, withdraw. The rules of an article's life are here."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

import orjson
from pydantic import ValidationError
from ulid import ULID

from newswire.article import ArticleDraft, Status
from newswire.auth.credentials import Caller
from newswire.concurrency.offload import OffloadError
from newswire.events import ArticlePublished
from newswire.http.preconditions import Preconditions
from newswire.http.problems import (
    FieldError,
    ProblemError,
    from_validation_error,
    invalid,
    not_found,
    overloaded,
    problem,
    unauthorised,
    unavailable,
)
from newswire.observability import metrics
from newswire.storage.article_records import ArticleState
from newswire.timestamps import rfc3339
from newswire_ingest.articles import article_problems, schemas
from newswire_ingest.articles.patch import patched
from newswire_ingest.articles.publishing import (
    Version,
    due_after,
    is_article_id,
    new_write_token,
    next_version,
    retraction_event,
    tombstone,
)
from newswire_ingest.articles.repository import ArticleStore, IdempotencyScope, StoreResult, WriteContext
from newswire_ingest.content.body_sanitiser import sanitise_body
from newswire_ingest.content.content import changed, draft_members
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.content.sanitised_body import SanitisedBody
from newswire_ingest.labels.repository import Taxonomy
from newswire_ingest.limits.limits import Limits

PATH = "/v1/articles"
MAX_ATTEMPTS = 100
"""How often a change is begun anew because somebody else was faster; each time one of all got through."""


@dataclass(frozen=True, slots=True)
class WriteCommand:
    """Who wants something changed, on what condition, and how a repeat of the request is known."""

    caller: Caller
    fingerprint: str
    trace: str
    idempotency: IdempotencyScope | None = None
    conditions: Preconditions = field(default_factory=Preconditions)

    def context(self, now: datetime) -> WriteContext:
        """Return it as the store takes it."""
        return WriteContext(self.caller, now, self.fingerprint, self.idempotency)


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article as it is: its document is that of the last version, or what will be the first; None once retracted."""

    state: ArticleState
    document: bytes | None


Find = Callable[[Caller], Awaitable[StoredArticle]]
"""Finds the caller's article that a request is about."""


Effect = Literal["created", "updated", "unchanged"]
"""What a request did to its article."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a request: the article as it is now."""

    article_id: str
    revision_tag: str
    view: dict[str, Any]
    effect: Effect = "unchanged"

    @property
    def created(self) -> bool:
        """Whether the article was not there before."""
        return self.effect == "created"


@dataclass(frozen=True, slots=True)
class WritePlan:
    """What a request would do to its article: the version that it would write after the state found."""

    effect: Effect
    version: Version
    found: StoredArticle | None


class ArticleService:
    """Does what publishers ask for.

    Every method raises `newswire.http.problems.ProblemError` where that cannot be done, and then nothing was written.
    """

    def __init__(
        self, store: ArticleStore, taxonomy: Taxonomy, limits: Limits, site: str, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._taxonomy = taxonomy
        self._limits = limits
        self._site = site
        self._clock = clock

    async def find(self, article_id: str, caller: Caller) -> StoredArticle:
        """Return one of the caller's own articles."""
        found = await self._find(article_id)
        if found is None or found.state.publisher != caller.account:
            raise not_found("article of yours")
        if found.state.status is Status.SCHEDULED and not caller.sees_scheduled:
            raise not_found("article of yours")
        return found

    async def find_external(self, external_id: str, caller: Caller) -> StoredArticle:
        """Return the caller's article with this id of theirs."""
        article_id = await self._store.find_by_external_id(caller.account, external_id)
        if article_id is None:
            raise not_found("article of yours")
        return await self.find(article_id, caller)

    async def create(self, draft: ArticleDraft, command: WriteCommand) -> WriteResult:
        """Publish or schedule a new article."""
        _, result = await self._create(draft, command, upsert=False)
        if result is None:
            raise unavailable("the article's id is taken; send the request again")
        return result

    async def put(self, article_id: str, draft: ArticleDraft, command: WriteCommand) -> WriteResult:
        """Give an article this content whole: its next version or revision, or nothing where nothing differs."""
        return await self._update(partial(self.find, article_id), command, lambda _: draft)

    async def patch(self, find: Find, patch: dict[str, Any], command: WriteCommand) -> WriteResult:
        """Change some members of an article."""

        def draft(found: StoredArticle) -> ArticleDraft:
            return _patched(found, patch)

        return await self._update(find, command, draft, corrects=bool(patch.get("correction_note")))

    async def put_external(
        self, external_id: str, draft: ArticleDraft, command: WriteCommand, *, imported: bool = False
    ) -> WriteResult:
        """Create the article with this id of the publisher's, or give it this content.

        What is ``imported`` is expected not to be known yet, which spares a question; and a retracted article stays so.
        """
        if not imported and (before := await self._previous_result(command)):
            return before
        draft = draft.model_copy(update={"external_id": external_id})
        for attempt in range(MAX_ATTEMPTS):
            ask = attempt > 0 or not imported
            article_id = await self._store.find_by_external_id(command.caller.account, external_id) if ask else None
            if article_id is None:
                command.conditions.check(None)
                article_id, result = await self._create(draft, command, upsert=True)
                if result is not None:
                    return result
            found = await self._find(article_id)
            if imported and found is not None and found.document is None:
                raise article_problems.retracted("PUT it by itself to publish it again")
            if found is not None and (result := await self._write_next(found, draft, command)):
                return result
        raise article_problems.busy()

    async def repeated(self, command: WriteCommand) -> WriteResult | None:
        """Return the answer of a request that was done before; None where it is new."""
        return await self._previous_result(command)

    async def plan(
        self, draft: ArticleDraft, command: WriteCommand, foreseen: StoredArticle | None = None
    ) -> WritePlan:
        """Return what `put_external` of an import, or `create` without an external id, would do now; nothing is written.

        ``foreseen`` is the article as it would be by then, where that is known better than it stands on record.
        """
        found = foreseen
        if found is None and draft.external_id is not None:
            article_id = await self._store.find_by_external_id(command.caller.account, draft.external_id)
            found = await self._find(article_id) if article_id else None
        now = await self._now(draft)
        if found is None:
            if article_problems.embargo_is_wrong(draft, now):
                raise article_problems.wrong_embargo(draft)
            body = await _sanitised(draft)
            if draft.external_id is None:  # no later line can be about it, so nothing of its content is needed
                return WritePlan("created", Version("", 1, {}, b"", due_after(draft, now)), None)
            canonical = await self._taxonomy.canonicalize_labels(draft, command.caller.account)
            version = next_version(
                canonical.draft,
                id_="",
                publisher=command.caller.account,
                site=self._site,
                now=now,
                traceparent=command.trace,
                body=body,
            )
            return WritePlan("created", version, None)
        if found.document is None:
            raise article_problems.retracted("PUT it by itself to publish it again")
        version, is_new = await self._following_version(
            found, _with_kept_members(draft, found.state, now), command.trace, now
        )
        return WritePlan("updated" if is_new else "unchanged", version, found)

    async def find_any(self, article_id: str, _: Caller) -> StoredArticle:
        """Return an article, whoever published it: for operators."""
        found = await self._find(article_id)
        if found is None:
            raise not_found("article")
        return found

    async def take_down(self, article_id: str, reason: str, command: WriteCommand) -> WriteResult:
        """Retract any article for an operator, or cancel it before it is out. Its publisher cannot publish it again."""
        return await self.withdraw(partial(self.find_any, article_id), reason, command, by_operator=True)

    async def withdraw(
        self, find: Find, reason: str | None, command: WriteCommand, *, by_operator: bool = False
    ) -> WriteResult:
        """Retract an article, or take it back before it is out.

        A repeat is answered as long as that is still so: once the article was published again, it is refused.
        """
        if before := await self._previous_result(command, cancelled_is_done=True):
            return _still_withdrawn(before)
        write_token = new_write_token()
        for _ in range(MAX_ATTEMPTS):
            found = await find(command.caller)
            command.conditions.check(found.state.revision_tag)
            result = await (
                self._cancel(found, command)
                if found.state.status is Status.SCHEDULED
                else self._retract(found, reason, command, write_token, by_operator=by_operator)
            )
            if result is not None:
                return _still_withdrawn(result)
        raise article_problems.busy()

    async def _now(self, draft: ArticleDraft) -> datetime:
        """Return the time; whether an embargo is over is for the one clock to say that all processes share."""
        return self._clock() if draft.embargo_until is None else await self._store.time()

    async def _create(
        self, draft: ArticleDraft, command: WriteCommand, *, upsert: bool
    ) -> tuple[str, WriteResult | None]:
        """Return the id of the new article, or of the one that has its external id already: then nothing is done."""
        now, id_ = await self._now(draft), str(ULID()).lower()
        if article_problems.embargo_is_wrong(draft, now):
            return await self._existing_external(draft, command, upsert=upsert)
        body = await _sanitised(draft)
        quota = self._limits.quota(command.caller, now)
        for attempt in range(MAX_ATTEMPTS):
            canonical = await self._taxonomy.canonicalize_labels(draft, command.caller.account, refresh=attempt > 0)
            version = next_version(
                canonical.draft,
                id_=id_,
                publisher=command.caller.account,
                site=self._site,
                now=now,
                traceparent=command.trace,
                body=body,
            )
            version = replace(version, rewritten_labels=canonical.rewritten_labels)
            stored = await self._store.create(version, command.context(now), quota, upsert=upsert)
            if stored.verdict != "LABEL_CONFLICT":  # a label was used first, or merged, since this process looked
                break
        match stored.verdict:
            case "OK":
                _count(stored, version.document["kind"])
                return version.id, _written_result(version, now, revision=1, created=True)
            case "REPEAT":
                return stored.article_id, await self._current_result(stored.article_id)
            case "EXTERNAL_TAKEN" if upsert:
                return stored.article_id, None
            case "STALE":
                return version.id, None
            case "OVER_QUOTA":
                raise self._limits.over_quota(command.caller, now)
            case _:
                raise self._refusal(stored)

    async def _existing_external(
        self, draft: ArticleDraft, command: WriteCommand, *, upsert: bool
    ) -> tuple[str, WriteResult | None]:
        """Answer as `_create` does for a draft whose embargo could only stand where it was sent before, and was right then."""
        if before := await self._previous_result(command):
            return before.article_id, before
        known = draft.external_id and await self._store.find_by_external_id(command.caller.account, draft.external_id)
        if not known:
            raise article_problems.wrong_embargo(draft)
        if upsert:
            return known, None
        found = await self._find(known)
        if found is None or found.state.fingerprint != command.fingerprint:
            raise article_problems.external_taken(f"{self._site}{PATH}/{known}")
        return known, await self._current_result(known)

    async def _update(
        self,
        find: Find,
        command: WriteCommand,
        draft: Callable[[StoredArticle], ArticleDraft],
        corrects: bool | None = None,
    ) -> WriteResult:
        if before := await self._previous_result(command):
            return before
        for _ in range(MAX_ATTEMPTS):
            found = await find(command.caller)
            command.conditions.check(found.state.revision_tag)
            if result := await self._write_next(found, draft(found), command, corrects):
                return result
        raise article_problems.busy()

    async def _write_next(
        self, found: StoredArticle, draft: ArticleDraft, command: WriteCommand, corrects: bool | None = None
    ) -> WriteResult | None:
        """Write what follows the state found; None where it is that no more."""
        command.conditions.check(found.state.revision_tag)
        now, state = await self._now(draft), found.state
        following = _with_kept_members(draft, state, now)
        version, is_new = await self._following_version(found, following, command.trace, now, corrects)
        if not is_new:
            stored = await self._store.record_unchanged(command.context(now), state)
            return await self._resolve(
                stored, WriteResult(state.id, state.revision_tag, schemas.view(state, found.document))
            )
        stored = await self._store.change(version, command.context(now), state)
        if stored.verdict == "LABEL_CONFLICT":
            await self._taxonomy.canonicalize_labels(following, state.publisher, refresh=True)
            return None
        _count(stored, version.document["kind"])
        return await self._resolve(stored, _written_result(version, now, revision=state.revision + 1))

    async def _following_version(
        self, found: StoredArticle, following: ArticleDraft, trace: str, now: datetime, corrects: bool | None = None
    ) -> tuple[Version, bool]:
        """Return the version that follows the state found, and whether anything in it is new."""
        state = found.state
        canonical = await self._taxonomy.canonicalize_labels(following, state.publisher)
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
            body=await _sanitised(canonical.draft),
        )
        return replace(version, rewritten_labels=canonical.rewritten_labels), document is None or not _is_unchanged(
            version, document, state
        )

    async def _retract(
        self, found: StoredArticle, reason: str | None, command: WriteCommand, write_token: str, *, by_operator: bool
    ) -> WriteResult | None:
        state, now = found.state, self._clock()
        if found.document is not None:
            remains = tombstone(ArticlePublished.model_validate_json(found.document), reason, now)
            revision = state.revision + 1
        elif state.tombstone is not None:
            remains, revision = state.tombstone, state.revision
        else:
            return None
        event = retraction_event(remains, site=self._site, traceparent=command.trace)
        document = remains.model_dump_json(exclude_none=True).encode()
        stored = await self._store.retract(
            state, command.context(now), document, event, write_token, by_operator=by_operator
        )
        _count(stored, "retracted")
        result = WriteResult(state.id, f"{state.version}-{revision}", schemas.retracted(remains))
        return await self._resolve(stored, result)

    async def _resolve(self, stored: StoreResult, result: WriteResult) -> WriteResult | None:
        """Return what became of a call: ``done`` if it got through, None if somebody else was faster."""
        match stored.verdict:
            case "OK":
                return result
            case "STALE":
                return None
            case "REPEAT":
                return await self._current_result(stored.article_id)
            case _:
                raise self._refusal(stored)

    async def _cancel(self, found: StoredArticle, command: WriteCommand) -> WriteResult | None:
        stored = await self._store.cancel(found.state, command.context(self._clock()))
        match stored.verdict:
            case "OK" | "REPEAT":
                return _cancelled(found.state.id)
            case "STALE":
                return None
            case _:
                raise self._refusal(stored)

    async def _previous_result(self, command: WriteCommand, *, cancelled_is_done: bool = False) -> WriteResult | None:
        """Return the answer of a request that was done before; None where it is new."""
        stored = await self._store.find_repeat(command.context(self._clock()))
        if stored is None:
            return None
        match stored.verdict:
            case "REPEAT":
                metrics.idempotent_repeats.inc()
                return await self._current_result(stored.article_id)
            case "CANCELLED" if cancelled_is_done:
                return _cancelled(stored.article_id)
            case _:
                raise self._refusal(stored)

    async def _current_result(self, article_id: str) -> WriteResult:
        found = await self._find(article_id)
        if found is None:
            raise unavailable("the article is being changed; send the request again")
        return WriteResult(article_id, found.state.revision_tag, view(found))

    async def _find(self, article_id: str) -> StoredArticle | None:
        found = await self._store.find(article_id) if is_article_id(article_id) else None
        return StoredArticle(*found) if found else None

    def _refusal(self, stored: StoreResult) -> ProblemError:
        match stored.verdict:
            case "KEY_MISMATCH":
                return article_problems.key_mismatch()
            case "EXTERNAL_TAKEN":
                return article_problems.external_taken(f"{self._site}{PATH}/{stored.article_id}")
            case "CANCELLED":
                return article_problems.was_cancelled(stored.article_id)
            case "REVOKED":
                return unauthorised("the key sent is not valid")
            case "TAKEN_DOWN":
                return article_problems.taken_down()
            case _:
                return article_problems.busy()


async def _sanitised(draft: ArticleDraft) -> SanitisedBody:
    try:
        return await sanitise_body(draft.body, draft.canonical_url)
    except MarkupLimitError as error:
        raise invalid("body", error.problem, error.fix) from None
    except OffloadError:
        raise overloaded() from None


def view(found: StoredArticle) -> dict[str, Any]:
    """Return an article as its publisher sees it."""
    if found.document is None and found.state.tombstone is None:
        raise unavailable("the article is being changed; send the request again")
    return schemas.view(found.state, found.document)


def _count(stored: StoreResult, kind: str) -> None:
    if stored.entry:
        metrics.article_events.labels(kind).inc()


def _written_result(version: Version, now: datetime, *, revision: int, created: bool = False) -> WriteResult:
    effect: Effect = "created" if created else "updated"
    if version.due is not None:
        shown = schemas.scheduled(version.document, revision, rfc3339(version.due), rfc3339(now))
        return WriteResult(version.id, f"0-{revision}", shown, effect)
    return WriteResult(version.id, f"{version.number}-0", schemas.published(version.document), effect)


def _cancelled(article_id: str) -> WriteResult:
    return WriteResult(article_id, "", schemas.Cancelled(id=article_id).model_dump())


def _still_withdrawn(result: WriteResult) -> WriteResult:
    status = result.view["status"]
    if status in ("cancelled", Status.RETRACTED.value):
        return result
    raise article_problems.republished(result.article_id, status)


def _patched(found: StoredArticle, patch: dict[str, Any]) -> ArticleDraft:
    state = found.state
    if found.document is None:
        raise article_problems.retracted("there is nothing to patch; PUT it whole to publish it again")
    members = draft_members(orjson.loads(found.document))
    if state.embargo_until is not None:
        members["embargo_until"] = state.embargo_until
    if state.version or members["published_at"] == state.embargo_until:
        del members["published_at"]  # it is kept, or follows the embargo, unless the patch names another
    try:
        return ArticleDraft.model_validate(patched(members, patch))
    except ValidationError as error:
        raise from_validation_error(error, ArticleDraft) from None


def _with_kept_members(draft: ArticleDraft, state: ArticleState, now: datetime) -> ArticleDraft:
    """Fill in what an article keeps where its publisher does not send it again."""
    if state.external_id is not None and draft.external_id not in (None, state.external_id):
        raise invalid(
            "external_id",
            f"is '{state.external_id}' and cannot be changed",
            "leave it out, or publish another article",
        )
    if state.version > 0 and draft.embargo_until is not None and draft.embargo_until > now:
        raise invalid("embargo_until", "the article was published before", "leave it out, or retract the article")
    if state.held is not None and article_problems.embargo_passed(draft, now):
        raise article_problems.held()
    is_new = draft.embargo_until is not None and rfc3339(draft.embargo_until) != state.embargo_until
    if state.status is not Status.PUBLISHED and is_new and article_problems.embargo_is_wrong(draft, now):
        raise article_problems.wrong_embargo(draft)
    known = state.source_version
    if known is not None and draft.source_version is not None and draft.source_version < known:
        what = f"{draft.source_version} is older than {known}, which is stored"
        error = FieldError("source_version", what, "send what your system holds now, with its version")
        raise problem(409, "older-version", f"source_version: {what}", title="Older version", errors=[error])
    return draft.model_copy(
        update={
            "external_id": state.external_id if draft.external_id is None else draft.external_id,
            "source_version": known if draft.source_version is None else draft.source_version,
        }
    )


def _is_unchanged(version: Version, document: dict[str, Any], state: ArticleState) -> bool:
    """Tell whether a version would be no other than what is there."""
    if state.status is Status.PUBLISHED:
        return not version.document["changed"]
    due = rfc3339(version.due) if version.due is not None else None
    as_silent = document["silent"] == version.document["silent"]
    return due == state.embargo_until and as_silent and not changed(document, version.document)

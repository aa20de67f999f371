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
from newswire.observability import telemetry
from newswire.storage.article_records import Head
from newswire.timestamps import rfc3339
from newswire_ingest.articles import refusals
from newswire_ingest.articles import schemas as answers
from newswire_ingest.articles.patch import patched
from newswire_ingest.articles.publishing import (
    Version,
    due_after,
    is_article_id,
    new_mark,
    next_version,
    retraction_event,
    tombstone,
)
from newswire_ingest.articles.repository import ArticleStore, Claim, Outcome, Repeatable
from newswire_ingest.content.body_sanitiser import sanitise_body
from newswire_ingest.content.content import changed, draft_members
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.content.sanitised_body import SanitisedBody
from newswire_ingest.labels.repository import Taxonomy
from newswire_ingest.limits.limits import Limits

PATH = "/v1/articles"
TRIES = 100
"""How often a change is begun anew because somebody else was faster; each time one of all got through."""


@dataclass(frozen=True, slots=True)
class Change:
    """Who wants something changed, on what condition, and how a repeat of the request is known."""

    caller: Caller
    fingerprint: str
    trace: str
    repeatable: Repeatable | None = None
    conditions: Preconditions = field(default_factory=Preconditions)

    def claim(self, now: datetime) -> Claim:
        """Return it as the store takes it."""
        return Claim(self.caller, now, self.fingerprint, self.repeatable)


@dataclass(frozen=True, slots=True)
class Found:
    """An article as it is: its document is that of the last version, or what will be the first; None once retracted."""

    head: Head
    document: bytes | None


Find = Callable[[Caller], Awaitable[Found]]
"""Finds the caller's article that a request is about."""


Effect = Literal["created", "updated", "unchanged"]
"""What a request did to its article."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a request: the article as it is now."""

    article_id: str
    state: str
    view: dict[str, Any]
    effect: Effect = "unchanged"

    @property
    def created(self) -> bool:
        """Whether the article was not there before."""
        return self.effect == "created"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request would do to its article: the version that it would write after the state found."""

    effect: Effect
    version: Version
    found: Found | None


class Editor:
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

    async def find(self, article_id: str, caller: Caller) -> Found:
        """Return one of the caller's own articles."""
        found = await self._find(article_id)
        if found is None or found.head.publisher != caller.account:
            raise not_found("article of yours")
        if found.head.status is Status.SCHEDULED and not caller.sees_scheduled:
            raise not_found("article of yours")
        return found

    async def find_external(self, external_id: str, caller: Caller) -> Found:
        """Return the caller's article with this id of theirs."""
        article_id = await self._store.with_external_id(caller.account, external_id)
        if article_id is None:
            raise not_found("article of yours")
        return await self.find(article_id, caller)

    async def create(self, draft: ArticleDraft, change: Change) -> Done:
        """Publish or schedule a new article."""
        _, done = await self._create(draft, change, upsert=False)
        if done is None:
            raise unavailable("the article's id is taken; send the request again")
        return done

    async def put(self, article_id: str, draft: ArticleDraft, change: Change) -> Done:
        """Give an article this content whole: its next version or revision, or nothing where nothing differs."""
        return await self._change(partial(self.find, article_id), change, lambda _: draft)

    async def patch(self, find: Find, patch: dict[str, Any], change: Change) -> Done:
        """Change some members of an article."""

        def draft(found: Found) -> ArticleDraft:
            return _patched(found, patch)

        return await self._change(find, change, draft, corrects=bool(patch.get("correction_note")))

    async def put_external(
        self, external_id: str, draft: ArticleDraft, change: Change, *, imported: bool = False
    ) -> Done:
        """Create the article with this id of the publisher's, or give it this content.

        What is ``imported`` is expected not to be known yet, which spares a question; and a retracted article stays so.
        """
        if not imported and (before := await self._before(change)):
            return before
        draft = draft.model_copy(update={"external_id": external_id})
        for attempt in range(TRIES):
            ask = attempt > 0 or not imported
            article_id = await self._store.with_external_id(change.caller.account, external_id) if ask else None
            if article_id is None:
                change.conditions.check(None)
                article_id, done = await self._create(draft, change, upsert=True)
                if done is not None:
                    return done
            found = await self._find(article_id)
            if imported and found is not None and found.document is None:
                raise refusals.retracted("PUT it by itself to publish it again")
            if found is not None and (done := await self._changed(found, draft, change)):
                return done
        raise refusals.busy()

    async def repeated(self, change: Change) -> Done | None:
        """Return the answer of a request that was done before; None where it is new."""
        return await self._before(change)

    async def plan(self, draft: ArticleDraft, change: Change, foreseen: Found | None = None) -> Plan:
        """Return what `put_external` of an import, or `create` without an external id, would do now; nothing is written.

        ``foreseen`` is the article as it would be by then, where that is known better than it stands on record.
        """
        found = foreseen
        if found is None and draft.external_id is not None:
            article_id = await self._store.with_external_id(change.caller.account, draft.external_id)
            found = await self._find(article_id) if article_id else None
        now = await self._now(draft)
        if found is None:
            if refusals.embargo_is_wrong(draft, now):
                raise refusals.wrong_embargo(draft)
            body = await _sanitised(draft)
            if draft.external_id is None:  # no later line can be about it, so nothing of its content is needed
                return Plan("created", Version("", 1, {}, b"", due_after(draft, now)), None)
            spelt = await self._taxonomy.spelt(draft, change.caller.account)
            version = next_version(
                spelt.draft,
                id_="",
                publisher=change.caller.account,
                site=self._site,
                now=now,
                traceparent=change.trace,
                body=body,
            )
            return Plan("created", version, None)
        if found.document is None:
            raise refusals.retracted("PUT it by itself to publish it again")
        version, is_new = await self._following_version(found, _following(draft, found.head, now), change.trace, now)
        return Plan("updated" if is_new else "unchanged", version, found)

    async def find_any(self, article_id: str, _: Caller) -> Found:
        """Return an article, whoever published it: for operators."""
        found = await self._find(article_id)
        if found is None:
            raise not_found("article")
        return found

    async def take_down(self, article_id: str, reason: str, change: Change) -> Done:
        """Retract any article for an operator, or cancel it before it is out. Its publisher cannot publish it again."""
        return await self.withdraw(partial(self.find_any, article_id), reason, change, by_operator=True)

    async def withdraw(self, find: Find, reason: str | None, change: Change, *, by_operator: bool = False) -> Done:
        """Retract an article, or take it back before it is out.

        A repeat is answered as long as that is still so: once the article was published again, it is refused.
        """
        if before := await self._before(change, cancelled_is_done=True):
            return _still_withdrawn(before)
        mark = new_mark()
        for _ in range(TRIES):
            found = await find(change.caller)
            change.conditions.check(found.head.state)
            done = await (
                self._cancel(found, change)
                if found.head.status is Status.SCHEDULED
                else self._retract(found, reason, change, mark, by_operator=by_operator)
            )
            if done is not None:
                return _still_withdrawn(done)
        raise refusals.busy()

    async def _now(self, draft: ArticleDraft) -> datetime:
        """Return the time; whether an embargo is over is for the one clock to say that all processes share."""
        return self._clock() if draft.embargo_until is None else await self._store.time()

    async def _create(self, draft: ArticleDraft, change: Change, *, upsert: bool) -> tuple[str, Done | None]:
        """Return the id of the new article, or of the one that has its external id already: then nothing is done."""
        now, id_ = await self._now(draft), str(ULID()).lower()
        if refusals.embargo_is_wrong(draft, now):
            return await self._known(draft, change, upsert=upsert)
        body = await _sanitised(draft)
        quota = self._limits.quota(change.caller, now)
        for attempt in range(TRIES):
            spelt = await self._taxonomy.spelt(draft, change.caller.account, refresh=attempt > 0)
            version = next_version(
                spelt.draft,
                id_=id_,
                publisher=change.caller.account,
                site=self._site,
                now=now,
                traceparent=change.trace,
                body=body,
            )
            version = replace(version, respelt=spelt.respelt)
            outcome = await self._store.create(version, change.claim(now), quota, upsert=upsert)
            if outcome.verdict != "MISSPELT":  # a label was used first, or merged, since this process looked
                break
        match outcome.verdict:
            case "OK":
                _count(outcome, version.document["kind"])
                return version.id, _written(version, now, revision=1, created=True)
            case "REPEAT":
                return outcome.article_id, await self._as_it_is(outcome.article_id)
            case "EXTERNAL_TAKEN" if upsert:
                return outcome.article_id, None
            case "STALE":
                return version.id, None
            case "OVER_QUOTA":
                raise self._limits.over_quota(change.caller, now)
            case _:
                raise self._refusal(outcome)

    async def _known(self, draft: ArticleDraft, change: Change, *, upsert: bool) -> tuple[str, Done | None]:
        """Answer as `_create` does for a draft whose embargo could only stand where it was sent before, and was right then."""
        if before := await self._before(change):
            return before.article_id, before
        known = draft.external_id and await self._store.with_external_id(change.caller.account, draft.external_id)
        if not known:
            raise refusals.wrong_embargo(draft)
        if upsert:
            return known, None
        found = await self._find(known)
        if found is None or found.head.fingerprint != change.fingerprint:
            raise refusals.external_taken(f"{self._site}{PATH}/{known}")
        return known, await self._as_it_is(known)

    async def _change(
        self, find: Find, change: Change, draft: Callable[[Found], ArticleDraft], corrects: bool | None = None
    ) -> Done:
        if before := await self._before(change):
            return before
        for _ in range(TRIES):
            found = await find(change.caller)
            change.conditions.check(found.head.state)
            if done := await self._changed(found, draft(found), change, corrects):
                return done
        raise refusals.busy()

    async def _changed(
        self, found: Found, draft: ArticleDraft, change: Change, corrects: bool | None = None
    ) -> Done | None:
        """Write what follows the state found; None where it is that no more."""
        change.conditions.check(found.head.state)
        now, head = await self._now(draft), found.head
        following = _following(draft, head, now)
        version, is_new = await self._following_version(found, following, change.trace, now, corrects)
        if not is_new:
            outcome = await self._store.leave(change.claim(now), head)
            return await self._settled(outcome, Done(head.id, head.state, answers.view(head, found.document)))
        outcome = await self._store.change(version, change.claim(now), head)
        if outcome.verdict == "MISSPELT":
            await self._taxonomy.spelt(following, head.publisher, refresh=True)
            return None
        _count(outcome, version.document["kind"])
        return await self._settled(outcome, _written(version, now, revision=head.revision + 1))

    async def _following_version(
        self, found: Found, following: ArticleDraft, trace: str, now: datetime, corrects: bool | None = None
    ) -> tuple[Version, bool]:
        """Return the version that follows the state found, and whether anything in it is new."""
        head = found.head
        spelt = await self._taxonomy.spelt(following, head.publisher)
        document = orjson.loads(found.document) if found.document is not None else None
        version = next_version(
            spelt.draft,
            id_=head.id,
            publisher=head.publisher,
            site=self._site,
            now=now,
            traceparent=trace,
            number=head.version + 1,
            earlier=document if head.version else None,
            first_published=head.published_at if head.version else None,
            corrects=bool(spelt.draft.correction_note) if corrects is None else corrects,
            body=await _sanitised(spelt.draft),
        )
        return replace(version, respelt=spelt.respelt), document is None or not _same(version, document, head)

    async def _retract(
        self, found: Found, reason: str | None, change: Change, mark: str, *, by_operator: bool
    ) -> Done | None:
        head, now = found.head, self._clock()
        if found.document is not None:
            remains = tombstone(ArticlePublished.model_validate_json(found.document), reason, now)
            revision = head.revision + 1
        elif head.tombstone is not None:
            remains, revision = head.tombstone, head.revision
        else:
            return None
        told = retraction_event(remains, site=self._site, traceparent=change.trace)
        stored = remains.model_dump_json(exclude_none=True).encode()
        outcome = await self._store.retract(head, change.claim(now), stored, told, mark, by_operator=by_operator)
        _count(outcome, "retracted")
        done = Done(head.id, f"{head.version}-{revision}", answers.retracted(remains))
        return await self._settled(outcome, done)

    async def _settled(self, outcome: Outcome, done: Done) -> Done | None:
        """Return what became of a call: ``done`` if it got through, None if somebody else was faster."""
        match outcome.verdict:
            case "OK":
                return done
            case "STALE":
                return None
            case "REPEAT":
                return await self._as_it_is(outcome.article_id)
            case _:
                raise self._refusal(outcome)

    async def _cancel(self, found: Found, change: Change) -> Done | None:
        outcome = await self._store.cancel(found.head, change.claim(self._clock()))
        match outcome.verdict:
            case "OK" | "REPEAT":
                return _cancelled(found.head.id)
            case "STALE":
                return None
            case _:
                raise self._refusal(outcome)

    async def _before(self, change: Change, *, cancelled_is_done: bool = False) -> Done | None:
        """Return the answer of a request that was done before; None where it is new."""
        outcome = await self._store.repeated(change.claim(self._clock()))
        if outcome is None:
            return None
        match outcome.verdict:
            case "REPEAT":
                telemetry.repeated.inc()
                return await self._as_it_is(outcome.article_id)
            case "CANCELLED" if cancelled_is_done:
                return _cancelled(outcome.article_id)
            case _:
                raise self._refusal(outcome)

    async def _as_it_is(self, article_id: str) -> Done:
        found = await self._find(article_id)
        if found is None:
            raise unavailable("the article is being changed; send the request again")
        return Done(article_id, found.head.state, view(found))

    async def _find(self, article_id: str) -> Found | None:
        found = await self._store.find(article_id) if is_article_id(article_id) else None
        return Found(*found) if found else None

    def _refusal(self, outcome: Outcome) -> ProblemError:
        match outcome.verdict:
            case "KEY_MISMATCH":
                return refusals.key_mismatch()
            case "EXTERNAL_TAKEN":
                return refusals.external_taken(f"{self._site}{PATH}/{outcome.article_id}")
            case "CANCELLED":
                return refusals.was_cancelled(outcome.article_id)
            case "REVOKED":
                return unauthorised("the key sent is not valid")
            case "TAKEN_DOWN":
                return refusals.taken_down()
            case _:
                return refusals.busy()


async def _sanitised(draft: ArticleDraft) -> SanitisedBody:
    try:
        return await sanitise_body(draft.body, draft.canonical_url)
    except MarkupLimitError as error:
        raise invalid("body", error.problem, error.fix) from None
    except OffloadError:
        raise overloaded() from None


def view(found: Found) -> dict[str, Any]:
    """Return an article as its publisher sees it."""
    if found.document is None and found.head.tombstone is None:
        raise unavailable("the article is being changed; send the request again")
    return answers.view(found.head, found.document)


def _count(outcome: Outcome, kind: str) -> None:
    if outcome.entry:
        telemetry.published.labels(kind).inc()


def _written(version: Version, now: datetime, *, revision: int, created: bool = False) -> Done:
    effect: Effect = "created" if created else "updated"
    if version.due is not None:
        shown = answers.scheduled(version.document, revision, rfc3339(version.due), rfc3339(now))
        return Done(version.id, f"0-{revision}", shown, effect)
    return Done(version.id, f"{version.number}-0", answers.published(version.document), effect)


def _cancelled(article_id: str) -> Done:
    return Done(article_id, "", answers.Cancelled(id=article_id).model_dump())


def _still_withdrawn(done: Done) -> Done:
    status = done.view["status"]
    if status in ("cancelled", Status.RETRACTED.value):
        return done
    raise refusals.republished(done.article_id, status)


def _patched(found: Found, patch: dict[str, Any]) -> ArticleDraft:
    head = found.head
    if found.document is None:
        raise refusals.retracted("there is nothing to patch; PUT it whole to publish it again")
    members = draft_members(orjson.loads(found.document))
    if head.embargo_until is not None:
        members["embargo_until"] = head.embargo_until
    if head.version or members["published_at"] == head.embargo_until:
        del members["published_at"]  # it is kept, or follows the embargo, unless the patch names another
    try:
        return ArticleDraft.model_validate(patched(members, patch))
    except ValidationError as error:
        raise from_validation_error(error, ArticleDraft) from None


def _following(draft: ArticleDraft, head: Head, now: datetime) -> ArticleDraft:
    """Fill in what an article keeps where its publisher does not send it again."""
    if head.external_id is not None and draft.external_id not in (None, head.external_id):
        raise invalid(
            "external_id",
            f"is '{head.external_id}' and cannot be changed",
            "leave it out, or publish another article",
        )
    if head.version > 0 and draft.embargo_until is not None and draft.embargo_until > now:
        raise invalid("embargo_until", "the article was published before", "leave it out, or retract the article")
    if head.held is not None and refusals.embargo_passed(draft, now):
        raise refusals.held()
    is_new = draft.embargo_until is not None and rfc3339(draft.embargo_until) != head.embargo_until
    if head.status is not Status.PUBLISHED and is_new and refusals.embargo_is_wrong(draft, now):
        raise refusals.wrong_embargo(draft)
    known = head.source_version
    if known is not None and draft.source_version is not None and draft.source_version < known:
        what = f"{draft.source_version} is older than {known}, which is stored"
        error = FieldError("source_version", what, "send what your system holds now, with its version")
        raise problem(409, "older-version", f"source_version: {what}", title="Older version", errors=[error])
    return draft.model_copy(
        update={
            "external_id": head.external_id if draft.external_id is None else draft.external_id,
            "source_version": known if draft.source_version is None else draft.source_version,
        }
    )


def _same(version: Version, document: dict[str, Any], head: Head) -> bool:
    """Tell whether a version would be no other than what is there."""
    if head.status is Status.PUBLISHED:
        return not version.document["changed"]
    due = rfc3339(version.due) if version.due is not None else None
    as_silent = document["silent"] == version.document["silent"]
    return due == head.embargo_until and as_silent and not changed(document, version.document)

"""The sheets of the acts: each says who will be notified, what changes and what was remarked, before its button does it.

The form carries the revision that was on screen; the service does an act once for a revision, however often the form is sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Request
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.http.forms import FormData
from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import not_found
from newswire.keys import Keyspace
from newswire.previews import PATH as PREVIEW_PATH
from newswire.previews import keep_preview
from newswire_ingest.articles.errors import InvalidDraftError, InvalidMemberError
from newswire_ingest.articles.models import WriteResult
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.desk import assets, zones
from newswire_ingest.desk.differences import Difference, differences
from newswire_ingest.desk.field_errors import field_error
from newswire_ingest.desk.visit import PATH, Visit, Visits, act_named, see_other, whole_number
from newswire_ingest.drafts.act_requests import ActRequest, PublicationTime
from newswire_ingest.drafts.audience import Audiences
from newswire_ingest.drafts.errors import ArticleChangedError, DraftConflictError, WrongActError
from newswire_ingest.drafts.models import Draft, DraftAct
from newswire_ingest.drafts.refusals import refusals_of
from newswire_ingest.drafts.service import DraftService
from newswire_ingest.drafts.zoned_time import Note, resolve

SHEET = f"{PATH}/drafts/{{draft_id}}/{{act}}"


@dataclass(frozen=True, slots=True)
class SheetState:
    """What a sheet shows besides the draft: what was typed, and why the act was not done."""

    local: str = ""
    zone: str = "UTC"
    note: str = ""
    errors: Sequence[str] = ()
    article_revision: str = ""
    """The state of the article that the person looks at, if that has changed since the text of the draft started from it."""
    asks_for_past: bool = False


class Sheets:
    """Makes the sheets, and does the acts."""

    def __init__(
        self,
        drafts: DraftService,
        audiences: Audiences,
        articles: ArticleService,
        visits: Visits,
    ) -> None:
        self.drafts = drafts
        self._audiences = audiences
        self._articles = articles
        self._visits = visits

    async def page(
        self, visit: Visit, draft: Draft, act: DraftAct, seen: int, state: SheetState, *, status: int = 200
    ) -> Response:
        """Return a sheet."""
        is_current = draft.revision == seen
        can = is_current and act in draft.acts
        article = await self._article(draft)
        return self._visits.page(
            visit,
            "act.html",
            scripts=[assets.FORMS],
            status=status,
            act=act,
            draft=draft,
            seen=seen,
            state=state,
            is_current=is_current,
            can=can,
            audience=await self._audiences.of_article(article, act) if can else None,
            changes=await self._changes(visit, draft, article),
            remarks=await self.drafts.check(draft, article["body"] if article else None),
            field_error=partial(field_error, texts=visit.texts),
            zones=zones.zone_names(),
        )

    async def _article(self, draft: Draft) -> dict[str, Any] | None:
        """Return the article that a draft would become; None where it has too much markup, as a remark says."""
        try:
            return await self.drafts.preview(draft)
        except MarkupLimitError:
            return None

    async def _changes(self, visit: Visit, draft: Draft, new: dict[str, Any] | None) -> list[Difference] | None:
        """Return what differs from the published article; None for a new one, and where there is nothing to compare."""
        if draft.article is None or new is None:
            return None
        found = await self._articles.find(draft.article.id, visit.caller)
        if found.document is None:
            return None
        return await asyncio.to_thread(differences, orjson.loads(found.document), new)

    async def carry_out(
        self, visit: Visit, draft_id: str, act: DraftAct, seen: int, sent: FormData
    ) -> tuple[WriteResult, Note]:
        """Do an act with what its form says. The note is about its time, where clocks skip or repeat it."""
        if act is DraftAct.RETRACT:  # the page of the article does this
            raise not_found("page")
        at, note = await self._time(visit, draft_id, sent) if act is DraftAct.SCHEDULE else (None, "")
        wanted = ActRequest(
            act,
            seen,
            visit.actor,
            sent.one("article_revision") or None,
            at,
            sent.one("note").strip() or None if act is DraftAct.CORRECT else None,
        )
        return await self.drafts.carry_out(visit.account, draft_id, wanted), note

    async def _time(self, visit: Visit, draft_id: str, sent: FormData) -> tuple[PublicationTime | None, Note]:
        """Return when to publish. A time that the sheet showed, and that was left as it was, is the one that the article has.

        The field has no seconds, and shows alike the two times that clocks repeat in autumn.
        """
        local, zone, past_is_meant = sent.one("local"), sent.one("zone"), sent.one("past_is_meant") == "on"
        if not local:
            return None, ""
        found = resolve(local, zone)
        article = (await self.drafts.editing.find(visit.account, draft_id)).article
        due = datetime.fromisoformat(article.embargo_until) if article and article.embargo_until else None
        if due and zones.local_input(due, zone) == local:
            return PublicationTime(due, found.zone, found.local, past_is_meant), ""
        return PublicationTime(found.utc, found.zone, found.local, past_is_meant), found.note

    def refused(self, visit: Visit, error: Exception, state: SheetState) -> SheetState | None:
        """Return the sheet's state after a refusal; None for an error that has no place on a sheet."""
        match error:
            case InvalidMemberError() if error.member == "at" and "past" in error.problem + error.fix:
                return replace(state, asks_for_past=True, errors=[visit.texts["time_has_passed"]])
            case ArticleChangedError():
                return replace(
                    state, article_revision=error.article_revision, errors=[visit.texts["article_changed_meanwhile"]]
                )
            case DraftConflictError():
                return replace(state, errors=[])
            case InvalidMemberError() | InvalidDraftError():
                return replace(state, errors=[field_error(each, visit.texts) for each in refusals_of(error)])
            case WrongActError():
                return replace(state, errors=[visit.texts["does_not_apply"]])
            case _:
                return None


def router(sheets: Sheets, visits: Visits, problems: ProblemMakers, redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the pages."""
    routes = visits.workspace.routes(problems)
    drafts, keep = sheets.drafts, partial(keep_preview, redis, keys)

    @routes.post(f"{PATH}/drafts/{{draft_id}}/preview")
    async def preview(request: Request, draft_id: str) -> Response:
        visit = await visits.begin(request)
        await visits.browsers.read_form(request, visit.signed_in)
        article = await drafts.preview(await drafts.editing.find(visit.account, draft_id))
        return see_other(f"{PREVIEW_PATH}/{await keep(article)}")

    @routes.get(SHEET)
    async def sheet(request: Request, draft_id: str, act: str) -> Response:
        visit, wanted = await visits.begin(request), act_named(act)
        visit.check(wanted)
        draft = await drafts.editing.find(visit.account, draft_id)
        if wanted is DraftAct.RETRACT and draft.article is not None:
            return see_other(visit.path("articles", draft.article.id, "retract"))
        seen = request.query_params.get("revision")
        revision = whole_number(seen, "revision") if seen else draft.revision
        due = draft.article.embargo_until if draft.article else None
        local = zones.local_input(datetime.fromisoformat(due), visit.zone) if due else ""
        note = draft.content.correction_note or ""
        return await sheets.page(visit, draft, wanted, revision, SheetState(local, visit.zone, note))

    @routes.post(SHEET)
    async def do(request: Request, draft_id: str, act: str) -> Response:
        visit, wanted = await visits.begin(request), act_named(act)
        visit.check(wanted)
        sent = await visits.browsers.read_form(request, visit.signed_in)
        seen = whole_number(sent.one("revision"), "revision")
        zone = sent.one("zone") if sent.one("zone") in zones.zone_names() else visit.zone
        state = SheetState(sent.one("local"), zone, sent.one("note"), article_revision=sent.one("article_revision"))
        try:
            result, clocks = await sheets.carry_out(visit, draft_id, wanted, seen, sent)
        except Exception as error:
            told = sheets.refused(visit, error, state)
            if told is None:
                raise
            draft = await drafts.editing.find(visit.account, draft_id)
            return await sheets.page(visit, draft, wanted, seen, told, status=409)
        told_of = {"done": wanted.value} | ({"clocks": clocks} if clocks else {})
        response = see_other(visit.path("articles", result.article_id, **told_of))
        if wanted is DraftAct.SCHEDULE:
            zones.keep_zone(response, zone, secure=visits.secure)
        return response

    return routes

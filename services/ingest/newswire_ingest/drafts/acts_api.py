"""The publishers' API that checks, previews and publishes drafts."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from newswire.article import Article
from newswire.auth.credentials import Caller
from newswire.http.pagination import json_answer
from newswire.http.problem_responses import problems
from newswire.http.problems import invalid
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body, query_params
from newswire.preconditions import etag
from newswire.timestamps import rfc3339
from newswire.validation.rfc3339 import parse_date_time
from newswire_ingest.articles.models import WriteResult
from newswire_ingest.drafts.act_requests import ActRequest, PublicationTime
from newswire_ingest.drafts.api import IF_MATCH, PATH, DraftId, Writer, key_actor, seen_revision
from newswire_ingest.drafts.audience import Audiences
from newswire_ingest.drafts.models import DraftAct
from newswire_ingest.drafts.schemas import (
    ActRequestBody,
    ActResult,
    AudienceParams,
    AudienceView,
    CorrectionRequest,
    RemarkList,
    ScheduleRequest,
    draft_document,
)
from newswire_ingest.drafts.service import DraftService
from newswire_ingest.drafts.zoned_time import ZonedTime, resolve
from newswire_ingest.limits.dependencies import publishing

Publisher = Annotated[Caller, Depends(publishing)]
Plain = Annotated[ParsedBody[ActRequestBody], Depends(json_body(ActRequestBody, optional=True))]
Correction = Annotated[ParsedBody[CorrectionRequest], Depends(json_body(CorrectionRequest, optional=True))]
Schedule = Annotated[ParsedBody[ScheduleRequest], Depends(json_body(ScheduleRequest, optional=True))]
_DOCUMENTED: dict[str, Any] = {
    "response_model": ActResult,
    "responses": problems(
        "wrong-act",
        "draft-discarded",
        "external-id-taken",
        "older-version",
        "retracted-by-operator",
        "draft-changed",
        "article-changed",
        "if-match-needed",
        "rate-limited",
        "quota-exceeded",
    ),
    "openapi_extra": {"parameters": [IF_MATCH]},
}


def router(drafts: DraftService, audiences: Audiences) -> APIRouter:
    """Return the routes of acts. Each can be repeated: one revision is published once."""
    routes = APIRouter(prefix=PATH, tags=["drafts"])

    @routes.get("/{draft_id}/checks", response_model=RemarkList, summary="Check a draft before it is published")
    async def check_draft(caller: Writer, _: NoParameters, draft_id: DraftId) -> Response:
        remarks = await drafts.check(await drafts.editing.find(caller.account, draft_id))
        return json_answer({"remarks": [asdict(each) for each in remarks]})

    @routes.get("/{draft_id}/preview", response_model=Article, summary="Read the article that a draft would become")
    async def preview_draft(caller: Writer, _: NoParameters, draft_id: DraftId) -> Response:
        return json_answer(await drafts.preview(await drafts.editing.find(caller.account, draft_id)))

    @routes.get(
        "/{draft_id}/audience",
        response_model=AudienceView,
        summary="Count who would be notified of an act with a draft",
    )
    async def read_audience(
        caller: Writer,
        draft_id: DraftId,
        wanted: Annotated[AudienceParams, Depends(query_params(AudienceParams))],
    ) -> Response:
        found = await audiences.of(await drafts.editing.find(caller.account, draft_id), wanted.act)
        return json_answer(
            {
                "webhooks": found.webhooks,
                "mails": found.mails.model_dump() if found.mails else None,
                "unknown_reason": found.unknown_reason,
            }
        )

    async def answer(
        caller: Caller, draft_id: str, result: WriteResult, understood: ZonedTime | None = None
    ) -> Response:
        draft = await drafts.editing.find(caller.account, draft_id)
        content: dict[str, Any] = {
            "draft": draft_document(draft),
            "article": result.view,
            "article_revision": result.revision_tag,
        }
        if understood is not None:
            content["understood"] = {
                "utc": rfc3339(understood.utc),
                "local": understood.local,
                "zone": understood.zone,
                "note": understood.note,
            }
        return json_answer(content, headers={"ETag": etag(str(draft.revision))})

    async def carry_out(
        caller: Caller,
        request: Request,
        draft_id: str,
        act: DraftAct,
        sent: ActRequestBody,
    ) -> Response:
        seen = await seen_revision(request, caller, drafts.editing, draft_id)
        at, understood = _time(sent) if isinstance(sent, ScheduleRequest) else (None, None)
        wanted = ActRequest(
            act,
            seen,
            key_actor(caller, request),
            sent.article_revision,
            at,
            sent.correction_note if isinstance(sent, CorrectionRequest) else None,
        )
        return await answer(caller, draft_id, await drafts.carry_out(caller.account, draft_id, wanted), understood)

    @routes.post("/{draft_id}/publish", summary="Publish a draft now", **_DOCUMENTED)
    async def publish_draft(request: Request, caller: Publisher, sent: Plain, draft_id: DraftId) -> Response:
        return await carry_out(caller, request, draft_id, DraftAct.PUBLISH, sent.model)

    @routes.post("/{draft_id}/schedule", summary="Schedule a draft, or change a scheduled article", **_DOCUMENTED)
    async def schedule_draft(request: Request, caller: Publisher, sent: Schedule, draft_id: DraftId) -> Response:
        return await carry_out(caller, request, draft_id, DraftAct.SCHEDULE, sent.model)

    @routes.post("/{draft_id}/update", summary="Replace the text of the published article", **_DOCUMENTED)
    async def update_article(request: Request, caller: Publisher, sent: Plain, draft_id: DraftId) -> Response:
        return await carry_out(caller, request, draft_id, DraftAct.UPDATE, sent.model)

    @routes.post("/{draft_id}/correct", summary="Correct the published article, with a note", **_DOCUMENTED)
    async def correct_article(request: Request, caller: Publisher, sent: Correction, draft_id: DraftId) -> Response:
        return await carry_out(caller, request, draft_id, DraftAct.CORRECT, sent.model)

    return routes


def _time(wanted: ScheduleRequest) -> tuple[PublicationTime | None, ZonedTime | None]:
    """Return when to publish, and how a local time was understood."""
    if wanted.at is None:
        if wanted.zone is not None:
            raise invalid("zone", "needs a time", "send the local time as 'at'")
        return None, None
    if wanted.zone is not None:
        found = resolve(wanted.at, wanted.zone)
        return PublicationTime(found.utc, found.zone, found.local, wanted.past_is_meant), found
    try:
        utc = parse_date_time(wanted.at)
    except (ValueError, OverflowError):
        fix = "send an RFC 3339 date-time such as 2026-03-01T09:30:00Z, or a local time with 'zone'"
        raise invalid("at", "is neither a date-time with an offset, nor a local time with 'zone'", fix) from None
    return PublicationTime(utc, past_is_meant=wanted.past_is_meant), None

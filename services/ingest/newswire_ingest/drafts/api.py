"""The publishers' API for drafts: everything but the acts, which are in `newswire_ingest.drafts.acts_api`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from newswire.auth.authentication import authorised, request_actor
from newswire.auth.credentials import Caller, Scope
from newswire.http.pagination import OptionalText, PageParams, json_answer, next_cursor, requested_position
from newswire.http.preconditions import parameter, requested_preconditions
from newswire.http.problem_responses import problems
from newswire.http.problems import invalid
from newswire.http.request_parsing import NoParameters, ParsedBody, json_body, query_params, single_headers
from newswire.preconditions import PreconditionRequiredError, etag
from newswire_ingest.drafts.content import DraftContent
from newswire_ingest.drafts.editing import DraftEditing
from newswire_ingest.drafts.models import Draft, DraftActor, DraftState
from newswire_ingest.drafts.schemas import (
    DraftList,
    DraftRequest,
    DraftView,
    RevisionList,
    content_document,
    draft_document,
    listed_document,
    revision_document,
)
from newswire_ingest.drafts.selection import DraftSelection

PATH = "/v1/drafts"
IF_MATCH = parameter("If-Match", "The ETag of the revision that you saw. Required: any other revision is not changed.")
Writer = Annotated[Caller, Depends(authorised(Scope.PUBLISH))]
DraftId = Annotated[str, Path(description="The id from the response to creating the draft.")]
Number = Annotated[int, Path(ge=1, le=2**53 - 1, description="The number of a revision.")]
_CHANGE_REFUSED = problems("draft-changed", "draft-discarded", "if-match-needed", "too-many-drafts")


class DraftListParams(PageParams):
    """The query parameters of the list of drafts."""

    state: Annotated[
        DraftState | None, Field(description="Only drafts in this state; by default all but discarded ones.")
    ] = None
    author: Annotated[OptionalText, Field(description="Only drafts that this user or key created or changed last.")] = (
        None
    )
    text: Annotated[OptionalText, Field(description="Only drafts with these words in the title.", max_length=200)] = (
        None
    )


def router(drafts: DraftEditing) -> APIRouter:
    """Return the routes of drafts."""
    routes = APIRouter(prefix=PATH, tags=["drafts"])

    @routes.post(
        "",
        status_code=201,
        response_model=DraftView,
        summary="Create a draft of a new article, or of a change of an article",
        responses=problems("retracted", "too-many-drafts"),
    )
    async def create_draft(
        request: Request,
        caller: Writer,
        sent: Annotated[ParsedBody[DraftRequest], Depends(json_body(DraftRequest, optional=True))],
    ) -> Response:
        wanted = sent.model
        draft = await drafts.create(caller.account, key_actor(caller, request), wanted.content, wanted.article_id)
        return draft_answer(draft, 201)

    @routes.get("", response_model=DraftList, summary="List your drafts, those changed last first")
    async def list_drafts(
        request: Request,
        caller: Writer,
        _: Annotated[None, Depends(single_headers)],
        wanted: Annotated[DraftListParams, Depends(query_params(DraftListParams))],
    ) -> Response:
        after = await requested_position(request, caller)
        selection = DraftSelection(wanted.state, wanted.author, wanted.text)
        page = await drafts.list(caller.account, selection, cursor=after, limit=wanted.limit)
        following = await next_cursor(request, caller, page.next_cursor)
        return json_answer({"drafts": [listed_document(each) for each in page.drafts], "next_cursor": following})

    @routes.get("/{draft_id}", response_model=DraftView, summary="Read a draft")
    async def read_draft(caller: Writer, _: NoParameters, draft_id: DraftId) -> Response:
        return draft_answer(await drafts.find(caller.account, draft_id))

    @routes.put(
        "/{draft_id}",
        response_model=DraftView,
        summary="Save the text of a draft; it publishes nothing",
        responses=_CHANGE_REFUSED,
        openapi_extra={"parameters": [IF_MATCH]},
    )
    async def save_draft(
        request: Request,
        caller: Writer,
        sent: Annotated[ParsedBody[DraftContent], Depends(json_body(DraftContent))],
        draft_id: DraftId,
    ) -> Response:
        seen = await seen_revision(request, caller, drafts, draft_id)
        actor = key_actor(caller, request)
        return draft_answer(await drafts.save(caller.account, draft_id, sent.model, revision=seen, actor=actor))

    @routes.delete(
        "/{draft_id}",
        response_model=DraftView,
        summary="Discard a draft; it can be recovered for some time, and its article stays as it is",
    )
    async def discard_draft(request: Request, caller: Writer, _: NoParameters, draft_id: DraftId) -> Response:
        return draft_answer(await drafts.discard(caller.account, draft_id, actor=key_actor(caller, request)))

    @routes.post("/{draft_id}/recover", response_model=DraftView, summary="Recover a discarded draft")
    async def recover_draft(request: Request, caller: Writer, _: NoParameters, draft_id: DraftId) -> Response:
        return draft_answer(await drafts.recover(caller.account, draft_id, actor=key_actor(caller, request)))

    @routes.post(
        "/{draft_id}/erase",
        status_code=204,
        summary="Erase a discarded draft with all its revisions",
        responses=problems("draft-not-discarded"),
    )
    async def erase_draft(request: Request, caller: Writer, _: NoParameters, draft_id: DraftId) -> Response:
        await drafts.erase(caller.account, draft_id, actor=key_actor(caller, request))
        return Response(status_code=204)

    @routes.get("/{draft_id}/revisions", response_model=RevisionList, summary="List the revisions of a draft")
    async def list_revisions(caller: Writer, _: NoParameters, draft_id: DraftId) -> Response:
        found = await drafts.revisions(caller.account, draft_id)
        return json_answer({"revisions": [revision_document(each) for each in found]})

    @routes.get(
        "/{draft_id}/revisions/{number}",
        response_model=DraftContent,
        summary="Read the text of one revision of a draft",
    )
    async def read_revision(caller: Writer, _: NoParameters, draft_id: DraftId, number: Number) -> Response:
        return json_answer(content_document(await drafts.revision(caller.account, draft_id, number)))

    @routes.post(
        "/{draft_id}/revisions/{number}/restore",
        response_model=DraftView,
        summary="Give a draft the text of an earlier revision again; it publishes nothing",
        responses=_CHANGE_REFUSED,
        openapi_extra={"parameters": [IF_MATCH]},
    )
    async def restore_revision(
        request: Request, caller: Writer, _: NoParameters, draft_id: DraftId, number: Number
    ) -> Response:
        seen = await seen_revision(request, caller, drafts, draft_id)
        actor = key_actor(caller, request)
        return draft_answer(await drafts.restore(caller.account, draft_id, number, revision=seen, actor=actor))

    return routes


def key_actor(caller: Caller, request: Request) -> DraftActor:
    """Return the program that sent a request, as the one who works with a draft."""
    return DraftActor(request_actor(caller, request), f"API key {caller.key_id}")


async def seen_revision(request: Request, caller: Caller, drafts: DraftEditing, draft_id: str) -> int:
    """Return the revision that ``If-Match`` names; 0, which no draft has, for an ETag of something else.

    Raises:
        newswire.preconditions.PreconditionRequiredError: it is missing.
        newswire.http.problems.ProblemError: it does not name one state (422).
    """
    tags = requested_preconditions(request).match
    if tags is None:
        found = await drafts.find(caller.account, draft_id)
        raise PreconditionRequiredError("draft", etag(str(found.revision)))
    if len(tags) != 1 or "*" in tags:
        raise invalid("If-Match", "does not name one revision", 'send the ETag of the revision that you saw: "7"')
    named = next(iter(tags)).strip('"')
    return int(named) if named.isascii() and named.isdigit() and len(named) < 16 else 0


def draft_answer(draft: Draft, status: int = 200) -> Response:
    """Return a response with a draft and the ETag of its revision."""
    headers = {"ETag": etag(str(draft.revision))}
    if status == 201:
        headers["Location"] = f"{PATH}/{draft.id}"
    return json_answer(draft_document(draft), status, headers)

"""The owner's API of newsletters."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ValidationError

from newswire.auth.authentication import authorised, request_actor
from newswire.auth.credentials import Caller, Scope
from newswire.http.pagination import json_answer
from newswire.http.preconditions import IF_MATCH, requested_preconditions
from newswire.http.problem_responses import problems
from newswire.http.problems import from_validation_error, invalid, not_found, problem, unavailable
from newswire.http.request_parsing import JSON, NoParameters, ParsedBody, json_body
from newswire.merge_patch import MEDIA_TYPE, merged, patch_of
from newswire.preconditions import etag
from newswire_notify.newsletters.dkim import DkimSigner
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.mail_folder import can_hold_mails
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.models import Newsletter, NewsletterDraft
from newswire_notify.newsletters.repository import Newsletters, SlugTakenError, TooManyNewslettersError
from newswire_notify.newsletters.schemas import (
    IssueList,
    NewsletterList,
    NewsletterView,
    issue_view,
    newsletter_view,
)
from newswire_notify.newsletters.service import NewsletterService
from newswire_notify.newsletters.trial import check_sendable

PATH = "/v1/newsletters"
MAX_UPDATE_ATTEMPTS = 20
"""How often a change is retried after a concurrent one."""

Owner = Annotated[Caller, Depends(authorised(Scope.SUBSCRIBE))]
NewsletterPatch: type[BaseModel] = patch_of(
    NewsletterDraft,
    "NewsletterPatch",
    "Changes of a newsletter, as a JSON Merge Patch (RFC 7396): null removes a member.",
)


def router(
    newsletters: Newsletters,
    service: NewsletterService,
    queue: MailQueue,
    links: Links,
    signer: DkimSigner | None,
    data_dir: Path | None,
) -> APIRouter:
    """Return the paths of newsletters for their owners. Without a mail server, mails go to the data folder."""
    routes = APIRouter(prefix=PATH, tags=["newsletters"])
    whole = Annotated[ParsedBody[NewsletterDraft], Depends(json_body(NewsletterDraft))]
    part = Annotated[ParsedBody[BaseModel], Depends(json_body(NewsletterPatch, media_types=(MEDIA_TYPE, JSON)))]

    async def owned(caller: Caller, newsletter_id: str) -> Newsletter:
        found = await newsletters.find(newsletter_id)
        if found is None or found.deleted or found.account != caller.account:
            raise not_found("newsletter")
        return found

    async def view(found: Newsletter) -> NewsletterView:
        return newsletter_view(found, links.page(found.draft.slug), await newsletters.counts(found.id))

    async def answer(found: Newsletter, status: int = 200) -> Response:
        headers = {"ETag": etag(found.revision)} | ({"Location": f"{PATH}/{found.id}"} if status == 201 else {})
        return json_answer((await view(found)).model_dump(mode="json"), status, headers)

    @routes.post(
        "",
        status_code=201,
        response_model=NewsletterView,
        summary="Create a newsletter",
        responses=problems("slug-taken", "too-many-newsletters", "no-mail-server"),
    )
    async def create(request: Request, caller: Owner, sent: whole) -> Response:
        check_sendable(sent.model, links.site, signer)
        if data_dir is not None and not await asyncio.to_thread(can_hold_mails, data_dir):
            detail = "no mail server is configured: ask the operator to set NEWSWIRE_SMTP_URL"
            raise problem(409, "no-mail-server", detail, title="No mail server")
        try:
            made = await service.create(caller.account, sent.model, by=request_actor(caller, request))
            return await answer(made, 201)
        except SlugTakenError:
            detail = f"slug: '{sent.model.slug}' belongs or belonged to a newsletter; choose another one"
            raise problem(409, "slug-taken", detail, title="Slug taken") from None
        except TooManyNewslettersError:
            detail = "this account has as many newsletters as it may have; delete one that is not needed"
            raise problem(409, "too-many-newsletters", detail, title="Too many newsletters") from None

    @routes.get("", response_model=NewsletterList, summary="List newsletters")
    async def list_newsletters(caller: Owner, _: NoParameters) -> Response:
        views = [await view(found) for found in await newsletters.of(caller.account)]
        return json_answer({"newsletters": [each.model_dump(mode="json") for each in views]})

    @routes.get(
        "/{newsletter_id}",
        response_model=NewsletterView,
        summary="Read a newsletter",
    )
    async def read(caller: Owner, _: NoParameters, newsletter_id: str) -> Response:
        return await answer(await owned(caller, newsletter_id))

    @routes.put(
        "/{newsletter_id}",
        response_model=NewsletterView,
        summary="Replace a newsletter",
        responses=problems("precondition-failed"),
        openapi_extra={"parameters": [IF_MATCH]},
    )
    async def put(request: Request, caller: Owner, sent: whole, newsletter_id: str) -> Response:
        return await update(request, caller, newsletter_id, lambda _: sent.model)

    @routes.patch(
        "/{newsletter_id}",
        response_model=NewsletterView,
        summary="Change some members of a newsletter",
        responses=problems("precondition-failed"),
        openapi_extra={"parameters": [IF_MATCH]},
    )
    async def patch(request: Request, caller: Owner, sent: part, newsletter_id: str) -> Response:
        return await update(request, caller, newsletter_id, lambda found: _patched(found, sent.raw))

    async def update(
        request: Request, caller: Caller, newsletter_id: str, draft: Callable[[Newsletter], NewsletterDraft]
    ) -> Response:
        conditions = requested_preconditions(request)
        for _ in range(MAX_UPDATE_ATTEMPTS):
            found = await owned(caller, newsletter_id)
            conditions.check(found.revision, "newsletter")
            wanted = draft(found)
            if wanted.slug != found.draft.slug:
                raise invalid("slug", "cannot be changed: mail programs sort mails by it", f"send '{found.draft.slug}'")
            check_sendable(wanted, links.site, signer)
            if await service.change(found, wanted, by=request_actor(caller, request)):
                return await answer(await owned(caller, newsletter_id))
        raise unavailable("the newsletter is being changed concurrently; send the request again")

    @routes.delete(
        "/{newsletter_id}",
        status_code=204,
        summary="Delete a newsletter: nothing more is sent, and its subscribers are erased",
    )
    async def delete(request: Request, caller: Owner, _: NoParameters, newsletter_id: str) -> Response:
        await service.delete(await owned(caller, newsletter_id), by=request_actor(caller, request))
        return Response(status_code=204)

    @routes.get(
        "/{newsletter_id}/issues",
        response_model=IssueList,
        summary="List the last issues of a newsletter with their outcomes",
    )
    async def issues(caller: Owner, _: NoParameters, newsletter_id: str) -> Response:
        found = await owned(caller, newsletter_id)
        views = [issue_view(issue).model_dump(mode="json") for issue in await queue.issues_of(found.id)]
        return json_answer({"issues": views})

    return routes


def _patched(found: Newsletter, patch: dict[str, object]) -> NewsletterDraft:
    stored = found.draft.model_dump(mode="json", exclude_defaults=True)
    try:
        return NewsletterDraft.model_validate(merged(stored, patch))
    except ValidationError as error:
        raise from_validation_error(error, NewsletterDraft) from None

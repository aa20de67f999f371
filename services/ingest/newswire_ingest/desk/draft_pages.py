"""The page of a draft: its form, saving, its history, and what happens if two people write at the same time."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from newswire.http.forms import FormData, is_json, read_form
from newswire.http.pagination import json_answer
from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import ProblemError, from_validation_error
from newswire.users.sessions import is_csrf_token
from newswire.workspace.browser_sessions import CSRF_FIELD, SIGN_IN_REQUIRED, check_origin
from newswire_ingest.desk import assets
from newswire_ingest.desk.fields import NAMES, content_with, fields_of
from newswire_ingest.desk.languages import language_choices
from newswire_ingest.desk.visit import PATH, Visit, Visits, see_other, whole_number
from newswire_ingest.drafts.content import DraftContent
from newswire_ingest.drafts.errors import DraftConflictError
from newswire_ingest.drafts.models import Draft
from newswire_ingest.drafts.service import DraftService

MAX_FORM_BYTES = 2 * 1024 * 1024
"""The form of a draft. Its text is limited to 1 MiB; in a form, a character may take three bytes."""
DRAFT = f"{PATH}/drafts/{{draft_id}}"
_STATES = (
    "saved",
    "unsaved",
    "saving",
    "offline",
    "signed-out",
    "conflict",
    "newer",
    "refused",
    "not-kept",
)
_SCRIPT_TEXTS = (
    *_STATES,
    *(f"{state}-detail" for state in ("offline", "signed-out", "conflict", "newer", "refused", "not-kept")),
    "mine",
    "theirs",
    "uploading",
    "uploaded",
    "not-uploaded",
)


def router(drafts: DraftService, visits: Visits, problems: ProblemMakers) -> APIRouter:
    """Return the pages."""
    routes = visits.workspace.routes(problems)

    def editor(visit: Visit, draft: Draft, *, error: str = "", status: int = 200) -> Response:
        return visits.page(
            visit,
            "draft.html",
            scripts=[assets.EDITOR] if assets.EDITOR else [],
            status=status,
            draft=draft,
            fields=fields_of(draft.content),
            script_texts=orjson.dumps({name: visit.texts[f"save_{name}"] for name in _SCRIPT_TEXTS}).decode(),
            languages=language_choices(visit.language),
            error=error,
        )

    @routes.get(f"{PATH}/session")
    async def session(request: Request) -> Response:
        """Tell a page that is open who is signed in now, with the token for its forms."""
        signed_in = await visits.browsers.require(request)
        return _json({"user": signed_in.user.id, "csrf": signed_in.csrf})

    @routes.get(f"{PATH}/signed-in")
    async def signed_in_again(request: Request) -> Response:
        return visits.page(await visits.begin(request), "signed_in.html")

    @routes.get(DRAFT)
    async def draft_page(request: Request, draft_id: str) -> Response:
        visit = await visits.begin(request)
        return editor(visit, await drafts.editing.find(visit.account, draft_id))

    @routes.get(f"{DRAFT}/state")
    async def state(request: Request, draft_id: str) -> Response:
        visit = await visits.begin(request)
        draft = await drafts.editing.find(visit.account, draft_id)
        return _json({"revision": draft.revision, "by": draft.updated_by.name})

    @routes.put(DRAFT)
    async def save(request: Request, draft_id: str) -> Response:
        """Save what a script sends. The answer to a conflict has the other text."""
        visit = await visits.begin(request)
        sent = await visits.browsers.read_form(request, visit.signed_in, MAX_FORM_BYTES)
        revision = whole_number(request.headers.get("if-match", "").strip('"'), "If-Match")
        try:
            draft = await _save(drafts, visit, draft_id, sent, revision)
        except DraftConflictError as conflict:
            return _json({"current": _other(conflict.current), "kept_revision": conflict.kept_revision}, 409)
        return _json({"revision": draft.revision})

    @routes.post(DRAFT)
    async def save_form(request: Request, draft_id: str) -> Response:
        """Save the form of a browser without scripts. What was typed is never lost: it is in every answer."""
        check_origin(request)
        sent = await read_form(request, MAX_FORM_BYTES)
        try:
            visit = await visits.begin(request)
        except ProblemError as error:
            if error.type != SIGN_IN_REQUIRED:
                raise
            return _kept(visits, request, sent)
        if is_json(request) or not is_csrf_token(request.cookies.get(visits.browsers.cookie, ""), sent.one(CSRF_FIELD)):
            return visits.page(visit, "resend.html", status=403, sent=sent, names=NAMES, is_signed_in=True)
        revision = whole_number(sent.one("revision"), "revision")
        try:
            draft = await _save(drafts, visit, draft_id, sent, revision)
        except DraftConflictError as conflict:
            return visits.page(
                visit,
                "conflict.html",
                status=409,
                draft=conflict.current,
                sent=sent,
                names=NAMES,
                theirs=fields_of(conflict.current.content),
                kept=conflict.kept_revision,
            )
        return see_other(visit.path("drafts", draft.id, saved=draft.revision))

    @routes.get(f"{DRAFT}/history")
    async def history(request: Request, draft_id: str) -> Response:
        visit = await visits.begin(request)
        draft = await drafts.editing.find(visit.account, draft_id)
        revisions = await drafts.editing.revisions(visit.account, draft_id)
        return visits.page(visit, "history.html", draft=draft, revisions=revisions)

    @routes.get(f"{DRAFT}/revisions/{{number}}")
    async def revision(request: Request, draft_id: str, number: str) -> Response:
        visit = await visits.begin(request)
        draft = await drafts.editing.find(visit.account, draft_id)
        wanted = whole_number(number, "revision")
        content = await drafts.editing.revision(visit.account, draft_id, wanted)
        current = fields_of(draft.content)
        return visits.page(
            visit, "revision.html", draft=draft, number=wanted, fields=fields_of(content), current=current, names=NAMES
        )

    @routes.post(f"{DRAFT}/revisions/{{number}}")
    async def restore(request: Request, draft_id: str, number: str) -> Response:
        visit = await visits.begin(request)
        sent = await visits.browsers.read_form(request, visit.signed_in)
        await drafts.editing.restore(
            visit.account,
            draft_id,
            whole_number(number, "revision"),
            revision=whole_number(sent.one("revision"), "revision"),
            actor=visit.actor,
        )
        return see_other(visit.path("drafts", draft_id))

    @routes.post(f"{DRAFT}/discard")
    async def discard(request: Request, draft_id: str) -> Response:
        visit = await visits.begin(request)
        await visits.browsers.read_form(request, visit.signed_in)
        await drafts.editing.discard(visit.account, draft_id, actor=visit.actor)
        return see_other(visit.path(show="discarded"))

    @routes.post(f"{DRAFT}/recover")
    async def recover(request: Request, draft_id: str) -> Response:
        visit = await visits.begin(request)
        await visits.browsers.read_form(request, visit.signed_in)
        draft = await drafts.editing.recover(visit.account, draft_id, actor=visit.actor)
        return see_other(visit.path("drafts", draft.id))

    return routes


async def _save(drafts: DraftService, visit: Visit, draft_id: str, sent: FormData, revision: int) -> Draft:
    base = await drafts.editing.find(visit.account, draft_id)
    try:
        content = content_with(sent, base.content)
    except ValidationError as error:
        raise from_validation_error(error, DraftContent) from None
    return await drafts.editing.save(visit.account, draft_id, content, revision=revision, actor=visit.actor)


def _other(draft: Draft) -> dict[str, Any]:
    """Return the text that another user saved, for the page of a conflict."""
    return {"revision": draft.revision, "by": draft.updated_by.name, "fields": fields_of(draft.content)}


def _kept(visits: Visits, request: Request, sent: FormData) -> Response:
    """Return the page that keeps a form while its user signs in again."""
    return visits.workspace.page(
        request,
        "resend.html",
        None,
        package=assets.PACKAGE,
        status=401,
        styles=[assets.STYLE_SHEET],
        sent=sent,
        names=NAMES,
        is_signed_in=False,
    )


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return json_answer(content, status, {"Cache-Control": "no-store"})

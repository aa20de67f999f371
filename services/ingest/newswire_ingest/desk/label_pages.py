"""The page of an account's categories and topics: how often each is used, and what it is written as from now on."""

from fastapi import APIRouter, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from newswire.http.problem_handlers import ProblemMakers
from newswire.text.folding import fold
from newswire.users.roles import Permission
from newswire.validation.fields import Label
from newswire.workspace.browser_sessions import check_permission
from newswire_ingest.desk.visit import PATH, Visit, Visits, see_other
from newswire_ingest.labels.repository import KINDS, Kind, Labels

LABELS_PATH = f"{PATH}/labels"
MAX_SHOWN = 200
_MAX_CHARS = 200
_LABEL: TypeAdapter[str] = TypeAdapter(Label)


def router(labels: Labels, visits: Visits, problems: ProblemMakers) -> APIRouter:
    """Return the page."""
    routes = visits.workspace.routes(problems)

    async def begin(request: Request) -> Visit:
        visit = await visits.begin(request)
        check_permission(visit.signed_in, visit.account, Permission.MERGE_LABELS)
        return visit

    async def page(
        visit: Visit, kind: Kind, *, status: int = 200, old: str = "", new: str = "", error: str = ""
    ) -> Response:
        query = visit.request.query_params
        text = query.get("text", "")[:_MAX_CHARS]
        found = (await labels.of_account(visit.account))[kind]
        matching = [each for each in found if fold(text) in fold(each.value)] if text else found
        merged = (await labels.merged_by(visit.account))[kind]
        return visits.page(
            visit,
            "labels.html",
            status=status,
            kinds=KINDS,
            kind=kind,
            text=text,
            labels=matching[:MAX_SHOWN],
            beyond=max(len(matching) - MAX_SHOWN, 0),
            merged=merged[:MAX_SHOWN],
            old=old,
            new=new,
            error=error,
            done=query.get("done", "")[:_MAX_CHARS],
        )

    @routes.get(LABELS_PATH)
    async def labels_page(request: Request) -> Response:
        visit = await begin(request)
        old = request.query_params.get("old", "")[:_MAX_CHARS]
        return await page(visit, _kind(request.query_params.get("kind", "")), old=old, new=old)

    @routes.post(LABELS_PATH)
    async def rename(request: Request) -> Response:
        visit = await begin(request)
        sent = await visits.browsers.read_form(request, visit.signed_in)
        kind, old, new = _kind(sent.one("kind")), sent.one("old").strip(), sent.one("new").strip()
        try:
            old, new = _LABEL.validate_python(old), _LABEL.validate_python(new)
        except ValidationError:
            error = visit.texts["label_wrong"]
            return await page(visit, kind, status=422, old=old[:_MAX_CHARS], new=new[:_MAX_CHARS], error=error)
        written = await labels.merge(kind, old, new, by=visit.actor.audit, account=visit.account)
        if written is None:
            return await page(visit, kind, status=404, old=old, new=new, error=visit.texts["label_unknown"])
        return see_other(visit.path("labels", kind=kind, done=written))

    return routes


def _kind(sent: str) -> Kind:
    return "category" if sent == "category" else "topic"

"""The pages of imports: upload a file, see what it would change, start it, follow it, and read what became of each article."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import problem
from newswire.users.roles import Permission
from newswire.users.sessions import is_csrf_token
from newswire.workspace.browser_sessions import CSRF_FIELD, check_origin, check_permission
from newswire_ingest.desk import assets
from newswire_ingest.desk.field_errors import field_error
from newswire_ingest.desk.visit import PATH, Visit, Visits, see_other
from newswire_ingest.drafts.refusals import refusal_of
from newswire_ingest.imports.errors import EmptyImportFileError, ImportFileTooLargeError
from newswire_ingest.imports.models import ENDED, Import, ImportState
from newswire_ingest.imports.service import ImportService
from newswire_ingest.media.upload_form import FormUpload, is_form

IMPORTS_PATH = f"{PATH}/imports"
IMPORT = f"{IMPORTS_PATH}/{{import_id}}"
_MAX_PAGE_DIGITS = 6


def router(imports: ImportService, visits: Visits, problems: ProblemMakers) -> APIRouter:
    """Return the pages."""
    routes = visits.workspace.routes(problems)

    async def begin(request: Request) -> Visit:
        visit = await visits.begin(request)
        check_permission(visit.signed_in, visit.account, Permission.IMPORT)
        return visit

    async def listed(visit: Visit, *, status: int = 200, error: str = "") -> Response:
        return visits.page(
            visit,
            "imports.html",
            status=status,
            scripts=[assets.FORMS],
            imports=await imports.of_account(visit.account),
            max_megabytes=imports.max_bytes // (1024 * 1024),
            error=error,
        )

    @routes.get(IMPORTS_PATH)
    async def imports_page(request: Request) -> Response:
        return await listed(await begin(request))

    @routes.post(IMPORTS_PATH)
    async def upload(request: Request) -> Response:
        visit = await begin(request)
        check_origin(request)
        if not is_form(request):
            await visits.browsers.read_form(request, visit.signed_in)
            return await listed(visit, status=415, error=visit.texts["import_no_file"])
        form = FormUpload(request, imports.max_bytes)
        try:
            content = await imports.receive(form.stream())
        except ImportFileTooLargeError as error:
            megabytes = error.limit // (1024 * 1024)
            return await listed(visit, status=413, error=visit.texts["import_too_large"].format(size=megabytes))
        except EmptyImportFileError:
            return await listed(visit, status=422, error=visit.texts["import_no_file"])
        if not is_csrf_token(request.cookies.get(visits.browsers.cookie, ""), form.field(CSRF_FIELD)):
            raise problem(403, "form-expired", "the page is older than the session; load it again", title="Too old")
        new = await imports.create(
            visit.account,
            visit.actor.audit,
            visit.actor.name,
            form.file_name,
            content,
            silent=form.field("silent") == "on",
            expired=form.field("expired") == "on",
        )
        return see_other(visit.path("imports", new.id))

    async def shown(visit: Visit, found: Import) -> Response:
        query = visit.request.query_params
        problems_only = query.get("show") == "problems"
        number = query.get("page", "0")
        page = int(number) if number.isascii() and number.isdecimal() and len(number) <= _MAX_PAGE_DIGITS else 0
        rows, more = await imports.rows(found, page, problems=problems_only)
        return visits.page(
            visit,
            "import.html",
            scripts=[assets.FORMS, assets.OUTCOMES],
            found=found,
            states=ImportState,
            ended=found.state in ENDED,
            rows=rows,
            problems_only=problems_only,
            page=page,
            more=more,
            field_error=lambda field, problem: field_error(refusal_of(field, problem), visit.texts),
        )

    @routes.get(IMPORT)
    async def import_page(request: Request, import_id: str) -> Response:
        visit = await begin(request)
        return await shown(visit, await imports.find(visit.account, import_id))

    @routes.post(f"{IMPORT}/start")
    async def start(request: Request, import_id: str) -> Response:
        visit = await begin(request)
        await visits.browsers.read_form(request, visit.signed_in)
        await imports.start(visit.account, import_id, visit.actor.audit, visit.actor.name)
        return see_other(visit.path("imports", import_id))

    @routes.post(f"{IMPORT}/cancel")
    async def cancel(request: Request, import_id: str) -> Response:
        visit = await begin(request)
        await visits.browsers.read_form(request, visit.signed_in)
        await imports.cancel(visit.account, import_id, visit.actor.audit)
        return see_other(visit.path("imports", import_id))

    @routes.post(f"{IMPORT}/remove")
    async def remove(request: Request, import_id: str) -> Response:
        visit = await begin(request)
        await visits.browsers.read_form(request, visit.signed_in)
        await imports.remove(visit.account, import_id, visit.actor.audit)
        return see_other(visit.path("imports"))

    return routes

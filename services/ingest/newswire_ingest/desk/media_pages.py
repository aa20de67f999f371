"""Images that an editor uploads while writing: sent by the script of the editor, with the session of the browser."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.http.pagination import json_answer
from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import problem
from newswire.users.sessions import is_csrf_token
from newswire.workspace.browser_sessions import check_origin
from newswire_ingest.desk.visit import PATH, Visits
from newswire_ingest.media.models import MediaText
from newswire_ingest.media.service import MediaService

TOKEN_HEADER = "X-Form-Token"  # noqa: S105 (the name of a header)


def router(media: MediaService, visits: Visits, problems: ProblemMakers) -> APIRouter:
    """Return the route."""
    routes = visits.workspace.routes(problems)

    @routes.post(f"{PATH}/media")
    async def upload(request: Request) -> Response:
        """Store the image that is the body of the request."""
        visit = await visits.begin(request)
        check_origin(request)
        if not is_csrf_token(request.cookies.get(visits.browsers.cookie, ""), request.headers.get(TOKEN_HEADER, "")):
            raise problem(403, "form-expired", "the page is older than the session; send the image again")
        stored, _ = await media.store(visit.account, visit.actor.audit, request.stream(), MediaText)
        found = {"url": stored.url(media.site), "width": stored.file.width, "height": stored.file.height}
        return json_answer(found | {"alt": stored.alt, "caption": stored.caption, "credit": stored.credit}, 201)

    return routes

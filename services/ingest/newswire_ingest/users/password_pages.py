"""The pages on which users ask for a link to a new password, by mail."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.http.forms import read_form
from newswire.users.models import InvalidUserError
from newswire.users.names import check_email
from newswire.users.service import UserService
from newswire.users.sign_in_limits import TooManyFailuresError
from newswire.workspace.browser_sessions import check_origin, client_of_request
from newswire.workspace.frame import Workspace
from newswire.workspace.texts import texts
from newswire_ingest.users.sign_in_pages import FORGOT_PATH, PACKAGE, too_many_failures


def router(service: UserService, workspace: Workspace) -> APIRouter:
    """Return the pages. Their answers are the same for addresses of users and for others."""
    routes = workspace.routes()

    def form(request: Request, *, email: str = "", error: str = "", status: int = 200, **headers: str) -> Response:
        shown = {"email": email[:254], "error": error, "sent_to": ""}
        return workspace.page(
            request, "forgot_password.html", None, package=PACKAGE, status=status, headers=headers, **shown
        )

    @routes.get(FORGOT_PATH)
    async def forgot_page(request: Request) -> Response:
        return form(request)

    @routes.post(FORGOT_PATH)
    async def send_link(request: Request) -> Response:
        check_origin(request)
        sent = await read_form(request)
        language = workspace.language(request)
        wording, email = texts(language), sent.one("email")
        try:
            address = check_email(email)
            await service.request_password_link(address, language, client_of_request(request))
        except InvalidUserError:
            return form(request, email=email, error=wording["invalid_email"], status=422)
        except TooManyFailuresError as error:
            message = too_many_failures(wording, error)
            return form(request, email=email, error=message, status=429, **{"Retry-After": str(error.seconds)})
        return workspace.page(
            request, "forgot_password.html", None, package=PACKAGE, email="", error="", sent_to=address
        )

    return routes

"""Routes of pages for readers: errors become pages, unless the client asks for JSON."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.routing import APIRoute

from newswire.http.direct_routes import Handler, WrappedRoute
from newswire.http.problem_handlers import ProblemMakers, as_problem
from newswire.http.problems import ProblemError, unexpected

ErrorPage = Callable[[Request, ProblemError], Awaitable[Response]]


def prefers_json(request: Request) -> bool:
    """Tell whether a client asks for JSON, or sends it, and does not ask for a page."""
    accepted = request.headers.get("accept", "")
    sent = request.headers.get("content-type", "")
    return "text/html" not in accepted and ("json" in accepted or sent.startswith("application/json"))


def page_route(error_page: ErrorPage, makers: ProblemMakers | None = None) -> type[APIRoute]:
    """Return the class of routes that answer errors with a page, unless the client asks for JSON.

    ``makers``: the problems of the domain errors of the service.
    """

    class PageRoute(WrappedRoute):
        """A route of a page."""

        def wrapped(self, handle: Handler) -> Handler:
            """Return the handler that turns problems into pages."""

            async def handle_or_explain(request: Request) -> Response:
                try:
                    return await handle(request)
                except Exception as error:  # noqa: BLE001 (the last resort of a page is a page)
                    known = as_problem(error, makers or {})
                    problem = known or unexpected(request.method, request.url.path, error)
                return problem.response() if prefers_json(request) else await error_page(request, problem)

            return handle_or_explain

    return PageRoute

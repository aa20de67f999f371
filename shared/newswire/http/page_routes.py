"""Routes of pages for readers: errors become pages, unless the client asks for JSON."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from newswire.http.problems import ProblemError, unexpected

ErrorPage = Callable[[Request, ProblemError], Awaitable[Response]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def prefers_json(request: Request) -> bool:
    """Tell whether a client asks for JSON, or sends it, and does not ask for a page."""
    accepted = request.headers.get("accept", "")
    sent = request.headers.get("content-type", "")
    return "text/html" not in accepted and ("json" in accepted or sent.startswith("application/json"))


def page_route(error_page: ErrorPage) -> type[APIRoute]:
    """Return the class of routes that answer errors with a page, unless the client asks for JSON."""

    class PageRoute(APIRoute):
        """A route of a page."""

        def get_route_handler(self) -> Handler:
            """Return the handler that turns problems into pages."""
            handle = super().get_route_handler()

            async def handle_or_explain(request: Request) -> Response:
                try:
                    return await handle(request)
                except ProblemError as error:
                    problem = error
                except Exception as error:  # noqa: BLE001 (the last resort of a page is a page)
                    problem = unexpected(request.method, request.url.path, error)
                return problem.response() if prefers_json(request) else await error_page(request, problem)

            return handle_or_explain

    return PageRoute

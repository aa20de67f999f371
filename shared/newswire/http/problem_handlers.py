"""Converts every error of an app into a problem document."""

import logging
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from newswire.concurrency.offload import OffloadError
from newswire.http.preconditions import precondition_failed, precondition_required
from newswire.http.problems import (
    ProblemError,
    from_http_exception,
    invalid_document,
    overloaded,
    problem,
    redis_unavailable,
    unavailable,
    unexpected,
)
from newswire.preconditions import PreconditionError, PreconditionRequiredError
from newswire.storage.document_archive import DocumentUnavailableError
from newswire.storage.redis_errors import REDIS_ERRORS

log = logging.getLogger(__name__)

RETRY_ARCHIVE_SECONDS = 10

_FOR_PROGRAMS = re.compile(
    r"/(v1|feeds|sitemap|assets|docs|problems|schemas|metrics|healthz|readyz|status|openapi\.json|asyncapi|opensearch\.xml)([/.?_-]|$)"
)
"""Addresses whose errors are problem documents, whoever asks."""


ProblemMakers = Mapping[type[Exception], Callable[[Any], ProblemError]]
"""The problem document of each domain error. An error of a subclass gets that of its base class."""

_SHARED: ProblemMakers = {
    PreconditionError: precondition_failed,
    PreconditionRequiredError: precondition_required,
    OffloadError: lambda _: overloaded(),
    DocumentUnavailableError: lambda error: unavailable(str(error), retry_after=RETRY_ARCHIVE_SECONDS),
}


def as_problem(error: Exception, makers: ProblemMakers) -> ProblemError | None:
    """Return the problem of an error of the request, of the domain or of a dependency; None for an unexpected error."""
    if isinstance(error, ProblemError):
        return error
    for error_type in type(error).__mro__:
        if maker := makers.get(error_type) or _SHARED.get(error_type):
            return maker(error)
    return redis_unavailable(error)


def install(app: FastAPI, makers: ProblemMakers) -> None:
    """Make an app respond to every error with a problem document.

    Args:
        app: the app.
        makers: the problem documents of the domain errors of its services.
    """

    async def answer(request: Request, error: ProblemError) -> Response:
        """Answer with the problem document, or with a page where the app has one for the reader who asks."""
        page = getattr(app.state, "error_page", None)
        if page is not None and is_for_readers(request):
            shown: Response = await page(request, error)
            return shown
        return error.response()

    async def on_problem(request: Request, error: Any) -> Response:
        return await answer(request, cast("ProblemError", error))

    async def on_domain_error(request: Request, error: Exception) -> Response:
        return await answer(request, cast("ProblemError", as_problem(error, makers)))

    async def on_validation(_request: Request, error: Any) -> Response:
        errors = cast("RequestValidationError", error).errors()
        found = [{**item, "loc": tuple(item["loc"])[1:] or item["loc"]} for item in errors]
        return invalid_document(found).response()

    async def on_http(request: Request, error: Any) -> Response:
        found = from_http_exception(cast("HTTPException", error))
        if found.status == HTTPStatus.METHOD_NOT_ALLOWED:
            found.headers["Allow"] = ", ".join(allowed_methods(app, request.scope["path"]))
        return await answer(request, found)

    async def on_redis_error(request: Request, error: Exception) -> Response:
        found = redis_unavailable(error)
        if found is None:
            return unexpected(request.method, request.url.path, error).response()
        log.error(
            "redis does not accept requests",
            extra={"method": request.method, "path": request.url.path, "reason": str(error)},
        )
        return found.response()

    async def on_disconnect(_request: Request, _error: Exception) -> Response:
        return problem(408, "request-timeout", "the body broke off").response()  # counted; the client has disconnected

    async def on_unexpected(request: Request, error: Exception) -> Response:
        return unexpected(request.method, request.url.path, error).response()

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    for error_type in (*makers, *_SHARED):
        app.add_exception_handler(error_type, on_domain_error)
    for error_type in REDIS_ERRORS:
        app.add_exception_handler(error_type, on_redis_error)
    app.add_exception_handler(ClientDisconnect, on_disconnect)
    app.add_exception_handler(Exception, on_unexpected)


def is_for_readers(request: Request) -> bool:
    """Return whether a browser requests an address that is meant for readers, not for programs."""
    return (
        request.method in ("GET", "HEAD")
        and "text/html" in request.headers.get("accept", "")
        and not _FOR_PROGRAMS.match(request.url.path)
    )


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """Return the methods of a resource (RFC 9110, section 10.2.1): the framework returns only those of one of its routes."""
    matching = [
        context
        for context in iter_route_contexts(app.routes)
        if (pattern := getattr(context, "path_regex", None)) is not None and pattern.match(path)
    ]
    nearest = min((each.path or "" for each in matching), key=lambda path: path.count("{"), default="")
    return sorted({method for each in matching if each.path == nearest for method in each.methods or ()})

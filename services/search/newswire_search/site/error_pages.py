"""Errors as pages for readers."""

from urllib.parse import quote

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from newswire.http.page_routes import ErrorPage
from newswire.http.problems import ProblemError
from newswire_search.site.frame import Frame

_FIELDS_SHOWN = (400, 422)


def error_pages(frame: Frame) -> ErrorPage:
    """Return the function that explains a problem on a page, and removes a slash at the end of an unknown address."""
    _ = frame.localisation.translations.gettext
    texts = {
        400: (_("This address is not valid"), _("Part of it is damaged or has expired.")),
        401: (_("Readers need a key here"), _("This site is not public.")),
        403: (_("Not with this key"), _("The key that was sent does not open this page.")),
        404: (_("There is nothing here"), _("The page may have moved, or the address has a typing error.")),
        405: (_("There is nothing here"), _("This address cannot be opened in a browser.")),
        410: (_("No longer here"), _("This article or list was withdrawn or has expired.")),
        422: (_("This address is not valid"), _("One of its values cannot be read.")),
        429: (_("Too many requests"), _("Too many pages were opened from your network. Please try again in a moment.")),
        503: (_("Back in a moment"), _("The site is busy or being repaired. Please try again in a moment.")),
    }
    otherwise = (_("Something went wrong"), _("The error was logged. Please try again in a moment."))

    async def page(http: Request, error: ProblemError) -> Response:
        if error.status == 404 and (path := _without_slash(http)):
            # Another page may have this address one day: the redirect must not be cached.
            return RedirectResponse(path, 301, headers={"Cache-Control": "no-cache"})
        heading, explanation = texts.get(error.status, otherwise)
        return await frame.error_page(
            http,
            error.status,
            error.headers,
            head=frame.heads.plain(heading),
            heading=heading,
            explanation=explanation,
            errors=error.errors if error.status in _FIELDS_SHOWN else (),
            code=error.status,
        )

    return page


def _without_slash(http: Request) -> str | None:
    path = http.url.path
    if not path.endswith("/") or not path.strip("/"):
        return None
    # One slash at the beginning: two would name another host.
    shorter = "/" + quote(path.strip("/"), safe="/%")
    return f"{shorter}?{http.url.query}" if http.url.query else shorter

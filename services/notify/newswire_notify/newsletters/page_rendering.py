"""The pages of newsletters: how they are rendered, and how errors become pages."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from newswire.http.problems import ProblemError, unexpected
from newswire.http.templating import add_asset, render, templates
from newswire_notify.newsletters.models import Newsletter
from newswire_notify.newsletters.rendering import PACKAGE
from newswire_notify.newsletters.texts import direction, text_language, texts

templates(PACKAGE).globals |= {
    "newsletter_style_sheet": add_asset(PACKAGE, "newsletters.css"),
    "direction": direction,
}
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""Of pages whose address holds a signed link."""
_PUBLIC = {"Cache-Control": "no-cache"}
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def wants_json(request: Request) -> bool:
    """Tell whether a client asks for JSON, and not for a page."""
    accept = request.headers.get("accept", "")
    sent = request.headers.get("content-type", "")
    return "text/html" not in accept and ("application/json" in accept or sent.startswith("application/json"))


class PageRoute(APIRoute):
    """A route that answers errors with a page, to those who did not ask for JSON."""

    def get_route_handler(self) -> Handler:
        """Return the handler that turns problems into pages."""
        handle = super().get_route_handler()

        async def handle_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as error:
                if wants_json(request):
                    raise
                return problem_page(error)
            except Exception as error:  # noqa: BLE001 (the last resort of a page is a page)
                return problem_page(unexpected(request.method, request.url.path, error))

        return handle_or_explain


def problem_page(error: ProblemError) -> Response:
    """Return a page that explains a problem."""
    wording = texts("en")
    known = {404: ("not_found", "not_found_detail"), 410: ("ended", "ended_detail")}.get(error.status)
    heading, detail = (wording[known[0]], wording[known[1]]) if known else (error.title, f"{error.detail}.")
    return page(
        "newsletter_message.html",
        "en",
        status=error.status,
        headers=error.headers,
        heading=heading,
        detail=detail[:1].upper() + detail[1:],
        links=[("/newsletters", wording["newsletters"])],
    )


def page(
    template: str,
    language: str,
    *,
    newsletter: Newsletter | None = None,
    public: bool = False,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: object,
) -> Response:
    """Return a page in a language; ``public`` ones may be found by search engines."""
    shown = text_language(language)
    named = {"name": newsletter.draft.name, "draft": newsletter.draft} if newsletter else {}
    return render(
        template,
        PACKAGE,
        status=status,
        headers=(_PUBLIC if public else _PRIVATE) | (headers or {}),
        language=shown,
        dir=direction(shown),
        t=texts(shown),
        public=public,
        **(named | values),
    )


def message_page(
    newsletter: Newsletter,
    heading: str,
    detail: str,
    *links: tuple[str, str],
    status: int = 200,
    language: str | None = None,
    **values: str,
) -> Response:
    """Return a page that says something; ``heading`` and ``detail`` name texts."""
    chosen = language or newsletter.draft.language
    wording = texts(chosen)
    values = {"name": newsletter.draft.name} | values
    return page(
        "newsletter_message.html",
        chosen,
        newsletter=newsletter,
        status=status,
        heading=wording[heading].format(**values),
        detail=wording[detail].format(**values),
        links=[(href, wording[label].format(**values)) for href, label in links],
    )

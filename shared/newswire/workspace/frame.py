"""The frame of the pages behind the sign-in: navigation, language, errors as pages, and headers that keep them private."""

from collections.abc import Mapping, Sequence

from babel.dates import format_datetime
from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from newswire.http.middleware import CONTENT_SECURITY_POLICY
from newswire.http.page_routes import page_route
from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import ProblemError
from newswire.http.read_limits import Cost, charged_without_key
from newswire.http.templating import add_asset, templates
from newswire.text.dates import locale_of_texts
from newswire.users.models import User
from newswire.users.roles import Permission
from newswire.workspace.browser_sessions import CSRF_FIELD, SIGN_IN_REQUIRED, SignedIn, sign_in_address
from newswire.workspace.problem_texts import problem_text
from newswire.workspace.texts import preferred_language, texts

PACKAGE = "newswire.workspace"
ACCOUNT_PATH = "/account"
NAVIGATION: tuple[tuple[str, str, Permission | None], ...] = (
    ("/desk", "desk", Permission.WRITE_DRAFTS),
    (ACCOUNT_PATH, "your_account", None),
    ("/users", "users", Permission.MANAGE_USERS),
    ("/portal", "portal", Permission.MANAGE_SUBSCRIPTIONS),
)
"""The sections: path, text, and the permission without which they are not shown."""
_HEADERS = {"Cache-Control": "no-store, no-transform", "Referrer-Policy": "same-origin", "X-Robots-Tag": "noindex"}
"""Cloudflare replaces e-mail addresses in pages by a placeholder and a script that the policy does not admit, unless it may not
transform them."""

_WITH_SCRIPTS = {"Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; script-src 'self'; connect-src 'self'"}
"""For pages with scripts; the others admit none."""

STYLE_SHEET = add_asset(PACKAGE, "workspace.css", service="ingest")


class Workspace:
    """Renders pages in the language of the browser; templates of any package extend ``workspace.html``."""

    def __init__(self, site_name: str, home: tuple[str, str] = (ACCOUNT_PATH, "your_account")) -> None:
        """``home``: path and text of the page that the name of the site and error pages lead to."""
        self._site_name = site_name
        self._home = home

    def routes(self, makers: ProblemMakers | None = None) -> APIRouter:
        """Return a router for pages. Their errors are pages; those for users lead to the sign-in first.

        ``makers``: the problems of the domain errors of the service.
        """
        charged = [Depends(charged_without_key(Cost.LISTING))]
        route = page_route(self._problem_page, makers)
        return APIRouter(route_class=route, include_in_schema=False, dependencies=charged)

    def page(
        self,
        request: Request,
        template: str,
        signed_in: SignedIn | None,
        *,
        package: str = PACKAGE,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        scripts: Sequence[str] = (),
        styles: Sequence[str] = (),
        csrf: str = "",
        **values: object,
    ) -> Response:
        """Return a page; ``scripts`` and ``styles`` are addresses of `add_asset`, beside the style sheet of all pages.

        ``csrf``: what its forms carry where no user is signed in.
        """
        language = self.language(request)
        locale = locale_of_texts(language)
        text = (
            templates(package, PACKAGE)
            .get_template(template)
            .render(
                styles=[STYLE_SHEET, *styles],
                scripts=scripts,
                csrf_field=CSRF_FIELD,
                language=language,
                t=texts(language, package),
                site_name=self._site_name,
                user=signed_in.user if signed_in else None,
                csrf=signed_in.csrf if signed_in else csrf,
                navigation=_navigation(signed_in),
                path=request.url.path,
                home=self._home,
                moment=lambda at: f"{format_datetime(at, 'd MMM y, HH:mm', locale=locale)} UTC",
                **values,
            )
        )
        policy = _WITH_SCRIPTS if scripts else {}
        return HTMLResponse(text, status, _HEADERS | policy | dict(headers or {}))

    def language(self, request: Request) -> str:
        """Return the language of a browser."""
        return preferred_language(request.headers.get("accept-language", ""))

    async def _problem_page(self, request: Request, error: ProblemError) -> Response:
        """Return the sign-in where that is missing, else a page that explains the problem."""
        language = self.language(request)
        heading, detail = problem_text(error, language)
        if error.type == SIGN_IN_REQUIRED:
            if request.method == "GET":
                return RedirectResponse(sign_in_address(request), 303, _HEADERS)
            wording = texts(language)
            heading, detail = wording["signed_out"], wording["signed_out_detail"]
        return self.page(
            request, "problem.html", None, status=error.status, headers=error.headers, heading=heading, detail=detail
        )


def home_of(user: User) -> str:
    """Return the path of the section that a user works in: the first one that needs a permission, or the user's own account."""
    return next((path for path, _, needed in NAVIGATION if needed and user.accounts_with(needed)), ACCOUNT_PATH)


def _navigation(signed_in: SignedIn | None) -> list[tuple[str, str]]:
    """Return the sections that a user may open."""
    if signed_in is None:
        return []
    return [
        (path, text)
        for path, text, permission in NAVIGATION
        if permission is None or signed_in.user.accounts_with(permission)
    ]

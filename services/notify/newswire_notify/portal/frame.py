"""Renders the pages of the portal in the frame of the workspace."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from babel.dates import format_timedelta
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import ProblemError
from newswire.http.templating import add_asset, templates
from newswire.text.dates import locale_of_texts
from newswire.timestamps import utc_now
from newswire.workspace.frame import PACKAGE as WORKSPACE
from newswire.workspace.frame import Workspace
from newswire.workspace.problem_texts import problem_text
from newswire.workspace.texts import texts
from newswire_notify.portal.access import PATH, Visitor
from newswire_notify.portal.acts import FIELD, Acts

PACKAGE = "newswire_notify.portal"
STYLE_SHEET = add_asset(PACKAGE, "portal.css")
SCRIPT = add_asset(PACKAGE, "portal.js")


def endpoint_name(url: str) -> str:
    """Return an endpoint's address as it is shown: without its scheme, and shortened."""
    parts = urlsplit(url)
    shown = f"{parts.netloc}{parts.path}{'?…' if parts.query else ''}"
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


templates(PACKAGE, WORKSPACE).globals |= {
    "act_field": FIELD,
    "endpoint_name": endpoint_name,
    "when": lambda stored: None if stored is None else datetime.fromisoformat(stored),
}


class PortalFrame:
    """Renders pages for visitors."""

    def __init__(self, site_name: str, makers: ProblemMakers) -> None:
        self._workspace = Workspace(site_name, home=(PATH, "portal"))
        self._makers = makers

    def routes(self) -> APIRouter:
        """Return a router for pages; the domain errors of notify become pages too."""
        return self._workspace.routes(self._makers)

    def texts(self, request: Request) -> Mapping[str, str]:
        """Return the texts of the portal in the language of the browser."""
        return texts(self._workspace.language(request), PACKAGE)

    def problem_text(self, request: Request, error: ProblemError) -> str:
        """Return what is wrong, as a sentence in the language of the browser."""
        return problem_text(error, self._workspace.language(request)).detail

    def page(
        self,
        request: Request,
        template: str,
        visitor: Visitor | None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        scripts: Sequence[str] = (),
        **values: Any,
    ) -> Response:
        """Return a page; ``scripts``: addresses of `add_asset`, beside the script of all pages."""
        language = self._workspace.language(request)
        locale = locale_of_texts(language)
        return self._workspace.page(
            request,
            template,
            visitor.signed_in if visitor else None,
            package=PACKAGE,
            status=status,
            headers=headers,
            styles=[STYLE_SHEET],
            scripts=[SCRIPT, *scripts],
            csrf=visitor.csrf if visitor else "",
            visitor_=visitor,
            account=visitor.account.name if visitor else "",
            of_account=_of_account(visitor),
            act=Acts.new(),
            ago=lambda at: format_timedelta(at - utc_now(), add_direction=True, locale=locale),
            span=lambda seconds: format_timedelta(seconds, locale=locale, threshold=1.5),
            **values,
        )


def see(path: str) -> Response:
    """Lead the browser to the result of a form."""
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def _of_account(visitor: Visitor | None) -> str:
    """Return what addresses that are not about a subscription end with: the account, where the visitor has several."""
    if visitor is None or len(visitor.accounts) < 2:
        return ""
    return f"?account={quote(visitor.account.name, safe='')}"

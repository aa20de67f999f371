"""The pages of newsletters, in the look of the reader site: how they are rendered, and how errors become pages."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from newswire.http.middleware import CONTENT_SECURITY_POLICY
from newswire.http.page_routes import page_route
from newswire.http.problems import ProblemError
from newswire.http.templating import add_asset, render, templates
from newswire.site.settings import SiteSettings
from newswire.site.theme import Theme
from newswire.text.direction import direction_of
from newswire_notify.newsletters.models import Newsletter
from newswire_notify.newsletters.rendering import PACKAGE
from newswire_notify.newsletters.texts import day_of_texts, text_language, texts

templates(PACKAGE).globals |= {
    "newsletter_style_sheet": add_asset(PACKAGE, "newsletters.css"),
    "direction": direction_of,
    "long_date": day_of_texts,
}
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""Of pages whose address holds a signed link."""
_POLICY = {"Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; font-src 'self'"}
"""The fonts of a theme are allowed; scripts are not, as these pages have none."""
_PUBLIC = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": f"{_POLICY['Content-Security-Policy']}; connect-src 'self'",
}
"""Tools that audit a page read /robots.txt from within it."""


class NewsletterFrame:
    """Renders the pages of newsletters, with the name, the colours and the navigation of the reader site."""

    def __init__(self, settings: SiteSettings) -> None:
        """Load the theme.

        Raises:
            newswire.site.theme.ThemeError: it cannot be used.
        """
        self.language = text_language(settings.site_language)
        """Of pages that belong to no newsletter."""
        theme = Theme(settings)
        self._site = {
            "name": settings.site_name,
            "tagline": settings.site_tagline,
            "address": settings.site,
            "logo": theme.logo,
            "icon": theme.icon,
            "style_sheet": theme.style_sheet,
            "own_style_sheet": theme.own_style_sheet,
            "sections": [(name, f"/sections/{quote(name, safe='')}") for name in settings.site_sections],
        }

    def routes(self, prefix: str, **options: Any) -> APIRouter:
        """Return a router for pages under a path, whose errors are pages too."""
        return APIRouter(prefix=prefix, route_class=page_route(self._problem_page), include_in_schema=False, **options)

    async def _problem_page(self, _request: Request, error: ProblemError) -> Response:
        """Return a page that explains a problem."""
        wording = texts(self.language)
        known = {404: ("not_found", "not_found_detail"), 410: ("ended", "ended_detail")}.get(error.status)
        heading, detail = (wording[known[0]], wording[known[1]]) if known else (error.title, f"{error.detail}.")
        return self.page(
            "newsletter_message.html",
            self.language if known else "en",
            status=error.status,
            headers=error.headers,
            heading=heading,
            detail=detail[:1].upper() + detail[1:],
            links=[("/newsletters", wording["newsletters"])],
        )

    def page(
        self,
        template: str,
        language: str,
        *,
        newsletter: Newsletter | None = None,
        public_path: str | None = None,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **values: object,
    ) -> Response:
        """Return a page in a language. With a ``public_path`` search engines may list it at that address."""
        shown = text_language(language)
        public = public_path is not None
        named: dict[str, object] = {"public_path": public_path, "description": ""}
        if newsletter:
            draft = newsletter.draft
            named |= {"name": draft.name, "draft": draft, "description": draft.description}
        return render(
            template,
            PACKAGE,
            status=status,
            headers=_POLICY | (_PUBLIC if public else _PRIVATE) | (headers or {}),
            language=shown,
            dir=direction_of(shown),
            t=texts(shown),
            public=public,
            site=self._site,
            **(named | values),
        )

    def message(
        self,
        newsletter: Newsletter,
        heading: str,
        detail: str,
        *links: tuple[str, str],
        status: int = 200,
        language: str | None = None,
        **values: str,
    ) -> Response:
        """Return a page with a message; ``heading`` and ``detail`` name texts."""
        chosen = language or newsletter.draft.language
        wording = texts(chosen)
        values = {"name": newsletter.draft.name} | values
        return self.page(
            "newsletter_message.html",
            chosen,
            newsletter=newsletter,
            status=status,
            heading=wording[heading].format(**values),
            detail=wording[detail].format(**values),
            links=[(href, wording[label].format(**values)) for href, label in links],
        )

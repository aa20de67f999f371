"""The frame of every page: the environment of its templates, what they all show, and its response."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
)

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.filters import Filter
from newswire.http.conditional_responses import Representation, representation_of, response_of
from newswire.http.middleware import CONTENT_SECURITY_POLICY
from newswire.http.templating import add_asset
from newswire.site.settings import STATIC_FOLDER, SiteSettings
from newswire.site.theme import Theme, ThemeError
from newswire.text.direction import direction_of
from newswire_search.feeds.feed import FeedLink, feed_links
from newswire_search.feeds.index_changes import IndexState, ReadIndexState
from newswire_search.query.state_cache import StateCache
from newswire_search.site.compiled_templates import compile_templates, compiled_templates
from newswire_search.site.head import Heads
from newswire_search.site.images import CARD_SIZES, LEAD_SIZES
from newswire_search.site.links import QueryPairs, label_path
from newswire_search.site.localisation import Localisation, localisation
from newswire_search.site.navigation import Navigation, Section, with_selected
from newswire_search.site.newsletter_box import NewsletterBoxes

log = logging.getLogger(__name__)

PACKAGE = "newswire_search.site"
DEFAULTS = "default"
"""The prefix by which a template of the owner extends the one that it replaces: ``{% extends "default/article.html" %}``."""
PARTIAL = "_"
"""Templates whose names begin so are the owner's own parts; all others replace one of the site's."""
HTML = "text/html"
LONG_TITLE_CHARACTERS = 80
"""Longer titles are set in a smaller size where titles are large."""
MAX_KEPT_BYTES = 32 * 1024 * 1024
"""Of pages that are kept; their compressed copies take about a third in addition."""

SCRIPT = add_asset(PACKAGE, "site.js")
LIVE_SCRIPT = add_asset(PACKAGE, "live.js")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request for a page: who asks, and the state of the index before the page is made."""

    http: Request
    caller: Caller | None
    state: IndexState = field(default_factory=IndexState)
    """Unknown for a caller with a key, whose pages are not kept."""
    newsletters: str = ""
    """The revision of the list of newsletters."""

    @property
    def entitlement(self) -> Filter | None:
        """The filter that narrows everything the caller may read."""
        return self.caller.entitlement if self.caller is not None else None


class Frame:
    """Renders pages of one site."""

    def __init__(
        self,
        settings: SiteSettings,
        navigation: Navigation,
        read_state: ReadIndexState,
        refresh: timedelta,
        newsletters: NewsletterBoxes | None = None,
        kept_code: Path | None = None,
    ) -> None:
        """Load the theme. Searches of the index see a write after ``refresh``. Pages link to the newsletters, if there are any.

        ``kept_code``: the folder that keeps compiled templates for the next start.

        Raises:
            ThemeError: a file or template of the owner cannot be used.
        """
        self.settings = settings
        self.localisation: Localisation = localisation(settings.site_language)
        self.theme = Theme(settings)
        self.heads = Heads(settings, self.localisation, self.theme.logo, self.theme.social_image)
        self._navigation = navigation
        self._read_state = read_state
        self._newsletters = newsletters
        self._kept_code = kept_code
        self._pages: StateCache[Representation] = StateCache(MAX_KEPT_BYTES, refresh)
        self._started = datetime.now(UTC).replace(microsecond=0)
        self._fallback = self._environment(None)
        self._templates = self._environment(settings.site_theme) if settings.site_theme else self._fallback
        if settings.site_theme:
            check_templates(self._templates, settings.site_theme)
        compile_templates(self._templates, PackageLoader(PACKAGE).list_templates())
        self._policy = self._content_security_policy()

    def feeds(self, pairs: QueryPairs) -> list[FeedLink]:
        """Return links to the feeds of a search."""
        latest = self.localisation.translations.gettext("Latest articles")
        return feed_links(pairs, self.settings.site_name, latest)

    @property
    def live_url(self) -> str | None:
        """The live stream that scripts listen to; None where readers need a key, which a page has not."""
        return (self.settings.site_live_url or None) if self.settings.public_read else None

    async def request(self, http: Request, caller: Annotated[Caller | None, Depends(reader)]) -> PageRequest:
        """Return the request for a page: a dependency of its routes."""
        newsletters = await self._newsletters.revision() if self._newsletters else ""
        state = await self._read_state() if caller is None else IndexState()
        return PageRequest(http, caller, state, newsletters)

    def kept(self, asked: PageRequest) -> Response | None:
        """Return the page of this address if it was made in the same state of the index, with the same newsletters."""
        if asked.caller is not None:
            return None  # nothing is asked about the state of the index, and the pages of others stay kept
        content = self._pages.get((asked.http.scope["path"], asked.newsletters), asked.state)
        return self._response(asked, content) if content is not None else None

    async def respond(
        self,
        asked: PageRequest,
        template: str,
        *,
        keep: bool = False,
        section: str | None = None,
        sections: Sequence[Section] | None = None,
        **values: Any,
    ) -> Response:
        """Return a page, or 304 if the client has the same.

        Args:
            asked: the request.
            template: the name of the template.
            keep: whether the page depends on its path, the index and the newsletters alone.
            section: the category that the page belongs to.
            sections: those of `Navigation.sections`, if the route asked for them together with its articles.
            values: what the template shows.
        """
        if sections is None:
            sections = await self._navigation.sections(asked.entitlement, asked.state)
        shown = with_selected(sections, section)
        body = self._render(self._templates, template, asked.http, sections=shown, **values)
        content = representation_of(body.encode("utf-8", "replace"), HTML)
        if keep:
            self._pages.put((asked.http.scope["path"], asked.newsletters), asked.state, content, len(content.body))
        return self._response(asked, content)

    def _response(self, asked: PageRequest, content: Representation) -> Response:
        changed = asked.state.last_modified
        return response_of(
            asked.http,
            content,
            last_modified=max(changed, self._started) if changed else None,
            private=asked.caller is not None,
            headers={"Content-Security-Policy": self._policy},
        )

    async def error_page(self, http: Request, status: int, headers: Mapping[str, str], **values: Any) -> Response:
        """Return the page of an error; if a template of the owner fails, that of the site."""
        sections = await self._navigation.sections(None, await self._read_state()) if self.settings.public_read else []
        values |= {"sections": sections}
        try:
            body = self._render(self._templates, "problem.html", http, **values)
        except (TemplateError, ThemeError):
            log.exception("a template of the theme failed", extra={"template": "problem.html"})
            body = self._render(self._fallback, "problem.html", http, **values)
        return Response(
            body.encode("utf-8", "replace"),
            status,
            {"Cache-Control": "no-store", "Vary": "Accept", "Content-Security-Policy": self._policy, **headers},
            HTML,
        )

    def _render(self, environment: Environment, template: str, http: Request, **values: Any) -> str:
        return environment.get_template(template).render(
            page_path=http.url.path,
            live_url=self.live_url,
            has_newsletters=self._newsletters is not None and self._newsletters.exist,
            **({"feeds": []} | values),
        )

    def _environment(self, folder: Path | None) -> Environment:
        defaults = PackageLoader(PACKAGE)
        loaders = [FileSystemLoader(folder)] if folder else []
        environment = Environment(
            loader=ChoiceLoader([*loaders, defaults, PrefixLoader({DEFAULTS: defaults})]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
            auto_reload=False,
            bytecode_cache=compiled_templates(self._kept_code),
        )
        words = self.localisation
        environment.install_gettext_translations(words.translations, newstyle=True)  # type: ignore[attr-defined]
        environment.filters |= {
            "datetime": _html_time,
            "moment": words.moment,
            "date": words.date,
            "clock": words.clock,
            "number": words.number,
        }
        environment.globals |= {
            "site": self._site(),
            "label_path": label_path,
            "direction": direction_of,
            "static": self.theme.static,
            "LONG_TITLE_CHARACTERS": LONG_TITLE_CHARACTERS,
            "LEAD_SIZES": LEAD_SIZES,
            "CARD_SIZES": CARD_SIZES,
            "suggestion_kinds": f"topic={words.translations.gettext('Topic')};author={words.translations.gettext('Author')}",
        }
        return environment

    def _site(self) -> dict[str, Any]:
        return {
            "name": self.settings.site_name,
            "tagline": self.settings.site_tagline,
            "address": self.settings.site,
            "language": self.localisation.tag,
            "dir": self.localisation.direction,
            "formats": self.localisation.formats_tag,
            "logo": self.theme.logo,
            "icon": self.theme.icon,
            "style_sheet": self.theme.style_sheet,
            "own_style_sheet": self.theme.own_style_sheet,
            "script": SCRIPT,
            "live_script": LIVE_SCRIPT,
        }

    def _content_security_policy(self) -> str:
        live = f" {self.theme.live_origin}" if self.live_url and self.theme.live_origin else ""
        return f"{CONTENT_SECURITY_POLICY}; script-src 'self'; connect-src 'self'{live}; font-src 'self'"


def check_templates(environment: Environment, folder: Path) -> None:
    """Compile the templates of the owner.

    Raises:
        ThemeError: one of them has an error, or replaces none of the site's.
    """
    known = set(PackageLoader(PACKAGE).list_templates())
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(f"{STATIC_FOLDER}/"):
            continue
        if name not in known and not path.name.startswith(PARTIAL):
            raise ThemeError(
                f"{path} replaces no template of the site ({', '.join(sorted(known))}); begin the names of others with '{PARTIAL}'"
            )
        try:
            environment.get_template(name)
        except TemplateError as error:
            raise ThemeError(f"{path}, line {getattr(error, 'lineno', '?')}: {error}") from error
        except UnicodeError as error:
            raise ThemeError(f"{path} is not UTF-8: {error}") from error


def _html_time(at: datetime) -> str:
    """Return a time as HTML reads it: at most three digits of a second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

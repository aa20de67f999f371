"""The reader site of one index, put together from its settings."""

from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter

from newswire.http.page_routes import ErrorPage
from newswire_search.feeds.index_changes import ReadIndexState
from newswire_search.index.port import PublicIndexReader
from newswire_search.settings import SearchSettings
from newswire_search.site import pages
from newswire_search.site.compiled_templates import FOLDER
from newswire_search.site.error_pages import error_pages
from newswire_search.site.frame import Frame
from newswire_search.site.navigation import Navigation
from newswire_search.site.newsletter_box import NewsletterBoxes


@dataclass(frozen=True, slots=True)
class ReaderSite:
    """The routes of the pages, the page of errors that no route answers, and the frame of further pages."""

    router: APIRouter
    error_page: ErrorPage
    frame: Frame


def reader_site(
    index: PublicIndexReader,
    settings: SearchSettings,
    read_state: ReadIndexState,
    newsletters: NewsletterBoxes | None = None,
) -> ReaderSite:
    """Return the reader site of an index; articles offer one of the newsletters.

    Raises:
        newswire.site.theme.ThemeError: the theme of the settings cannot be used.
    """
    refresh = timedelta(milliseconds=settings.elasticsearch_refresh_ms)
    navigation = Navigation(index, settings.site_sections, refresh)
    kept_code = settings.data_dir / FOLDER if settings.index == "embedded" else None
    frame = Frame(settings, navigation, read_state, refresh, newsletters, kept_code)
    return ReaderSite(pages.router(index, frame, navigation, newsletters), error_pages(frame), frame)

"""The reader site of one index, put together from its settings."""

from dataclasses import dataclass

from fastapi import APIRouter

from newswire_search.feeds.index_changes import IndexState, LastModified
from newswire_search.index.port import PublicIndexReader
from newswire_search.site import pages
from newswire_search.site.error_pages import ErrorPage, error_pages
from newswire_search.site.frame import Frame
from newswire_search.site.navigation import Navigation
from newswire_search.site.newsletter_box import NewsletterBoxes
from newswire_search.site.search_cache import SearchCache
from newswire_search.site.settings import SiteSettings


@dataclass(frozen=True, slots=True)
class ReaderSite:
    """The routes of the pages, and the page of errors that no route answers."""

    router: APIRouter
    error_page: ErrorPage


def reader_site(
    index: PublicIndexReader,
    settings: SiteSettings,
    last_change: LastModified,
    index_state: IndexState,
    newsletters: NewsletterBoxes | None = None,
) -> ReaderSite:
    """Return the reader site of an index; articles offer one of the newsletters.

    Raises:
        newswire_search.site.theme.ThemeError: the theme of the settings cannot be used.
    """
    searches = SearchCache(index, index_state)
    navigation = Navigation(searches, settings.site_sections)
    frame = Frame(settings, navigation, last_change)
    return ReaderSite(pages.router(index, frame, searches, navigation, newsletters), error_pages(frame))

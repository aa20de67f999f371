"""The reader site: front page, sections, topics, authors, articles, the newest headlines, and what is said about the site."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Response
from markupsafe import Markup, escape
from starlette.responses import RedirectResponse

from newswire.auth.authentication import reader
from newswire.http.page_routes import page_route
from newswire.http.problems import not_found
from newswire.http.read_limits import Cost, charged
from newswire.text.folding import fold
from newswire_search.index.models import SearchPage, SearchRequest
from newswire_search.index.port import PublicIndexReader
from newswire_search.query import service
from newswire_search.query.cursor import CursorScope, next_cursor, read_cursor, scope_of
from newswire_search.query.dependencies import errors_as_problems
from newswire_search.query.offload import offload
from newswire_search.site.body import INLINE_CHARACTERS, page_body
from newswire_search.site.error_pages import error_pages
from newswire_search.site.frame import Frame, PageRequest
from newswire_search.site.front import arrange
from newswire_search.site.images import BODY_SIZES, own_images
from newswire_search.site.links import LISTING_PATHS, label_path, listing_page, path_of, slug_of, with_cursor
from newswire_search.site.navigation import Navigation, newest_request
from newswire_search.site.newsletter_box import NewsletterBoxes
from newswire_search.site.presentation import Teaser, teaser
from newswire_search.site.search_page import add_search

ARTICLES_ON_FRONT_PAGE = 40
ARTICLES_PER_LISTING = 30
LIVE_HEADLINES = 50
MAX_RELATED = 4


def router(
    index: PublicIndexReader,
    frame: Frame,
    navigation: Navigation,
    newsletters: NewsletterBoxes | None = None,
) -> APIRouter:
    """Return the routes of the pages on an index."""
    routes = APIRouter(
        route_class=page_route(error_pages(frame)), include_in_schema=False, dependencies=[Depends(reader)]
    )
    _add_front(routes, index, frame, navigation)
    _add_sections(routes, frame, navigation)
    _add_listings(routes, index, frame, navigation)
    _add_article(routes, index, frame, navigation, newsletters)
    add_search(routes, index, frame)
    return routes


def _add_front(routes: APIRouter, index: PublicIndexReader, frame: Frame, navigation: Navigation) -> None:
    Asked = Annotated[PageRequest, Depends(frame.request)]
    _ = frame.localisation.translations.gettext

    @routes.get("/", dependencies=[Depends(charged(Cost.SEARCH))])
    async def front(asked: Asked) -> Response:
        if (kept := frame.kept(asked)) is not None:
            return kept
        cursors = _cursors(asked, "/search")
        request = newest_request(asked.entitlement, ARTICLES_ON_FRONT_PAGE, owner=cursors.reader)
        async with errors_as_problems():
            page, sections = await asyncio.gather(
                index.search(request), navigation.sections(asked.entitlement, asked.state)
            )
        newest = [teaser(article) for article in page.articles]
        return await frame.respond(
            asked,
            "front.html",
            keep=True,
            sections=sections,
            head=frame.heads.front(newest),
            front=arrange(newest, sections),
            next_page=with_cursor([], await next_cursor(request, page, cursors)),
            feeds=frame.feeds([]),
        )

    @routes.get("/live", dependencies=[Depends(charged(Cost.SEARCH))])
    async def live(asked: Asked) -> Response:
        if (kept := frame.kept(asked)) is not None:
            return kept
        request = newest_request(asked.entitlement, LIVE_HEADLINES)
        async with errors_as_problems():
            page, sections = await asyncio.gather(
                index.search(request), navigation.sections(asked.entitlement, asked.state)
            )
        newest = [teaser(article) for article in page.articles]
        days = groupby(newest, key=lambda article: frame.localisation.day_of_week(article.published))
        return await frame.respond(
            asked,
            "live.html",
            keep=True,
            sections=sections,
            head=frame.heads.live(_("Latest"), newest),
            days=[(day, list(articles)) for day, articles in days],
            feeds=frame.feeds([]),
        )

    @routes.get("/about", dependencies=[Depends(charged(Cost.LISTING))])
    async def about(asked: Asked) -> Response:
        if (kept := frame.kept(asked)) is not None:
            return kept
        return await frame.respond(
            asked,
            "about.html",
            keep=True,
            head=frame.heads.page("/about", _("About and imprint"), frame.settings.site_about),
            about=_paragraphs(frame.settings.site_about),
            imprint=_paragraphs(frame.settings.site_imprint),
            feeds=frame.feeds([]),
        )

    @routes.get("/favicon.ico", dependencies=[Depends(charged(Cost.RECORD))])
    async def favicon() -> Response:
        return RedirectResponse(frame.theme.icon, 302, headers={"Cache-Control": "no-cache"})


def _add_sections(routes: APIRouter, frame: Frame, navigation: Navigation) -> None:
    Asked = Annotated[PageRequest, Depends(frame.request)]
    _ = frame.localisation.translations.gettext

    @routes.get("/sections", dependencies=[Depends(charged(Cost.SEARCH))])
    async def sections(asked: Asked) -> Response:
        if (kept := frame.kept(asked)) is not None:
            return kept
        categories = await navigation.categories(asked.entitlement, asked.state)
        return await frame.respond(
            asked,
            "sections.html",
            keep=True,
            head=frame.heads.page("/sections", _("All sections")),
            categories=categories,
            feeds=frame.feeds([]),
        )


def _add_listings(routes: APIRouter, index: PublicIndexReader, frame: Frame, navigation: Navigation) -> None:
    Asked = Annotated[PageRequest, Depends(frame.request)]
    _ = frame.localisation.translations.gettext
    kinds = {"category": _("Section"), "topic": _("Topic"), "author": _("Author")}

    async def listing(asked: PageRequest, field: str, value: str) -> Response:
        cursor = asked.http.query_params.get("cursor")
        if cursor is None and (kept := frame.kept(asked)) is not None:
            return kept
        cursors = _cursors(asked, LISTING_PATHS[field])
        first = newest_request(
            asked.entitlement, ARTICLES_PER_LISTING, field, value, owner=cursors.reader, with_total=True
        )
        (request, page), sections = await asyncio.gather(
            _page_of(index, first, cursor, cursors), navigation.sections(asked.entitlement, asked.state)
        )
        if not page.articles and cursor is None:
            raise not_found(kinds[field].lower())
        articles = [teaser(article) for article in page.articles]
        name = _spelling(field, value, articles)
        path = label_path(field, name)
        leads = articles and field == "category" and cursor is None and articles[0].image is not None
        return await frame.respond(
            asked,
            "listing.html",
            keep=cursor is None,
            sections=sections,
            section=name if field == "category" else None,
            head=frame.heads.listing(path, kinds[field], name, articles, first=cursor is None),
            kind=kinds[field],
            name=name,
            is_section=field == "category",
            total=page.total,
            lead=articles[0] if leads else None,
            articles=articles[1:] if leads else articles,
            next_page=listing_page(path, await next_cursor(request, page, cursors)),
            feeds=frame.feeds([(field, name)]),
        )

    @routes.get("/sections/{value:path}", dependencies=[Depends(charged(Cost.SEARCH))])
    async def section(asked: Asked, value: str) -> Response:
        return await listing(asked, "category", value)

    @routes.get("/topics/{value:path}", dependencies=[Depends(charged(Cost.SEARCH))])
    async def topic(asked: Asked, value: str) -> Response:
        return await listing(asked, "topic", value)

    @routes.get("/authors/{value:path}", dependencies=[Depends(charged(Cost.SEARCH))])
    async def author(asked: Asked, value: str) -> Response:
        return await listing(asked, "author", value)


def _add_article(
    routes: APIRouter,
    index: PublicIndexReader,
    frame: Frame,
    navigation: Navigation,
    newsletters: NewsletterBoxes | None,
) -> None:
    Asked = Annotated[PageRequest, Depends(frame.request)]

    @routes.get("/articles/{article_id}", dependencies=[Depends(charged(Cost.RECORD))])
    @routes.get("/articles/{article_id}/{slug}", dependencies=[Depends(charged(Cost.RECORD))])
    async def article(asked: Asked, article_id: str, slug: str = "") -> Response:
        if (kept := frame.kept(asked)) is not None:
            return kept
        async with errors_as_problems():
            found = await service.get_article(index, article_id, asked.entitlement)
        if quote(slug) != slug_of(found):  # an address is encoded, a parameter is not
            # The title may change back one day: the redirect must not be cached.
            return RedirectResponse(path_of(found), 301, headers={"Cache-Control": "no-cache"})
        async with errors_as_problems():
            related, sections = await asyncio.gather(
                index.related(found, asked.entitlement, MAX_RELATED),
                navigation.sections(asked.entitlement, asked.state),
            )
        shown = teaser(found)
        return await frame.respond(
            asked,
            "article.html",
            keep=True,
            section=shown.category,
            sections=sections,
            head=frame.heads.article(found, shown),
            article=shown,
            standfirst=found.get("summary"),
            body=await page_text(frame, found),
            related=[teaser(each) for each in related],
            box=await newsletters.box(shown.category, shown.topics) if newsletters else None,
            share_mail=urlencode({"subject": shown.title, "body": shown.canonical}, quote_via=quote),
            feeds=frame.feeds([("category", shown.category)] if shown.category else []),
        )


async def _page_of(
    index: PublicIndexReader, first: SearchRequest, cursor: str | None, cursors: CursorScope
) -> tuple[SearchRequest, SearchPage]:
    """Return the page of a listing that a cursor names, the first one without."""
    request = first if cursor is None else replace(first, after=await read_cursor(cursor, first, cursors))
    async with errors_as_problems():
        return request, await index.search(request)


async def page_text(frame: Frame, article: Mapping[str, Any]) -> Markup:
    """Return the body of an article as its page shows it."""
    _ = frame.localisation.translations.gettext
    body, own = article["body"], own_images(article)
    table, code = str(escape(_("Table"))), str(escape(_("Preformatted text")))
    if len(body) <= INLINE_CHARACTERS:
        return Markup(page_body(body, table, code, own, BODY_SIZES))  # noqa: S704 (sanitised before it was stored)
    return Markup(await offload.run(lambda _: page_body(body, table, code, own, BODY_SIZES)))  # noqa: S704 (likewise)


def _cursors(asked: PageRequest, route: str) -> CursorScope:
    return scope_of(asked.http, asked.caller, route)


def _spelling(field: str, value: str, articles: Sequence[Teaser]) -> str:
    """Return a label as the newest of its articles spells it."""
    for article in articles:
        labels: Mapping[str, Sequence[Any]] = {
            "category": [article.category],
            "topic": article.topics,
            "author": [author.name for author in article.authors],
        }
        for label in labels[field]:
            if label and fold(label) == fold(value):
                return str(label)
    return value


def _paragraphs(text: str) -> list[str]:
    return [paragraph.strip() for paragraph in text.replace("\r\n", "\n").split("\n\n") if paragraph.strip()]

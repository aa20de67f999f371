"""Sitemaps (sitemaps.org): an index of files, the articles by the time they were published, and the news of two days.

A file is a month, or a day where a month has too many articles for one, or a part of a day. So its address says what is in
it, old ones stay as they are, and each is read by walking on from its first moment.
"""

import re
from calendar import monthrange
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from lxml import etree

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller
from newswire.http.problems import not_found
from newswire.http.read_limits import Cost, charged
from newswire.http.request_parsing import parse_scalar_params
from newswire.timestamps import epoch_ms_nearest
from newswire_search.feeds.http_cache import LastModified, conditional_response
from newswire_search.feeds.xml_writing import add, written
from newswire_search.index.port import IndexReader, PublicationDay, SearchRequest, Sort
from newswire_search.query.api import reachable
from newswire_search.query.offload import offload
from newswire_search.query.parameters import SearchParams, to_request
from newswire_search.settings import SearchSettings
from newswire_search.site.links import path_of

SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
NEWS = "{http://www.google.com/schemas/sitemap-news/0.9}"
PREFIXES: dict[Any, str] = {None: SITEMAP[1:-1]}
WITH_NEWS: dict[Any, str] = PREFIXES | {"news": NEWS[1:-1]}
MEDIA_TYPE = "application/xml"

MAX_URLS_PER_FILE = 5_000
AT_ONCE = 2_500
"""How many are read at once; a file holds a multiple of it."""
NEWS_MAX_AGE, MAX_NEWS_URLS = timedelta(hours=48), 1_000
"""As news search engines want it: nothing older, not more."""

_NAME = re.compile(r"(?P<span>\d{4}-\d\d(?P<day>-\d\d)?)(?:-part-(?P<part>[1-9]\d{0,4}))?")

Reader = Annotated[Caller | None, Depends(reader)]
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the index."""

    name: str
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SitemapSpan:
    """What a file holds: ``skipped`` articles after the first of a month or day."""

    first: str
    last: str
    skipped: int


_SITEMAP: dict[int | str, dict[str, Any]] = {
    200: {"description": "The sitemap", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    304: {"description": "The sitemap is what `If-None-Match` or `If-Modified-Since` say"},
}


def _now() -> datetime:
    return datetime.now(UTC)


def router(index: IndexReader, settings: SearchSettings, changed: LastModified, *, clock: Clock = _now) -> APIRouter:
    """Return the sitemaps on an index."""
    routes = APIRouter(dependencies=[Depends(charged(Cost.SEARCH))], tags=["sitemaps"], default_response_class=Response)
    site = settings.site

    async def answer(
        request: Request, caller: Caller | None, root: etree._Element, moment: datetime | None
    ) -> Response:
        body = await offload.run(lambda _: written(root))
        return conditional_response(request, body, MEDIA_TYPE, changed=moment, private=caller is not None)

    async def unless_private(caller: Caller | None) -> datetime | None:
        return await changed() if caller is None else None

    @routes.get("/sitemap.xml", summary="The index of sitemaps", responses=_SITEMAP)
    async def overview(request: Request, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        moment = await unless_private(caller)
        async with reachable():
            days = await index.days(_by_time(caller))
        root = etree.Element(SITEMAP + "sitemapindex", nsmap=PREFIXES)
        for file in (File("pages"), *files(days)):
            entry = add(root, SITEMAP + "sitemap")
            _locate(entry, f"{site}/sitemap-{file.name}.xml", file.updated_at)
        return await answer(request, caller, root, moment)

    @routes.get("/sitemap-pages.xml", summary="The pages that are no articles, as a sitemap", responses=_SITEMAP)
    async def pages(request: Request, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        return await answer(request, caller, _urls([(f"{site}/", None)]), None)

    @routes.get("/sitemap-news.xml", summary="The articles of the last two days as a news sitemap", responses=_SITEMAP)
    async def news(request: Request, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        since = epoch_ms_nearest(clock() - NEWS_MAX_AGE)
        wanted = replace(_by_time(caller), since=since, limit=MAX_NEWS_URLS)
        async with reachable():
            found = await index.search(wanted)
        return await answer(request, caller, await offload.run(lambda _: _news(site, found.articles)), None)

    @routes.get("/sitemap-{name}.xml", summary="The articles of a month or day as a sitemap", responses=_SITEMAP)
    async def articles(request: Request, name: str, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        span = parse_sitemap_name(name)
        if span is None:
            raise not_found("sitemap")
        moment = await unless_private(caller)
        async with reachable():
            found = [
                (site + path_of(article), datetime.fromisoformat(article["updated_at"]))
                async for article in _walk(index, span, caller)
            ]
        if not found:
            raise not_found("sitemap")
        return await answer(request, caller, await offload.run(lambda _: _urls(found)), moment)

    return routes


def files(days: Iterable[PublicationDay]) -> Iterator[File]:
    """Spread articles over files: months, or days where a month is too much for one, or parts of a day."""
    for month, group in groupby(days, key=lambda day: day.date.isoformat()[:7]):
        of_month = list(group)
        if sum(day.count for day in of_month) <= MAX_URLS_PER_FILE:
            yield File(month, max(day.updated_at for day in of_month))
            continue
        for day in of_month:
            parts = -(-day.count // MAX_URLS_PER_FILE)
            for part in range(1, parts + 1):
                yield File(f"{day.date.isoformat()}{f'-part-{part}' if parts > 1 else ''}", day.updated_at)


def parse_sitemap_name(name: str) -> SitemapSpan | None:
    """Return what a file of this name holds, or None where no file has such a name."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        first = date.fromisoformat(found["span"] if found["day"] else f"{found['span']}-01")
    except ValueError:
        return None
    last = first if found["day"] else first.replace(day=monthrange(first.year, first.month)[1])
    return SitemapSpan(first.isoformat(), last.isoformat(), (int(found["part"] or 1) - 1) * MAX_URLS_PER_FILE)


async def _walk(index: IndexReader, span: SitemapSpan, caller: Caller | None) -> AsyncIterator[Mapping[str, Any]]:
    """Go through the articles of a file, oldest first, page by page."""
    wanted = _by_time(caller, Sort.OLDEST, {"from": span.first, "to": span.last})
    at, end = 0, span.skipped + MAX_URLS_PER_FILE
    while at < end:
        page = await index.search(wanted)
        for article in page.articles if at >= span.skipped else ():
            yield article
        at += AT_ONCE
        if page.next is None:
            return
        wanted = replace(wanted, after=page.next)


def _by_time(
    caller: Caller | None, sort: Sort = Sort.NEWEST, span: Mapping[str, str] = MappingProxyType({})
) -> SearchRequest:
    """Return the first page of what a caller may read, of a span or of all times."""
    asked = to_request(
        SearchParams.model_validate({"sort": sort, **span}), caller.entitlement if caller is not None else None
    )
    return replace(asked, limit=AT_ONCE, with_facets=False)


def _urls(found: Sequence[tuple[str, datetime | None]]) -> etree._Element:
    root = etree.Element(SITEMAP + "urlset", nsmap=PREFIXES)
    for address, updated_at in found:
        _locate(add(root, SITEMAP + "url"), address, updated_at)
    return root


def _locate(entry: etree._Element, address: str, updated_at: datetime | None) -> None:
    add(entry, SITEMAP + "loc", address)
    if updated_at is not None:
        add(entry, SITEMAP + "lastmod", updated_at.isoformat())


def _news(site: str, articles: Iterable[Mapping[str, Any]]) -> etree._Element:
    root = etree.Element(SITEMAP + "urlset", nsmap=WITH_NEWS)
    for article in articles:
        _add_news(root, site, article)
    return root


def _add_news(root: etree._Element, site: str, article: Mapping[str, Any]) -> None:
    entry = add(root, SITEMAP + "url")
    _locate(entry, site + path_of(article), datetime.fromisoformat(article["updated_at"]))
    news = add(entry, NEWS + "news")
    publication = add(news, NEWS + "publication")
    add(publication, NEWS + "name", article["publisher"])
    add(publication, NEWS + "language", _news_language(article.get("language") or "und"))
    add(news, NEWS + "publication_date", article["published_at"])
    add(news, NEWS + "title", article["title"])


def _news_language(tag: str) -> str:
    """Return a language as news sitemaps have it: by its ISO 639 code, but Chinese by script."""
    primary, *more = tag.lower().split("-")
    if primary == "zh":
        return "zh-tw" if {"hant", "tw", "hk", "mo"} & set(more) else "zh-cn"
    return primary if len(primary) <= 3 else "und"

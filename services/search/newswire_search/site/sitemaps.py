"""Sitemaps (sitemaps.org): an index of files, the articles by their time of publication, and the news of two days.

A file covers a month, or a day if the month has too many articles for one file, or a part of a day. So its name tells its
content, old files stay unchanged, and each is read by paging on from its first article.
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
from newswire.http.conditional_responses import conditional_response
from newswire.http.problems import not_found
from newswire.http.read_limits import Cost, charged
from newswire.http.request_parsing import parse_scalar_params
from newswire.schema_org import known_language
from newswire.timestamps import epoch_ms_nearest
from newswire_search.feeds.index_changes import LastModified
from newswire_search.feeds.xml_writing import add, to_bytes
from newswire_search.index.models import PublicationDay, SearchRequest, Sort
from newswire_search.index.port import IndexReader
from newswire_search.query.dependencies import errors_as_problems
from newswire_search.query.offload import offload
from newswire_search.query.parameters import SearchParams, to_request
from newswire_search.settings import SearchSettings
from newswire_search.site.links import label_path, path_of

SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
NEWS = "{http://www.google.com/schemas/sitemap-news/0.9}"
PREFIXES: dict[Any, str] = {None: SITEMAP[1:-1]}
WITH_NEWS: dict[Any, str] = PREFIXES | {"news": NEWS[1:-1]}
MEDIA_TYPE = "application/xml"

MAX_URLS_PER_FILE = 5_000
ARTICLES_PER_QUERY = 2_500
"""How many articles are read per search; a file holds a multiple of it."""
NEWS_MAX_AGE, MAX_NEWS_URLS = timedelta(hours=48), 1_000
"""The limits of news sitemaps, set by news search engines."""

_NAME = re.compile(r"(?P<span>\d{4}-\d\d(?P<day>-\d\d)?)(?:-part-(?P<part>[1-9]\d{0,4}))?")

Reader = Annotated[Caller | None, Depends(reader)]
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class SitemapFile:
    """A file that the sitemap index lists."""

    name: str
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SitemapSpan:
    """What a file covers: a month or day, from its article number ``skipped`` on."""

    first: str
    last: str
    skipped: int


_SITEMAP: dict[int | str, dict[str, Any]] = {
    200: {"description": "The sitemap", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    304: {"description": "The sitemap is what `If-None-Match` or `If-Modified-Since` say"},
}


def _now() -> datetime:
    return datetime.now(UTC)


def router(
    index: IndexReader, settings: SearchSettings, last_change: LastModified, *, clock: Clock = _now
) -> APIRouter:
    """Return the routes of the sitemaps on an index."""
    routes = APIRouter(dependencies=[Depends(charged(Cost.SEARCH))], tags=["sitemaps"], default_response_class=Response)
    site = settings.site

    async def answer(
        request: Request, caller: Caller | None, root: etree._Element, last_modified: datetime | None
    ) -> Response:
        body = await offload.run(lambda _: to_bytes(root))
        return conditional_response(request, body, MEDIA_TYPE, last_modified=last_modified, private=caller is not None)

    async def news_of_this_site(caller: Caller | None, *, enough: int = MAX_NEWS_URLS) -> list[Mapping[str, Any]]:
        """Return what the news sitemap lists, out of that many of the newest articles."""
        since_ms = epoch_ms_nearest(clock() - NEWS_MAX_AGE)
        found = await index.search(replace(_by_time(caller), since_ms=since_ms, limit=enough))
        return [article for article in found.articles if is_canonical(article)]

    async def has_news(caller: Caller | None) -> bool:
        """Return whether there is a news sitemap; nearly always the newest article shows it."""
        return bool(await news_of_this_site(caller, enough=1) or await news_of_this_site(caller))

    async def last_public_change(caller: Caller | None) -> datetime | None:
        return await last_change() if caller is None else None

    @routes.get("/sitemap.xml", summary="The index of sitemaps", responses=_SITEMAP)
    async def overview(request: Request, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        last_modified = await last_public_change(caller)
        async with errors_as_problems():
            days = await index.days(_by_time(caller))
            news_file = [SitemapFile("news")] if await has_news(caller) else []
        root = etree.Element(SITEMAP + "sitemapindex", nsmap=PREFIXES)
        for file in (SitemapFile("pages"), *news_file, *files(days)):
            entry = add(root, SITEMAP + "sitemap")
            _locate(entry, f"{site}/sitemap-{file.name}.xml", file.updated_at)
        return await answer(request, caller, root, last_modified)

    @routes.get("/sitemap-pages.xml", summary="The pages that are not articles, as a sitemap", responses=_SITEMAP)
    async def pages(request: Request, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        sections = replace(_by_time(caller), limit=0, with_facets=True, facet_fields=("category",))
        async with errors_as_problems():
            found = await index.search(sections)
        paths = [
            "/",
            "/live",
            "/about",
            "/sections",
            *(label_path("category", each.value) for each in found.facets["category"]),
        ]
        return await answer(request, caller, _urls([(site + path, None) for path in paths]), None)

    @routes.get("/sitemap-news.xml", summary="The articles of the last two days as a news sitemap", responses=_SITEMAP)
    async def news(request: Request, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        async with errors_as_problems():
            own = await news_of_this_site(caller)
        if not own:  # a sitemap must not be empty
            raise not_found("sitemap, as nothing was published in the last two days")
        return await answer(request, caller, await offload.run(lambda _: _news(settings, own)), None)

    @routes.get("/sitemap-{name}.xml", summary="The articles of a month or day as a sitemap", responses=_SITEMAP)
    async def articles(request: Request, name: str, caller: Reader) -> Response:
        parse_scalar_params(request.query_params, ())
        span = parse_sitemap_name(name)
        if span is None:
            raise not_found("sitemap")
        last_modified = await last_public_change(caller)
        async with errors_as_problems():
            found = [article async for article in _walk(index, span, caller)]
        if not found:
            raise not_found("sitemap")
        own: list[tuple[str, datetime | None]] = [
            (site + path_of(article), datetime.fromisoformat(article["updated_at"]))
            for article in found
            if is_canonical(article)
        ]
        # A sitemap must not be empty, and the index lists this one.
        listed = own or [(f"{site}/", None)]
        return await answer(request, caller, await offload.run(lambda _: _urls(listed)), last_modified)

    return routes


def files(days: Iterable[PublicationDay]) -> Iterator[SitemapFile]:
    """Divide articles into files: months, or days if a month has too many, or parts of a day."""
    for month, group in groupby(days, key=lambda day: day.date.isoformat()[:7]):
        of_month = list(group)
        if sum(day.count for day in of_month) <= MAX_URLS_PER_FILE:
            yield SitemapFile(month, max(day.updated_at for day in of_month))
            continue
        for day in of_month:
            parts = -(-day.count // MAX_URLS_PER_FILE)
            for part in range(1, parts + 1):
                yield SitemapFile(f"{day.date.isoformat()}{f'-part-{part}' if parts > 1 else ''}", day.updated_at)


def parse_sitemap_name(name: str) -> SitemapSpan | None:
    """Return what a file of this name covers, or None for an invalid name."""
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
    """Yield the articles of a file, oldest first, page by page."""
    request = _by_time(caller, Sort.OLDEST, {"from": span.first, "to": span.last})
    at, end = 0, span.skipped + MAX_URLS_PER_FILE
    while at < end:
        page = await index.search(request)
        for article in page.articles if at >= span.skipped else ():
            yield article
        at += ARTICLES_PER_QUERY
        if page.next is None:
            return
        request = replace(request, after=page.next)


def _by_time(
    caller: Caller | None, sort: Sort = Sort.NEWEST, span: Mapping[str, str] = MappingProxyType({})
) -> SearchRequest:
    """Return the first page of the articles that a caller may read, within a time span if given."""
    request = to_request(
        SearchParams.model_validate({"sort": sort, **span}), caller.entitlement if caller is not None else None
    )
    return replace(request, limit=ARTICLES_PER_QUERY, with_total=False, with_facets=False)


def _urls(found: Sequence[tuple[str, datetime | None]]) -> etree._Element:
    root = etree.Element(SITEMAP + "urlset", nsmap=PREFIXES)
    for address, updated_at in found:
        _locate(add(root, SITEMAP + "url"), address, updated_at)
    return root


def _locate(entry: etree._Element, address: str, updated_at: datetime | None) -> None:
    add(entry, SITEMAP + "loc", address)
    if updated_at is not None:
        add(entry, SITEMAP + "lastmod", updated_at.isoformat())


def is_canonical(article: Mapping[str, Any]) -> bool:
    """Return whether search engines should index an article here, and not at the address of its original."""
    return article.get("canonical_url") in (None, article["url"])


def _news(settings: SearchSettings, articles: Iterable[Mapping[str, Any]]) -> etree._Element:
    root = etree.Element(SITEMAP + "urlset", nsmap=WITH_NEWS)
    for article in articles:
        _add_news(root, settings, article)
    return root


def _add_news(root: etree._Element, settings: SearchSettings, article: Mapping[str, Any]) -> None:
    entry = add(root, SITEMAP + "url")
    _locate(entry, settings.site + path_of(article), datetime.fromisoformat(article["updated_at"]))
    news = add(entry, NEWS + "news")
    publication = add(news, NEWS + "publication")
    add(publication, NEWS + "name", settings.publication or article["publisher"])
    add(publication, NEWS + "language", _news_language(known_language(article) or settings.site_language))
    add(news, NEWS + "publication_date", article["published_at"])
    add(news, NEWS + "title", article["title"])


def _news_language(tag: str) -> str:
    """Return a language as news sitemaps require it: its ISO 639 code, but Chinese by script."""
    primary, *more = tag.lower().split("-")
    if primary == "zh":
        return "zh-tw" if {"hant", "tw", "hk", "mo"} & set(more) else "zh-cn"
    return primary

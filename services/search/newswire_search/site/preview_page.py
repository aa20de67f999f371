"""The page of an article that is not published yet, by a link that expires: never indexed, and never kept by a cache."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from redis.asyncio import Redis

from newswire.http.page_routes import page_route
from newswire.http.problems import not_found
from newswire.http.read_limits import Cost, charged_without_key
from newswire.keys import Keyspace
from newswire.previews import PATH, read_preview
from newswire_search.site.error_pages import error_pages
from newswire_search.site.frame import Frame, PageRequest
from newswire_search.site.pages import page_text
from newswire_search.site.presentation import teaser

_HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow", "Referrer-Policy": "no-referrer"}


def preview_router(frame: Frame, redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the route of previews. The link is the permission: also where readers need a key."""
    charge = [Depends(charged_without_key(Cost.RECORD))]
    routes = APIRouter(route_class=page_route(error_pages(frame)), include_in_schema=False, dependencies=charge)

    @routes.get(f"{PATH}/{{token}}")
    async def preview(request: Request, token: str) -> Response:
        found = await read_preview(redis, keys, token)
        if found is None:
            raise not_found("preview")
        response = await frame.respond(
            PageRequest(request, None),
            "preview.html",
            sections=[],
            **await _values(frame, found),
        )
        for name, value in _HEADERS.items():
            response.headers[name] = value
        del response.headers["ETag"]
        return response

    return routes


async def _values(frame: Frame, article: dict[str, Any]) -> dict[str, Any]:
    """Return what the template shows: what it shows of a published article, but nothing that links to it."""
    shown = teaser(article)
    return {
        "head": frame.heads.plain(shown.title),
        "article": shown,
        "standfirst": article.get("summary"),
        "body": await page_text(frame, article),
        "related": [],
        "box": None,
    }

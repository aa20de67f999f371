"""robots.txt (RFC 9309) for crawlers, and the OpenSearch description for browsers."""

from typing import Any

from fastapi import APIRouter, Depends, Response
from lxml import etree

from newswire.http.read_limits import Cost, charged
from newswire_search.feeds.feed import MEDIA_TYPES, Format
from newswire_search.feeds.xml_writing import add, to_bytes
from newswire_search.query.api import SUGGESTIONS_TYPE
from newswire_search.settings import SearchSettings

OPENSEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"
PREFIXES: dict[Any, str] = {None: OPENSEARCH[1:-1]}
MAX_SHORT_NAME_CHARACTERS = 16
"""The limit of OpenSearch 1.1."""
DESCRIPTION_TYPE = "application/opensearchdescription+xml"


def router(settings: SearchSettings) -> APIRouter:
    """Return the routes of robots.txt and the OpenSearch description."""
    routes = APIRouter(tags=["discovery"], default_response_class=Response)
    site = settings.site

    # Public even if reading needs a key: a crawler that gets no robots.txt assumes that everything is allowed.
    @routes.get("/robots.txt", summary="What crawlers may read", responses=_content("text/plain"))
    async def robots() -> Response:
        return Response(_robots(site, public=settings.public_read), media_type="text/plain")

    @routes.get(
        "/opensearch.xml",
        summary="How a browser searches this site",
        dependencies=[Depends(charged(Cost.RECORD))],
        responses=_content(DESCRIPTION_TYPE),
    )
    async def description() -> Response:
        return Response(_description(settings), media_type=DESCRIPTION_TYPE)

    return routes


def _content(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "string"}}}}}


def _robots(site: str, *, public: bool) -> str:
    if not public:
        return "User-agent: *\nDisallow: /\n"
    return (
        # Search pages link to endless further searches; the sitemap lists every article, and the news sitemap if there is news.
        f"User-agent: *\nDisallow: /search\nDisallow: /v1/\nAllow: /\n\nSitemap: {site}/sitemap.xml\n"
    )


def _description(settings: SearchSettings) -> bytes:
    site, name = settings.site, settings.site_name
    root = etree.Element(OPENSEARCH + "OpenSearchDescription", nsmap=PREFIXES)
    add(root, OPENSEARCH + "ShortName", name[:MAX_SHORT_NAME_CHARACTERS].rstrip())
    add(root, OPENSEARCH + "Description", f"Search the articles of {name}")
    add(root, OPENSEARCH + "InputEncoding", "UTF-8")
    for kind, path in (
        ("text/html", "/search?q={searchTerms}"),
        (SUGGESTIONS_TYPE, "/v1/search/suggest?q={searchTerms}&format=opensearch"),
        (MEDIA_TYPES[Format.RSS], "/feeds/search.xml?q={searchTerms}"),
        (MEDIA_TYPES[Format.ATOM], "/feeds/search.atom?q={searchTerms}"),
    ):
        add(root, OPENSEARCH + "Url", type=kind, template=site + path)
    add(root, OPENSEARCH + "Url", rel="self", type=DESCRIPTION_TYPE, template=f"{site}/opensearch.xml")
    return to_bytes(root)

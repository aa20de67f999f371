"""The public archive of a newsletter: what it sent lately, as far as it is published still, as a page and as a feed (RFC 4287)."""

from fastapi import APIRouter, Depends, Response

from newswire.http.problems import gone, not_found
from newswire.http.read_limits import Cost, charged_without_key
from newswire.http.templating import templates
from newswire_notify.newsletters.items import Item, Items
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.models import Newsletter
from newswire_notify.newsletters.page_rendering import NewsletterFrame
from newswire_notify.newsletters.rendering import PACKAGE
from newswire_notify.newsletters.repository import Newsletters

MAX_SHOWN = 50


def router(newsletters: Newsletters, items: Items, links: Links, frame: NewsletterFrame) -> APIRouter:
    """Return the archive's page and feed."""
    routes = frame.routes("/newsletters", dependencies=[Depends(charged_without_key(Cost.SEARCH))])

    async def archived(slug: str) -> tuple[Newsletter, list[Item]]:
        found = await newsletters.by_slug(slug)
        if found is None or not found.draft.public_archive:
            raise not_found("archive")
        if found.deleted:
            raise gone("newsletter")
        account = await items.account(found.account)
        latest = await newsletters.redis.zrevrange(newsletters.keys.key("newsletter_items", found.id), 0, MAX_SHOWN - 1)
        entitlement = account.entitlement if account else None
        return found, await items.published([article.decode() for article in latest], entitlement)

    @routes.get("/{slug}/archive")
    async def archive_page(slug: str) -> Response:
        newsletter, shown = await archived(slug)
        return frame.page(
            "newsletter_archive.html",
            newsletter.draft.language,
            newsletter=newsletter,
            public_path=f"/newsletters/{slug}/archive",
            items=shown,
            feed_url=f"/newsletters/{slug}/archive.atom",
        )

    @routes.get("/{slug}/archive.atom")
    async def feed(slug: str) -> Response:
        newsletter, shown = await archived(slug)
        content = (
            templates(PACKAGE)
            .get_template("newsletter_archive.xml")
            .render(
                draft=newsletter.draft,
                page_url=links.page(slug),
                items=shown,
                updated=max((item.updated_at for item in shown), default=newsletter.created_at.isoformat()),
            )
        )
        return Response(content, media_type="application/atom+xml", headers={"Cache-Control": "no-cache"})

    return routes

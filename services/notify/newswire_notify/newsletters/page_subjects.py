"""What a public page is about: the newsletter of its path, and the subscriber of its link."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response

from newswire.auth.signed_tokens import Purpose
from newswire.http.client_address import client_address, client_of
from newswire.http.problems import gone, not_found
from newswire_notify.newsletters.links import Links, LinkState, LinkTarget
from newswire_notify.newsletters.models import Newsletter, Subscriber
from newswire_notify.newsletters.page_rendering import NewsletterFrame
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.signup import Origin
from newswire_notify.newsletters.subscribers import Subscribers


def newsletter_of_path(newsletters: Newsletters) -> Callable[[str], Awaitable[Newsletter]]:
    """Return a dependency that finds the newsletter of a path; it responds with 404, or 410 once a newsletter was deleted."""

    async def shown(slug: str) -> Newsletter:
        found = await newsletters.by_slug(slug)
        if found is None:
            raise not_found("newsletter")
        if found.deleted:
            raise gone("newsletter")
        return found

    return shown


class LinkedSubscribers:
    """Finds the subscribers of signed links."""

    def __init__(self, subscribers: Subscribers, links: Links, frame: NewsletterFrame) -> None:
        self._subscribers = subscribers
        self._links = links
        self._frame = frame

    async def find(self, newsletter: Newsletter, purpose: Purpose, token: str) -> Subscriber | Response:
        """Return the subscriber of a link, or the page that explains why it is not valid."""
        found = await self._links.target(purpose, newsletter.draft.slug, token)
        if found is LinkState.FORGED:
            return self._frame.message(newsletter, "bad_link", "bad_link_detail", to_form(newsletter), status=404)
        subscriber = await self._subscribers.get(found.subscriber) if isinstance(found, LinkTarget) else None
        if subscriber is None or subscriber.newsletter != newsletter.id:
            return self._frame.message(newsletter, "old_link", "old_link_detail", to_form(newsletter), status=410)
        return subscriber


def to_form(newsletter: Newsletter) -> tuple[str, str]:
    """Return the link to the form of a newsletter, and the name of its text."""
    return f"/newsletters/{newsletter.draft.slug}", "to_newsletter"


def origin_of(request: Request) -> Origin:
    """Return where a request came from, which is recorded with a consent."""
    return Origin(client_address(request.scope), client_of(request.scope), request.headers.get("user-agent", ""))

"""The public pages that links in mails lead to, for confirming and unsubscribing. GET and HEAD never change anything."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from newswire.auth.signed_tokens import Purpose
from newswire.http.read_limits import Cost, charged_without_key
from newswire_notify.newsletters.forms import discard_body
from newswire_notify.newsletters.links import Links, LinkState, LinkTarget
from newswire_notify.newsletters.models import Newsletter, Subscriber, SubscriberState
from newswire_notify.newsletters.page_rendering import NewsletterFrame
from newswire_notify.newsletters.page_subjects import LinkedSubscribers, newsletter_of_path, origin_of, to_form
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.signup import Signup
from newswire_notify.newsletters.subscribers import Subscribers
from newswire_notify.newsletters.texts import described_choices, texts


def router(
    newsletters: Newsletters, subscribers: Subscribers, signup: Signup, links: Links, frame: NewsletterFrame
) -> APIRouter:
    """Return the pages for confirming and unsubscribing."""
    routes = frame.routes("/newsletters")
    reading = [Depends(charged_without_key(Cost.LISTING))]
    linked = LinkedSubscribers(subscribers, links, frame)
    Shown = Annotated[Newsletter, Depends(newsletter_of_path(newsletters))]

    @routes.get("/{slug}/confirm/{token}", dependencies=reading)
    async def confirmation(newsletter: Shown, token: str) -> Response:
        found = await linked.find(newsletter, Purpose.NEWSLETTER_CONFIRMATION, token)
        if isinstance(found, Response):
            return found
        if found.state is not SubscriberState.PENDING:
            return await confirmed(newsletter, found)
        wording = texts(found.language)
        return frame.page(
            "newsletter_button.html",
            found.language,
            newsletter=newsletter,
            heading=wording["confirm_title"],
            detail=wording["confirm_detail"].format(name=newsletter.draft.name, address=found.address),
            path=f"/newsletters/{newsletter.draft.slug}/confirm/{token}",
            button=wording["confirm"],
        )

    @routes.post("/{slug}/confirm/{token}")
    async def confirm(newsletter: Shown, token: str, request: Request) -> Response:
        await discard_body(request)
        found = await linked.find(newsletter, Purpose.NEWSLETTER_CONFIRMATION, token)
        if isinstance(found, Response):
            return found
        await signup.confirm(found, origin_of(request))
        return await confirmed(newsletter, await subscribers.get(found.id) or found)

    async def confirmed(newsletter: Newsletter, found: Subscriber) -> Response:
        """Return the page of a subscriber whose link needs no confirmation any more."""
        if found.state is not SubscriberState.ACTIVE:
            return frame.message(newsletter, "old_link", "old_link_detail", to_form(newsletter), status=410)
        preferences = await links.preferences(newsletter.draft.slug, found.id)
        return frame.message(
            newsletter,
            "confirmed",
            "confirmed_detail",
            (preferences.removeprefix(links.site), "preferences"),
            language=found.language,
            address=found.address,
            frequency=described_choices(found.choices, found.language),
        )

    @routes.get("/{slug}/unsubscribe/{token}", dependencies=reading)
    async def unsubscribe_page(newsletter: Shown, token: str) -> Response:
        found = await links.target(Purpose.NEWSLETTER_UNSUBSCRIBING, newsletter.draft.slug, token)
        if isinstance(found, LinkState):
            return frame.message(newsletter, "bad_link", "bad_link_detail", to_form(newsletter), status=404)
        wording = texts(newsletter.draft.language)
        return frame.page(
            "newsletter_button.html",
            newsletter.draft.language,
            newsletter=newsletter,
            heading=wording["unsubscribe_title"].format(name=newsletter.draft.name),
            detail=wording["unsubscribe_detail"].format(name=newsletter.draft.name),
            path=f"/newsletters/{newsletter.draft.slug}/unsubscribe/{token}",
            button=wording["unsubscribe"],
        )

    @routes.post("/{slug}/unsubscribe/{token}")
    async def unsubscribe(slug: str, token: str, request: Request) -> Response:
        """Unsubscribe (RFC 8058): 200 whatever the token says, with no redirect and no cookie."""
        await discard_body(request)
        found = await links.target(Purpose.NEWSLETTER_UNSUBSCRIBING, slug, token)
        if isinstance(found, LinkTarget):
            await signup.unsubscribe(found.subscriber, found.issue)
        newsletter = await newsletters.by_slug(slug)
        if newsletter is None:
            return Response("unsubscribed", media_type="text/plain", headers={"Cache-Control": "no-store"})
        return frame.message(newsletter, "unsubscribed", "unsubscribed_detail", to_form(newsletter))

    return routes

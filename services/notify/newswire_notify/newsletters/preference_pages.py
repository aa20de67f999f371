"""The public pages on which subscribers change, export and erase what is kept about them. GET and HEAD never change anything."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from newswire.auth.signed_tokens import Purpose
from newswire.http.forms import read_form
from newswire.http.pagination import json_answer
from newswire.http.read_limits import Cost, charged_without_key
from newswire_notify.newsletters.forms import discard_body, read_choices
from newswire_notify.newsletters.links import Links, LinkTarget
from newswire_notify.newsletters.models import Newsletter, Subscriber, SubscriberState
from newswire_notify.newsletters.page_rendering import NewsletterFrame
from newswire_notify.newsletters.page_subjects import LinkedSubscribers, newsletter_of_path, to_form
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import zone_names
from newswire_notify.newsletters.signup import Signup
from newswire_notify.newsletters.subscribers import Subscribers

PAUSES = {"": None, "keep": None, "0": timedelta(0), "7": timedelta(days=7), "28": timedelta(days=28)}
"""The choices of a pause; None leaves it as it is, and zero ends it."""


def router(
    newsletters: Newsletters, subscribers: Subscribers, signup: Signup, links: Links, frame: NewsletterFrame
) -> APIRouter:
    """Return the pages of a subscriber's preferences."""
    routes = frame.routes("/newsletters")
    reading = [Depends(charged_without_key(Cost.LISTING))]
    linked = LinkedSubscribers(subscribers, links, frame)
    Shown = Annotated[Newsletter, Depends(newsletter_of_path(newsletters))]

    async def preferences_page(
        newsletter: Newsletter, found: Subscriber, token: str, *, saved: bool = False, wrong: bool = False
    ) -> Response:
        slug = newsletter.draft.slug
        if found.state is not SubscriberState.ACTIVE:
            return frame.message(
                newsletter, "unsubscribed", "unsubscribed_detail", to_form(newsletter), language=found.language
            )
        target = await links.target(Purpose.NEWSLETTER_PREFERENCES, slug, token)
        issue = target.issue if isinstance(target, LinkTarget) else ""
        unsubscribing = await links.unsubscribing(slug, found.id, issue)
        paused = found.paused_until if found.paused_until and found.paused_until > subscribers.now else None
        return frame.page(
            "newsletter_preferences.html",
            found.language,
            newsletter=newsletter,
            status=422 if wrong else 200,
            subscriber=found,
            choices=found.choices,
            zones=sorted(zone_names()),
            path=f"/newsletters/{slug}/preferences/{token}",
            unsubscribe_path=unsubscribing.removeprefix(links.site),
            saved=saved,
            errors=wrong,
            paused_until=paused.date().isoformat() if paused else None,
        )

    @routes.get("/{slug}/preferences/{token}", dependencies=reading)
    async def preferences(newsletter: Shown, token: str) -> Response:
        found = await linked.find(newsletter, Purpose.NEWSLETTER_PREFERENCES, token)
        return found if isinstance(found, Response) else await preferences_page(newsletter, found, token)

    @routes.post("/{slug}/preferences/{token}", dependencies=reading)
    async def choose(newsletter: Shown, token: str, request: Request) -> Response:
        sent = await read_form(request)
        found = await linked.find(newsletter, Purpose.NEWSLETTER_PREFERENCES, token)
        if isinstance(found, Response):
            return found
        read = read_choices(sent, newsletter, found.choices)
        wrong = bool(read.wrong) or sent.one("pause") not in PAUSES
        if not wrong and found.state is SubscriberState.ACTIVE:
            await signup.choose(found, read.choices, PAUSES[sent.one("pause")])
            found = await subscribers.get(found.id) or found
        return await preferences_page(newsletter, found, token, saved=not wrong, wrong=wrong)

    @routes.get("/{slug}/preferences/{token}/export", dependencies=reading)
    async def export(newsletter: Shown, token: str) -> Response:
        found = await linked.find(newsletter, Purpose.NEWSLETTER_PREFERENCES, token)
        if isinstance(found, Response):
            return found
        headers = {"Content-Disposition": f'attachment; filename="{newsletter.draft.slug}.json"'}
        return json_answer({"newsletter": newsletter.draft.name} | found.exported(), headers=headers)

    @routes.post("/{slug}/preferences/{token}/erase")
    async def erase(newsletter: Shown, token: str, request: Request) -> Response:
        await discard_body(request)
        found = await linked.find(newsletter, Purpose.NEWSLETTER_PREFERENCES, token)
        if isinstance(found, Response):
            return found
        await subscribers.erase(found)
        return frame.message(newsletter, "erased", "erased_detail", language=found.language)

    return routes

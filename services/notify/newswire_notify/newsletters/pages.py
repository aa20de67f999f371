"""The public pages of newsletters: the form, and what the links in mails lead to. GET and HEAD never change anything."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from newswire.auth.signed_tokens import Purpose
from newswire.http.client_address import client_address, client_of
from newswire.http.forms import read_form
from newswire.http.page_routes import prefers_json
from newswire.http.pagination import json_answer
from newswire.http.problems import FieldError, gone, invalid_fields, not_found, problem
from newswire.http.read_limits import Cost, charged_without_key
from newswire.text.folding import fold
from newswire.validation.email_addresses import InvalidAddressError, check_address
from newswire_notify.newsletters.forms import HONEYPOT, default_choices, discard_body, read_choices
from newswire_notify.newsletters.links import Links, LinkState, LinkTarget
from newswire_notify.newsletters.models import Choices, Newsletter, Subscriber, SubscriberState
from newswire_notify.newsletters.page_rendering import NewsletterFrame
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import zone_names
from newswire_notify.newsletters.signup import Origin, Signup, SignupResult
from newswire_notify.newsletters.subscribers import Subscribers
from newswire_notify.newsletters.texts import described_choices, texts

PAUSES = {"": None, "keep": None, "0": timedelta(0), "7": timedelta(days=7), "28": timedelta(days=28)}
"""The choices of a pause; None leaves it as it is, and zero ends it."""


def router(
    newsletters: Newsletters, subscribers: Subscribers, signup: Signup, links: Links, frame: NewsletterFrame
) -> APIRouter:
    """Return the public pages."""
    routes = frame.routes("/newsletters")
    reading = [Depends(charged_without_key(Cost.LISTING))]

    async def shown(slug: str) -> Newsletter:
        found = await newsletters.by_slug(slug)
        if found is None:
            raise not_found("newsletter")
        if found.deleted:
            raise gone("newsletter")
        return found

    Shown = Annotated[Newsletter, Depends(shown)]

    @routes.get("", dependencies=reading)
    async def all_newsletters() -> Response:
        found = sorted(await newsletters.active(), key=lambda each: fold(each.draft.name))
        names = ", ".join(each.draft.name for each in found)
        return frame.page(
            "newsletter_list.html",
            frame.language,
            public_path="/newsletters",
            description=": ".join(filter(None, [texts(frame.language)["newsletters"], names])),
            newsletters=found,
        )

    @routes.get("/{slug}", dependencies=reading)
    async def form_page(newsletter: Shown, request: Request) -> Response:
        if prefers_json(request):
            return await described(newsletter)
        wanted = {fold(value) for name, value in request.query_params.multi_items() if name in ("topic", "category")}
        topics = tuple(label for label in newsletter.labels if fold(label) in wanted)
        default = default_choices(newsletter)
        return await form(newsletter, Choices(default.cadence, default.zone, topics=topics))

    async def described(newsletter: Newsletter) -> Response:
        draft = newsletter.draft
        return json_answer(
            {
                "name": draft.name,
                "description": draft.description,
                "topics": newsletter.labels,
                "cadences": [str(cadence) for cadence in draft.cadences],
                "form_token": await links.form(draft.slug),
            }
        )

    async def form(
        newsletter: Newsletter,
        choices: Choices,
        *,
        email: str = "",
        errors: dict[str, str] | None = None,
        one_more: bool = False,
        status: int = 200,
    ) -> Response:
        if not newsletter.is_sending:
            return frame.message(newsletter, "newsletters", "paused", ("/newsletters", "newsletters"))
        return frame.page(
            "newsletter_form.html",
            newsletter.draft.language,
            newsletter=newsletter,
            public_path=None if email else f"/newsletters/{newsletter.draft.slug}",
            status=status,
            headers={"Cache-Control": "no-store"},
            choices=choices,
            email=email,
            errors=errors or {},
            one_more=one_more,
            form_token=await links.form(newsletter.draft.slug),
        )

    @routes.post("/{slug}/subscribe", dependencies=reading)
    async def subscribe(newsletter: Shown, request: Request) -> Response:
        sent = await read_form(request)
        json = prefers_json(request)
        read = read_choices(sent, newsletter, default_choices(newsletter))
        errors = dict.fromkeys(read.wrong, texts(newsletter.draft.language)["invalid_choice"])
        email = sent.one("email")[:400]
        try:
            address = check_address(email)
        except InvalidAddressError as error:
            address = ""
            errors["email"] = str(error) if json else texts(newsletter.draft.language)["invalid_address"]
        if errors and json:
            fix = "send an e-mail address, and values that GET of this newsletter's address names"
            raise invalid_fields([FieldError(name, message, fix) for name, message in errors.items()])
        if errors:
            return await form(newsletter, read.choices, email=email, errors=errors, status=422)
        age = await links.form_age(newsletter.draft.slug, sent.one("form_token"))
        if age is None and json:
            fix = "GET this newsletter's address as JSON, and send its form_token within a day"
            raise invalid_fields([FieldError("form_token", "is missing, too old or of another form", fix)])
        if age is None or not newsletter.is_sending:  # a form on another site, or one that was open for a day
            return await form(newsletter, read.choices, email=address, one_more=True)
        result = await signup.sign_up(
            newsletter, address, read.choices, _origin(request), form_age=age, trapped=bool(sent.one(HONEYPOT))
        )
        return signed_up(newsletter, address, result, json=json)

    def signed_up(newsletter: Newsletter, address: str, result: SignupResult, *, json: bool) -> Response:
        if result is SignupResult.TOO_MANY:
            if json:
                detail = "too many sign-ups came from this network, or for this newsletter"
                raise problem(429, "rate-limited", detail, headers={"Retry-After": "3600"})
            answer = frame.message(newsletter, "too_many", "too_many_detail", status=429)
            answer.headers["Retry-After"] = "3600"
            return answer
        if json:
            return json_answer({"status": "confirmation_sent", "email": address}, 202)
        return frame.message(newsletter, "check_mail", "check_mail_detail", address=address)

    async def linked(newsletter: Newsletter, purpose: Purpose, token: str) -> Subscriber | Response:
        """Return the subscriber of a link, or the page that explains why it is not valid."""
        to_form = (f"/newsletters/{newsletter.draft.slug}", "to_newsletter")
        found = await links.target(purpose, newsletter.draft.slug, token)
        if found is LinkState.FORGED:
            return frame.message(newsletter, "bad_link", "bad_link_detail", to_form, status=404)
        subscriber = await subscribers.get(found.subscriber) if isinstance(found, LinkTarget) else None
        if subscriber is None or subscriber.newsletter != newsletter.id:
            return frame.message(newsletter, "old_link", "old_link_detail", to_form, status=410)
        return subscriber

    @routes.get("/{slug}/confirm/{token}", dependencies=reading)
    async def confirmation(newsletter: Shown, token: str) -> Response:
        found = await linked(newsletter, Purpose.NEWSLETTER_CONFIRMATION, token)
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
        found = await linked(newsletter, Purpose.NEWSLETTER_CONFIRMATION, token)
        if isinstance(found, Response):
            return found
        await signup.confirm(found, _origin(request))
        return await confirmed(newsletter, await subscribers.get(found.id) or found)

    async def confirmed(newsletter: Newsletter, found: Subscriber) -> Response:
        """Return the page of a subscriber whose link needs no confirmation any more."""
        slug = newsletter.draft.slug
        if found.state is not SubscriberState.ACTIVE:
            to_form = (f"/newsletters/{slug}", "to_newsletter")
            return frame.message(newsletter, "old_link", "old_link_detail", to_form, status=410)
        preferences = await links.preferences(slug, found.id)
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
            to_form = (f"/newsletters/{newsletter.draft.slug}", "to_newsletter")
            return frame.message(newsletter, "bad_link", "bad_link_detail", to_form, status=404)
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
        return frame.message(
            newsletter, "unsubscribed", "unsubscribed_detail", (f"/newsletters/{slug}", "to_newsletter")
        )

    async def preferences_page(
        newsletter: Newsletter, found: Subscriber, token: str, *, saved: bool = False, wrong: bool = False
    ) -> Response:
        slug = newsletter.draft.slug
        if found.state is not SubscriberState.ACTIVE:
            to_form = (f"/newsletters/{slug}", "to_newsletter")
            return frame.message(newsletter, "unsubscribed", "unsubscribed_detail", to_form, language=found.language)
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
        found = await linked(newsletter, Purpose.NEWSLETTER_PREFERENCES, token)
        return found if isinstance(found, Response) else await preferences_page(newsletter, found, token)

    @routes.post("/{slug}/preferences/{token}", dependencies=reading)
    async def choose(newsletter: Shown, token: str, request: Request) -> Response:
        sent = await read_form(request)
        found = await linked(newsletter, Purpose.NEWSLETTER_PREFERENCES, token)
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
        found = await linked(newsletter, Purpose.NEWSLETTER_PREFERENCES, token)
        if isinstance(found, Response):
            return found
        headers = {"Content-Disposition": f'attachment; filename="{newsletter.draft.slug}.json"'}
        return json_answer({"newsletter": newsletter.draft.name} | found.exported(), headers=headers)

    @routes.post("/{slug}/preferences/{token}/erase")
    async def erase(newsletter: Shown, token: str, request: Request) -> Response:
        await discard_body(request)
        found = await linked(newsletter, Purpose.NEWSLETTER_PREFERENCES, token)
        if isinstance(found, Response):
            return found
        await subscribers.erase(found)
        return frame.message(newsletter, "erased", "erased_detail", language=found.language)

    return routes


def _origin(request: Request) -> Origin:
    return Origin(client_address(request.scope), client_of(request.scope), request.headers.get("user-agent", ""))

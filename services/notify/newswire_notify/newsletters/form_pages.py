"""The public pages on which people find a newsletter and sign up. GET and HEAD never change anything."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from newswire.http.forms import read_form
from newswire.http.page_routes import prefers_json
from newswire.http.pagination import json_answer
from newswire.http.problems import FieldError, invalid_fields, problem
from newswire.http.read_limits import Cost, charged_without_key
from newswire.text.folding import fold
from newswire.validation.email_addresses import InvalidAddressError, check_address
from newswire_notify.newsletters.forms import HONEYPOT, default_choices, read_choices
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.models import Choices, Newsletter
from newswire_notify.newsletters.page_rendering import NewsletterFrame
from newswire_notify.newsletters.page_subjects import newsletter_of_path, origin_of
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.signup import Signup, SignupResult
from newswire_notify.newsletters.texts import texts


def router(newsletters: Newsletters, signup: Signup, links: Links, frame: NewsletterFrame) -> APIRouter:
    """Return the list of newsletters, and their forms."""
    routes = frame.routes("/newsletters")
    reading = [Depends(charged_without_key(Cost.LISTING))]
    Shown = Annotated[Newsletter, Depends(newsletter_of_path(newsletters))]

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
            newsletter, address, read.choices, origin_of(request), form_age=age, trapped=bool(sent.one(HONEYPOT))
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

    return routes

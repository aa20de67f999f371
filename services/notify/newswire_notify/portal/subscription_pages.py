"""The pages of a subscription: create, show, change, pause, test, rotate its secret, delete."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.http.forms import FormData
from newswire.http.problem_handlers import ProblemMakers, as_problem
from newswire.http.problems import ProblemError, problem
from newswire.timestamps import from_epoch_ms
from newswire_notify.deliveries.attempt_decisions import RETRY_DELAYS_SECONDS
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import Deliveries
from newswire_notify.fanout.backfill import backfill_status
from newswire_notify.portal.access import PATH, PortalAccess, Visitor
from newswire_notify.portal.acts import FIELD, Acts
from newswire_notify.portal.article_titles import ArticleTitles
from newswire_notify.portal.frame import PortalFrame, see
from newswire_notify.portal.overview_pages import rows_of
from newswire_notify.portal.reasons import reason_of
from newswire_notify.portal.subscription_form import (
    LISTS,
    FormErrors,
    changed_subscription,
    errors_of,
    form_of,
    new_subscription,
    preview_request,
)
from newswire_notify.subscriptions.models import EventKind, Subscription, SubscriptionCriteria, entitlement_of
from newswire_notify.subscriptions.owner_actions import OwnerActions
from newswire_notify.subscriptions.preview import Preview, Previews
from newswire_notify.webhooks.rendering import Content
from newswire_notify.webhooks.service import EndpointTest
from newswire_notify.webhooks.webhook_endpoint import MAX_CONCURRENCY, MAX_DELIVERIES_PER_SECOND

PREVIEWED = 10
NEWEST_DELIVERIES = 5
OVERLAPS_SECONDS = (86_400, 3600, 7 * 86_400, 0)
"""How long a former secret may sign as well; the first one is preselected."""
_SIMPLE_ACTS = ("pause", "resume", "enable")


@dataclass(frozen=True, slots=True)
class SubscriptionParts:
    """What the pages use of notify."""

    actions: OwnerActions
    previews: Previews
    deliveries: Deliveries
    titles: ArticleTitles
    queue: Queue
    acts: Acts
    makers: ProblemMakers
    disabled_after: timedelta


def address_of(subscription_id: str) -> str:
    """Return the path of a subscription's page."""
    return f"{PATH}/subscriptions/{subscription_id}"


def router(access: PortalAccess, frame: PortalFrame, parts: SubscriptionParts) -> APIRouter:
    """Return the pages."""
    routes = frame.routes()
    actions = parts.actions

    def form(
        request: Request,
        visitor: Visitor,
        sent: FormData,
        found: Subscription | None,
        *,
        errors: FormErrors | None = None,
        refusal: ProblemError | None = None,
        preview: Preview | None = None,
    ) -> Response:
        return frame.page(
            request,
            "portal_form.html",
            visitor,
            status=refusal.status if refusal else 200,
            sent=sent,
            found=found,
            errors=errors or FormErrors({}),
            summary_of_errors=frame.problem_text(request, refusal) if refusal else "",
            max_rate=MAX_DELIVERIES_PER_SECOND,
            max_concurrency=MAX_CONCURRENCY,
            preview=preview,
            lists=LISTS,
            kinds=[kind for kind in EventKind if kind is not EventKind.RETRACTED],
            contents=list(Content),
        )

    async def previewed(request: Request, visitor: Visitor, sent: FormData, found: Subscription | None) -> Response:
        wanted = preview_request(sent, PREVIEWED)
        entitlement = entitlement_of(visitor.entitlement)
        criteria = SubscriptionCriteria(wanted.filter, [str(event) for event in wanted.events], entitlement)
        return form(request, visitor, sent, found, preview=await parts.previews.of(criteria, PREVIEWED))

    def refused(
        request: Request, visitor: Visitor, sent: FormData, found: Subscription | None, error: Exception
    ) -> Response:
        """Return the form as it was sent, with what is wrong with it."""
        known = as_problem(error, parts.makers)
        if known is None:
            raise error
        return form(request, visitor, sent, found, errors=errors_of(known), refusal=known)

    @routes.get(f"{PATH}/new")
    async def new_page(request: Request) -> Response:
        visitor = await access.visitor(request)
        blank = FormData({"events": [str(kind) for kind in EventKind], "content": [Content.FULL]})
        return form(request, visitor, blank, None)

    @routes.post(f"{PATH}/new")
    async def create(request: Request) -> Response:
        visitor = await access.visitor(request)
        sent = await access.read_form(request, visitor)

        async def do() -> str:
            made = await actions.create(
                visitor.account.name, new_subscription(sent), visitor.entitlement, by=visitor.actor
            )
            await parts.acts.show_secret(visitor.token, made.id)
            return address_of(made.id)

        try:
            if sent.one("do") == "preview":
                return await previewed(request, visitor, sent, None)
            return see(await parts.acts.once(visitor.token, sent.one(FIELD), do))
        except Exception as error:  # noqa: BLE001 (unknown ones are raised again)
            return refused(request, visitor, sent, None, error)

    @routes.get(f"{PATH}/subscriptions/{{subscription_id}}")
    async def subscription_page(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        return await shown(request, visitor, found)

    async def shown(
        request: Request, visitor: Visitor, found: Subscription, tested: EndpointTest | None = None, error: str = ""
    ) -> Response:
        [row] = await rows_of(parts.queue, [found], parts.disabled_after)
        newest = (await parts.deliveries.of(found.id, NEWEST_DELIVERIES)).rows
        revealed = await parts.acts.may_see_secret(visitor.token, found.id)
        values: dict[str, Any] = {"tested": tested, "why": reason_of(tested.attempt) if tested else None}
        return frame.page(
            request,
            "portal_subscription.html",
            visitor,
            status=409 if error else 200,
            row=row,
            found=found,
            secret=found.secret if revealed else None,
            former=[from_epoch_ms(until * 1000) for _, until in found.former_secrets],
            overlaps=OVERLAPS_SECONDS,
            retries=RETRY_DELAYS_SECONDS,
            newest=newest,
            titles=await parts.titles.of((each["article"], each["version"]) for each in newest),
            replay=await backfill_status(parts.queue, found.id),
            at=from_epoch_ms,
            error=error,
            **values,
        )

    @routes.post(f"{PATH}/subscriptions/{{subscription_id}}")
    async def act(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        sent = await access.read_form(request, visitor)
        account, by, wanted = visitor.account.name, visitor.actor, sent.one("do")
        try:
            if wanted in _SIMPLE_ACTS:
                await getattr(actions, wanted)(account, found.id, by=by)
            elif wanted == "test":
                tested = await actions.test(account, found.id, by=by)
                return await shown(request, visitor, await actions.find(account, found.id), tested)
            elif wanted == "rotate":
                await parts.acts.once(visitor.token, sent.one(FIELD), lambda: rotate(visitor, found, sent))
        except Exception as error:
            known = as_problem(error, parts.makers)
            if known is None or known.status != 409:
                raise
            return await shown(request, visitor, found, error=frame.problem_text(request, known))
        return see(address_of(found.id))

    async def rotate(visitor: Visitor, found: Subscription, sent: FormData) -> str:
        overlap = sent.one("overlap")
        seconds = int(overlap) if overlap in map(str, OVERLAPS_SECONDS) else OVERLAPS_SECONDS[0]
        await actions.rotate_secret(found.account, found.id, seconds, by=visitor.actor)
        await parts.acts.show_secret(visitor.token, found.id)
        return address_of(found.id)

    @routes.get(f"{PATH}/subscriptions/{{subscription_id}}/edit")
    async def edit_page(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        return form(request, visitor, form_of(found), found)

    @routes.post(f"{PATH}/subscriptions/{{subscription_id}}/edit")
    async def edit(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        sent = await access.read_form(request, visitor)

        def check(current: Subscription) -> None:
            if current.revision != sent.one("revision"):
                raise _changed_meanwhile()

        try:
            if sent.one("do") == "preview":
                return await previewed(request, visitor, sent, found)
            wanted = changed_subscription(sent, found)
            await actions.change(found.account, found.id, lambda _: wanted, check, by=visitor.actor)
        except Exception as error:  # noqa: BLE001 (unknown ones are raised again)
            return refused(request, visitor, sent, found, error)
        return see(address_of(found.id))

    @routes.get(f"{PATH}/subscriptions/{{subscription_id}}/delete")
    async def delete_page(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        [row] = await rows_of(parts.queue, [found], parts.disabled_after)
        return frame.page(request, "portal_delete.html", visitor, row=row, found=found)

    @routes.post(f"{PATH}/subscriptions/{{subscription_id}}/delete")
    async def delete(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        await access.read_form(request, visitor)
        await actions.delete(found.account, found.id, by=visitor.actor)
        return see(f"{PATH}?done=deleted")

    return routes


def _changed_meanwhile() -> ProblemError:
    detail = "the subscription was changed at the same time; this page shows what you typed: check it, and save again"
    return problem(409, "not-changed", detail, title="Changed meanwhile")

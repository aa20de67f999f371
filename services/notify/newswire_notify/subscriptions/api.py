"""The subscribers' API: subscriptions."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis

from newswire.auth.authentication import authorised
from newswire.auth.credentials import Caller, Scope
from newswire.filters import Filter
from newswire.http.merge_patch import MEDIA_TYPE, merged, patch_of
from newswire.http.pagination import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    document_parameters,
    json_answer,
    list_position,
    next_cursor,
    parse_list_position,
    requested_position,
)
from newswire.http.preconditions import IF_MATCH, Preconditions, etag
from newswire.http.problem_responses import problems
from newswire.http.problems import (
    ProblemError,
    from_validation_error,
    invalid,
    not_found,
    problem,
    unauthorised,
    unavailable,
)
from newswire.http.request_parsing import JSON, ParsedBody, json_body, limit_param, parse_scalar_params, single_headers
from newswire.keys import Keyspace
from newswire.validation.fields import Text
from newswire_notify.settings import NotifySettings
from newswire_notify.subscriptions.account_limits import AccountLimitError, AccountLimits
from newswire_notify.subscriptions.entitlements import Entitlements
from newswire_notify.subscriptions.limit_problems import limit_problem
from newswire_notify.subscriptions.models import (
    AccountSuspendedError,
    NewSubscription,
    Subscription,
    SubscriptionConflictError,
    SubscriptionCriteria,
    SubscriptionDraft,
)
from newswire_notify.subscriptions.parameters import label_filter, one_of
from newswire_notify.subscriptions.preview import preview
from newswire_notify.subscriptions.repository import Subscriptions
from newswire_notify.subscriptions.schemas import (
    CreatedSubscription,
    PreviewedArticle,
    SubscriptionList,
    SubscriptionPreview,
    SubscriptionPreviewRequest,
    SubscriptionView,
)
from newswire_notify.webhooks.ssrf_guard import AddressPolicy, check_endpoint
from newswire_notify.webhooks.verification import NotVerifiedError, TooManyHandshakesError, Verification
from newswire_notify.webhooks.webhook_endpoint import Webhook

PATH = "/v1/subscriptions"
MAX_UPDATE_ATTEMPTS = 100
"""How often a change is retried after a concurrent one."""
MAX_CONCURRENT_PREVIEWS = 4

ENDED = problems("ended-by-operator")
_STATE_REFUSED = problems("ended-by-operator", "not-changed")
_CHANGE_REFUSED = problems(
    "ended-by-operator", "not-changed", "precondition-failed", "subscriptions-too-large", "too-many-urls-of-host"
)

Subscriber = Annotated[Caller, Depends(authorised(Scope.SUBSCRIBE))]


_ChannelPatch = patch_of(Webhook, "WebhookPatch", "Changes of a channel.", headers=(dict[str, str | None] | None, None))
_FilterPatch = patch_of(Filter, "FilterPatch", "Changes of a filter.", metadata=(dict[str, Text | None] | None, None))
SubscriptionPatch: type[BaseModel] = patch_of(
    SubscriptionDraft,
    "SubscriptionPatch",
    "Changes of a subscription, as a JSON Merge Patch (RFC 7396): null removes a member.",
    channel=(_ChannelPatch | None, None),
    filter=(_FilterPatch | None, None),
    labels=(dict[str, Text | None] | None, None),
)


async def owned(subscriptions: Subscriptions, caller: Caller, subscription_id: str) -> Subscription:
    """Return a subscription of the caller's account.

    Raises:
        newswire.http.problems.ProblemError: 404 where the account does not own it, 410 where an operator ended it recently.
    """
    found = await subscriptions.get(caller.account, subscription_id)
    if found is not None:
        return found
    reason = await subscriptions.ended_by_operator(caller.account, subscription_id)
    if reason is not None:
        raise problem(
            410, "ended-by-operator", f"an operator ended this subscription: {reason}", title="Ended by an operator"
        )
    raise not_found("subscription")


def router(
    subscriptions: Subscriptions,
    entitlements: Entitlements,
    records: "Redis",
    keys: Keyspace,
    policy: AddressPolicy,
    verification: Verification,
    settings: NotifySettings,
) -> APIRouter:
    """Return the paths of subscriptions."""
    routes = APIRouter(prefix=PATH, tags=["subscriptions"])
    previews = asyncio.Semaphore(MAX_CONCURRENT_PREVIEWS)
    limits = AccountLimits.from_settings(settings)
    whole = Annotated[ParsedBody[SubscriptionDraft], Depends(json_body(SubscriptionDraft))]
    part = Annotated[ParsedBody[BaseModel], Depends(json_body(SubscriptionPatch, media_types=(MEDIA_TYPE, JSON)))]

    @routes.post(
        "",
        status_code=201,
        response_model=CreatedSubscription,
        summary="Subscribe to articles",
        responses=problems("too-many-subscriptions", "subscriptions-too-large", "too-many-urls-of-host"),
    )
    async def subscribe(
        caller: Subscriber, sent: Annotated[ParsedBody[NewSubscription], Depends(json_body(NewSubscription))]
    ) -> Response:
        draft = await _reachable(sent.model, policy)
        verified = await consent(caller, draft.channel) if verification.wanted(draft.channel) else None
        try:
            made = await subscriptions.add(
                caller.account,
                draft,
                since=None if sent.model.start == "now" else sent.model.start,
                limits=limits,
                entitlement=caller.stored_entitlement,
                verified_origin=verified,
            )
        except AccountSuspendedError:
            raise unauthorised("the API key is revoked or expired") from None
        except AccountLimitError as error:
            raise limit_problem(error, limits, draft.channel.url) from None
        made = await entitlements.current(made)  # it may have changed since the key was checked
        headers = {"Location": f"{PATH}/{made.id}", "ETag": etag(made.revision)}
        return json_answer(made.public_view() | {"secret": made.secret}, 201, headers)

    @routes.get(
        "",
        response_model=SubscriptionList,
        dependencies=[Depends(single_headers)],
        summary="List subscriptions",
        openapi_extra=document_parameters(
            "cursor",
            "limit",
            label=(
                "Only those with this label, as `name:value`; repeated: with all of these.",
                {"type": "array", "items": {"type": "string", "pattern": ":"}},
            ),
            status=("Only those with this status.", {"type": "string", "enum": ["active", "paused", "disabled"]}),
            channel=("Only those with this channel type.", {"type": "string", "enum": ["webhook"]}),
            url="Only those that deliver to this URL.",
        ),
    )
    async def list_subscriptions(caller: Subscriber, request: Request) -> Response:
        params = parse_scalar_params(request.query_params, ("cursor", "limit", "status", "channel", "url"), ("label",))
        limit = limit_param(params.get("limit"), DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        labels = list(map(label_filter, request.query_params.getlist("label")))
        wanted = {
            "status": one_of(params, "status", "active", "paused", "disabled"),
            "type": one_of(params, "channel", "webhook"),
            "url": params.get("url"),
        }
        page: list[Subscription] = []
        after = parse_list_position(await requested_position(request, caller))
        async for found in subscriptions.of(caller.account, after):
            has = {"status": found.status, "type": found.channel.type, "url": found.channel.url}
            labelled = all(found.labels.get(name) == value for name, value in labels)
            if labelled and all(value in (None, has[name]) for name, value in wanted.items()):
                page.append(found)
            if len(page) > limit:
                break
        last = page[limit - 1] if len(page) > limit else None
        following = await next_cursor(request, caller, list_position(last.created_at, last.id) if last else None)
        return json_answer({"subscriptions": [found.public_view() for found in page[:limit]], "next_cursor": following})

    @routes.post(
        "/preview",
        response_model=SubscriptionPreview,
        summary="Preview what a subscription would have received recently",
    )
    async def preview_subscription(
        caller: Subscriber,
        sent: Annotated[ParsedBody[SubscriptionPreviewRequest], Depends(json_body(SubscriptionPreviewRequest))],
    ) -> Response:
        criteria = SubscriptionCriteria(
            sent.model.filter, [str(event) for event in sent.model.events], caller.entitlement
        )
        async with previews:
            seen = await preview(records, keys, criteria, sent.model.limit)
        shown = [
            PreviewedArticle.model_validate(version.model_dump(include=set(PreviewedArticle.model_fields)))
            for version in seen.articles
        ]
        answer = SubscriptionPreview(articles=shown, looked_at=seen.examined, back_to=seen.back_to, whole=seen.whole)
        return json_answer(answer.model_dump())

    @routes.get(
        "/{subscription_id}",
        response_model=SubscriptionView,
        dependencies=[Depends(single_headers)],
        summary="Read a subscription",
        responses=ENDED,
    )
    async def read(caller: Subscriber, subscription_id: str, request: Request) -> Response:
        parse_scalar_params(request.query_params, ())
        return _answer(await owned(subscriptions, caller, subscription_id))

    @routes.put(
        "/{subscription_id}",
        response_model=SubscriptionView,
        summary="Replace a subscription",
        responses=_CHANGE_REFUSED,
        openapi_extra={"parameters": [IF_MATCH]},
    )
    async def put(request: Request, caller: Subscriber, sent: whole, subscription_id: str) -> Response:
        return await update(request, caller, subscription_id, lambda _: sent.model)

    @routes.patch(
        "/{subscription_id}",
        response_model=SubscriptionView,
        summary="Change some members of a subscription",
        responses=_CHANGE_REFUSED,
        openapi_extra={"parameters": [IF_MATCH]},
    )
    async def patch(request: Request, caller: Subscriber, sent: part, subscription_id: str) -> Response:
        return await update(request, caller, subscription_id, lambda found: _patched(found, sent.raw))

    async def update(
        request: Request, caller: Caller, subscription_id: str, draft: Callable[[Subscription], SubscriptionDraft]
    ) -> Response:
        conditions = Preconditions.of(request)
        verified: dict[str, str] = {}
        for _ in range(MAX_UPDATE_ATTEMPTS):
            found = await owned(subscriptions, caller, subscription_id)
            conditions.check(found.revision, "subscription")
            wanted = draft(found)
            if wanted.channel.url != found.channel.url:
                wanted = await _reachable(wanted, policy)
            url = wanted.channel.url
            if url not in verified and verification.wanted(wanted.channel, found.channel, found.verified_origin):
                verified[url] = await consent(caller, wanted.channel)
            try:
                if await subscriptions.update(found, wanted, limits, verified.get(url)):
                    return _answer(await owned(subscriptions, caller, subscription_id))
            except AccountLimitError as error:
                raise limit_problem(error, limits, wanted.channel.url) from None
            except SubscriptionConflictError as error:
                raise _not_changed(error) from None
        raise _busy()

    async def consent(caller: Caller, channel: Webhook) -> str:
        try:
            return await verification.ask(caller.account, channel)
        except NotVerifiedError as error:
            raise invalid(
                "channel.url",
                f"did not consent to receive webhooks: {error}",
                f"answer OPTIONS there with 200 and the header WebHook-Allowed-Origin: {verification.origin}",
            ) from None
        except TooManyHandshakesError:
            raise unavailable("too many URLs are being verified; send the request again") from None

    @routes.post(
        "/{subscription_id}/pause",
        response_model=SubscriptionView,
        dependencies=[Depends(single_headers)],
        summary="Pause a subscription",
        responses=_STATE_REFUSED,
    )
    async def pause(caller: Subscriber, subscription_id: str, request: Request) -> Response:
        parse_scalar_params(request.query_params, ())
        try:
            await subscriptions.pause(await owned(subscriptions, caller, subscription_id))
        except SubscriptionConflictError as error:
            raise _not_changed(error) from None
        return _answer(await owned(subscriptions, caller, subscription_id))

    @routes.post(
        "/{subscription_id}/resume",
        response_model=SubscriptionView,
        dependencies=[Depends(single_headers)],
        summary="Resume a subscription, including what came during the pause",
        responses=_STATE_REFUSED,
    )
    async def resume(caller: Subscriber, subscription_id: str, request: Request) -> Response:
        parse_scalar_params(request.query_params, ())
        for _ in range(MAX_UPDATE_ATTEMPTS):
            try:
                if await subscriptions.resume(await owned(subscriptions, caller, subscription_id)):
                    return _answer(await owned(subscriptions, caller, subscription_id))
            except SubscriptionConflictError as error:
                raise _not_changed(error) from None
        raise _busy()

    @routes.delete("/{subscription_id}", status_code=204, dependencies=[Depends(single_headers)], summary="Unsubscribe")
    async def unsubscribe(caller: Subscriber, subscription_id: str, request: Request) -> Response:
        parse_scalar_params(request.query_params, ())
        if not await subscriptions.remove(caller.account, subscription_id):
            raise not_found("subscription")
        return Response(status_code=204)

    return routes


async def _reachable(draft: SubscriptionDraft, policy: AddressPolicy) -> SubscriptionDraft:
    url = await check_endpoint(draft.channel.url, policy)
    return draft.model_copy(update={"channel": draft.channel.model_copy(update={"url": url})})


def _patched(found: Subscription, patch: dict[str, Any]) -> SubscriptionDraft:
    try:
        return SubscriptionDraft.model_validate(merged(found.members(), patch))
    except ValidationError as error:
        raise from_validation_error(error, SubscriptionDraft) from None


def _answer(found: Subscription) -> Response:
    return json_answer(found.public_view(), headers={"ETag": etag(found.revision)})


def _not_changed(error: SubscriptionConflictError) -> ProblemError:
    return problem(409, "not-changed", f"the subscription cannot be changed: {error}", title="Not changed")


def _busy() -> ProblemError:
    return unavailable("the subscription is being changed concurrently; send the request again")

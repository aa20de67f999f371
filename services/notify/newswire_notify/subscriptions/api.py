"""The subscribers' API: subscriptions."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ValidationError

from newswire.auth.authentication import request_actor
from newswire.auth.credentials import Caller
from newswire.filters import Filter
from newswire.http.pagination import (
    json_answer,
    list_position,
    next_cursor,
    parse_list_position,
    requested_position,
)
from newswire.http.preconditions import IF_MATCH, requested_preconditions
from newswire.http.problem_responses import problems
from newswire.http.problems import from_validation_error
from newswire.http.request_parsing import (
    JSON,
    NoParameters,
    ParsedBody,
    json_body,
    query_params,
    single_headers,
)
from newswire.merge_patch import MEDIA_TYPE, merged, patch_of
from newswire.preconditions import etag
from newswire.validation.fields import Text
from newswire_notify.subscriptions.dependencies import Subscriber, SubscriptionWriter
from newswire_notify.subscriptions.models import NewSubscription, Subscription, SubscriptionCriteria, SubscriptionDraft
from newswire_notify.subscriptions.owner_actions import OwnerActions
from newswire_notify.subscriptions.parameters import SubscriptionListParams
from newswire_notify.subscriptions.preview import Previews
from newswire_notify.subscriptions.schemas import (
    CreatedSubscription,
    PreviewedArticle,
    SubscriptionList,
    SubscriptionPreview,
    SubscriptionPreviewRequest,
    SubscriptionView,
)
from newswire_notify.webhooks.webhook_endpoint import Webhook

PATH = "/v1/subscriptions"

ENDED = problems("ended-by-operator")
_STATE_REFUSED = problems("ended-by-operator", "not-changed")
_CHANGE_REFUSED = problems(
    "ended-by-operator", "not-changed", "precondition-failed", "subscriptions-too-large", "too-many-urls-of-host"
)

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


def router(
    actions: OwnerActions,
    previews: Previews,
) -> APIRouter:
    """Return the paths of subscriptions."""
    routes = APIRouter(prefix=PATH, tags=["subscriptions"])
    subscriptions = actions.subscriptions
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
        request: Request,
        caller: SubscriptionWriter,
        sent: Annotated[ParsedBody[NewSubscription], Depends(json_body(NewSubscription))],
    ) -> Response:
        by = request_actor(caller, request)
        made = await actions.create(caller.account, sent.model, caller.stored_entitlement, by=by)
        headers = {"Location": f"{PATH}/{made.id}", "ETag": etag(made.revision)}
        return json_answer(made.public_view() | {"secret": made.secret}, 201, headers)

    @routes.get(
        "",
        response_model=SubscriptionList,
        dependencies=[Depends(single_headers)],
        summary="List subscriptions",
    )
    async def list_subscriptions(
        caller: Subscriber,
        request: Request,
        params: Annotated[SubscriptionListParams, Depends(query_params(SubscriptionListParams))],
    ) -> Response:
        limit = params.limit
        labels = [label.split(":", 1) for label in params.label]
        wanted = {"status": params.status, "type": params.channel, "url": params.url}
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
        seen = await previews.of(criteria, sent.model.limit)
        shown = [
            PreviewedArticle.model_validate(version.model_dump(include=set(PreviewedArticle.model_fields)))
            for version in seen.articles
        ]
        answer = SubscriptionPreview(articles=shown, looked_at=seen.examined, back_to=seen.back_to, whole=seen.whole)
        return json_answer(answer.model_dump())

    @routes.get(
        "/{subscription_id}",
        response_model=SubscriptionView,
        summary="Read a subscription",
        responses=ENDED,
    )
    async def read(caller: Subscriber, _: NoParameters, subscription_id: str) -> Response:
        return _answer(await actions.find(caller.account, subscription_id))

    @routes.put(
        "/{subscription_id}",
        response_model=SubscriptionView,
        summary="Replace a subscription",
        responses=_CHANGE_REFUSED,
        openapi_extra={"parameters": [IF_MATCH]},
    )
    async def put(request: Request, caller: SubscriptionWriter, sent: whole, subscription_id: str) -> Response:
        return await update(request, caller, subscription_id, lambda _: sent.model)

    @routes.patch(
        "/{subscription_id}",
        response_model=SubscriptionView,
        summary="Change some members of a subscription",
        responses=_CHANGE_REFUSED,
        openapi_extra={"parameters": [IF_MATCH]},
    )
    async def patch(request: Request, caller: SubscriptionWriter, sent: part, subscription_id: str) -> Response:
        return await update(request, caller, subscription_id, lambda found: _patched(found, sent.raw))

    async def update(
        request: Request, caller: Caller, subscription_id: str, draft: Callable[[Subscription], SubscriptionDraft]
    ) -> Response:
        conditions = requested_preconditions(request)

        def check(found: Subscription) -> None:
            conditions.check(found.revision, "subscription")

        by = request_actor(caller, request)
        return _answer(await actions.change(caller.account, subscription_id, draft, check, by=by))

    @routes.post(
        "/{subscription_id}/pause",
        response_model=SubscriptionView,
        summary="Pause a subscription",
        responses=_STATE_REFUSED,
    )
    async def pause(request: Request, caller: SubscriptionWriter, _: NoParameters, subscription_id: str) -> Response:
        return _answer(await actions.pause(caller.account, subscription_id, by=request_actor(caller, request)))

    @routes.post(
        "/{subscription_id}/resume",
        response_model=SubscriptionView,
        summary="Resume a subscription, including what came during the pause",
        responses=_STATE_REFUSED,
    )
    async def resume(request: Request, caller: SubscriptionWriter, _: NoParameters, subscription_id: str) -> Response:
        return _answer(await actions.resume(caller.account, subscription_id, by=request_actor(caller, request)))

    @routes.delete("/{subscription_id}", status_code=204, summary="Unsubscribe")
    async def unsubscribe(
        request: Request, caller: SubscriptionWriter, _: NoParameters, subscription_id: str
    ) -> Response:
        await actions.delete(caller.account, subscription_id, by=request_actor(caller, request))
        return Response(status_code=204)

    return routes


def _patched(found: Subscription, patch: dict[str, Any]) -> SubscriptionDraft:
    members = merged(found.members(), patch)
    if "filter" not in patch:
        del members["filter"]
    try:
        draft = SubscriptionDraft.model_validate(members)
    except ValidationError as error:
        raise from_validation_error(error, SubscriptionDraft) from None
    # A stored filter is kept, even if it would not be accepted any more.
    return draft if "filter" in patch else draft.model_copy(update={"filter": Filter.model_validate(found.filter)})


def _answer(found: Subscription) -> Response:
    return json_answer(found.public_view(), headers={"ETag": etag(found.revision)})

"""The address of the hub."""

import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from newswire.http.client_address import client_of
from newswire.http.middleware import add_headers
from newswire.http.problem_responses import problems
from newswire.http.problems import invalid, problem
from newswire.http.rate_limits import limit_headers, rate_limited
from newswire.http.request_parsing import check_media_type, check_single_headers, no_parameters, read_body
from newswire.rate_limits import RatePolicy, TokenBuckets
from newswire_notify.settings import NotifySettings
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.websub.form import MAX_FORM_BYTES, MEDIA_TYPE, hub_request, parse_form
from newswire_notify.websub.models import DEFAULT_LEASE_SECONDS, MAX_SECRET_BYTES, Mode
from newswire_notify.websub.service import CLOSED_REASON, Hub, HubFullError

PATH = "/hub"
RETRY_AFTER_SECONDS = 60
_STRING: dict[str, Any] = {"type": "string"}
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["hub.mode", "hub.callback", "hub.topic"],
    "properties": {
        "hub.mode": {**_STRING, "enum": [mode.value for mode in Mode]},
        "hub.callback": {**_STRING, "format": "uri", "description": "Your URL, which is verified and pushed to."},
        "hub.topic": {**_STRING, "format": "uri", "description": "A feed of this site, as it names itself."},
        "hub.lease_seconds": {
            "type": "integer",
            "minimum": 0,
            "default": DEFAULT_LEASE_SECONDS,
            "description": "The lease asked for; the verification names the one that is granted.",
        },
        "hub.secret": {
            **_STRING,
            "maxLength": MAX_SECRET_BYTES,
            "description": "The key of `X-Hub-Signature` (HMAC-SHA256).",
        },
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": f"At most {MAX_FORM_BYTES:,} bytes. Other parameters are ignored.",
        "content": {MEDIA_TYPE: {"schema": _FORM}},
    }
}


def router(
    hub: Hub, policy: AddressPolicy, settings: NotifySettings, clock: Callable[[], float] = time.monotonic
) -> APIRouter:
    """Return the path of the hub. ``clock``: of the rate limit, in seconds."""
    routes = APIRouter(tags=["hub"])
    buckets = TokenBuckets(RatePolicy.of_rate("hub", settings.hub_rate)) if settings.hub_rate else None

    @routes.post(
        PATH,
        status_code=202,
        response_class=Response,
        summary="Subscribe to a feed, or unsubscribe (WebSub)",
        operation_id="requestFeedSubscription",
        responses={
            202: {"description": "Accepted; the callback is verified next"},
            **problems(
                "malformed", "too-large", "unsupported-media-type", "invalid", "rate-limited", "hub-full", "unavailable"
            ),
        },
        openapi_extra=_BODY,
    )
    async def request_subscription(request: Request) -> Response:
        """A subscription request of the W3C Recommendation WebSub, section 5.1."""
        _charge(request, buckets, clock)
        check_media_type(request, MEDIA_TYPE)
        body = await read_body(request, MAX_FORM_BYTES)
        await no_parameters(request)
        check_single_headers(request)
        asked = hub_request(parse_form(body), settings.site, policy)
        if settings.hub_url is None and asked.mode is Mode.SUBSCRIBE:
            raise invalid("hub.topic", f"cannot be subscribed to: {CLOSED_REASON}", "use the API with a key instead")
        try:
            await hub.accept(asked)
        except HubFullError as error:
            retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise problem(429, "hub-full", f"{error}; try again later", headers=retry) from None
        return Response(status_code=202)

    return routes


def _charge(request: Request, buckets: TokenBuckets | None, clock: Callable[[], float]) -> None:
    """Count a request for its client's network; refuse it over the rate (429)."""
    if buckets is None:
        return
    spent = buckets.spend(client_of(request.scope), 1, clock())
    headers = limit_headers([(buckets.policy, spent.left, spent.seconds)])
    add_headers(request.scope, headers)
    if not spent.allowed:
        policy = buckets.policy
        detail = f"this address may send {policy.quota} requests to the hub in {policy.window} s; try again in {spent.seconds} s"
        raise rate_limited(policy, detail, max(spent.seconds, 1))

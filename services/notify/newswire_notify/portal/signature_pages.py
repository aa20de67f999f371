"""The page that checks signatures, and shows how receivers do so."""

import time
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.http.forms import FormData
from newswire_notify.deliveries.service import Deliveries
from newswire_notify.portal.access import PATH, PortalAccess, Visitor
from newswire_notify.portal.frame import PortalFrame
from newswire_notify.portal.requests_sent import DeliveryFacts, SentRequests
from newswire_notify.portal.signature_check import (
    MAX_SECRETS,
    CheckResult,
    KnownSecrets,
    check,
    read_headers,
    read_request,
)
from newswire_notify.subscriptions.errors import SubscriptionNotFoundError
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.subscriptions.repository import Subscriptions

MAX_CHECKED_BYTES = 512 * 1024
"""Of the form: an encoded body takes up to three times its bytes."""
SAMPLES = {"Python": "verify.py.txt", "Node": "verify.mjs.txt", "Go": "verify.go.txt", "PHP": "verify.php.txt"}


@cache
def samples() -> dict[str, str]:
    """Return the code of a receiver in each language."""
    folder = files("newswire_notify.portal") / "samples"
    return {language: (folder / name).read_text() for language, name in SAMPLES.items()}


def router(
    access: PortalAccess,
    frame: PortalFrame,
    subscriptions: Subscriptions,
    deliveries: Deliveries,
    requests: SentRequests,
) -> APIRouter:
    """Return the page."""
    routes = frame.routes()

    async def of_account(visitor: Visitor) -> list[Subscription]:
        found: list[Subscription] = []
        async for each in subscriptions.of(visitor.account.name):
            found.append(each)
            if len(found) == MAX_SECRETS:
                break
        return found

    async def page(
        request: Request,
        visitor: Visitor,
        mine: list[Subscription],
        chosen: str,
        sent: FormData | None = None,
        result: CheckResult | None = None,
    ) -> Response:
        return frame.page(
            request,
            "portal_signatures.html",
            visitor,
            mine=mine,
            chosen=chosen,
            sent=sent or FormData({}),
            result=result,
            samples=samples(),
        )

    @routes.get(f"{PATH}/signatures")
    async def signatures_page(request: Request) -> Response:
        visitor = await access.visitor(request)
        return await page(
            request, visitor, await of_account(visitor), request.query_params.get("subscription", "")[:100]
        )

    @routes.post(f"{PATH}/signatures")
    async def check_signature(request: Request) -> Response:
        visitor = await access.visitor(request)
        sent = await access.read_form(request, visitor, MAX_CHECKED_BYTES)
        mine = await of_account(visitor)
        chosen = await subscriptions.get(visitor.account.name, sent.one("subscription"))
        if chosen is None:
            raise SubscriptionNotFoundError
        result = await checked(sent, chosen, mine)
        return await page(request, visitor, mine, chosen.id, sent, result)

    async def checked(sent: FormData, chosen: Subscription, mine: list[Subscription]) -> CheckResult:
        # A browser sends a textarea with CRLF line ends, whatever was pasted; bodies of webhooks are one line.
        body = sent.one("body").replace("\r\n", "\n").encode("utf-8", "surrogatepass")
        read = read_request(read_headers(sent.one("headers")), body)
        if isinstance(read, CheckResult):
            return read
        now = time.time()
        secrets = KnownSecrets(
            chosen.secret,
            [secret for secret, until in chosen.former_secrets if now < until],
            {each.id: each.secret for each in mine if each.id != chosen.id},
        )
        row = await deliveries.get(chosen.id, read.id[:200])
        sent_body = None
        if row is not None:
            facts = DeliveryFacts(row["id"], row["event"], row["type"], row["article"], row["version"], row["reason"])
            sent_body = await requests.body(chosen, facts)
        return check(read, secrets, sent_body, now)

    return routes

"""The subscribers' API of one-time links to the portal."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from newswire.auth.authentication import request_actor
from newswire.http.pagination import json_answer
from newswire.http.request_parsing import ParsedBody, json_body
from newswire_notify.portal.links import PortalLinks, link_address
from newswire_notify.portal.schemas import PortalLinkRequest, PortalLinkView
from newswire_notify.subscriptions.dependencies import SubscriptionWriter


def router(links: PortalLinks, site: str) -> APIRouter:
    """Return the path of links."""
    routes = APIRouter(prefix="/v1/portal-links", tags=["subscriptions"])

    @routes.post(
        "",
        status_code=201,
        response_model=PortalLinkView,
        summary="Make a one-time link to the portal of the key's account",
    )
    async def create_portal_link(
        request: Request,
        caller: SubscriptionWriter,
        sent: Annotated[ParsedBody[PortalLinkRequest], Depends(json_body(PortalLinkRequest, optional=True))],
    ) -> Response:
        lifetime = timedelta(seconds=sent.model.expires_in)
        token = await links.create(caller.account, lifetime, by=request_actor(caller, request))
        ends = (datetime.now(UTC) + lifetime).replace(microsecond=0)
        view = {"url": link_address(site, token), "account": caller.account, "expires_at": ends}
        return json_answer(view, 201)

    return routes
